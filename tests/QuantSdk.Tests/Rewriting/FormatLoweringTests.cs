using QuantSdk.Calibration;
using QuantSdk.Onnx;
using QuantSdk.Onnx.Upgrading;
using QuantSdk.Planning;
using QuantSdk.Quality;
using QuantSdk.Recipes;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;

namespace QuantSdk.Tests.Rewriting;

/// <summary>The classifier, convolutions and linear layers, in every format that is not an integer, against the float model.</summary>
[TestClass]
public sealed class FormatLoweringTests
{
    private static OnnxModel s_model = null!;
    private static CalibrationTable s_calibration = null!;
    private static Placement s_placement = null!;
    private static IReadOnlyDictionary<string, ChannelSample> s_channels = null!;
    private static RowSource s_heldOut = null!;

    [ClassInitialize]
    public static void Calibrate(TestContext context)
    {
        using var folder = new TempFolder();
        s_model = Simplification.Simplify(OpsetUpgrade.To(OnnxFile.Load(Repository.Digits("digits_cnn.onnx")), 21));
        var recipe = new Recipe { Name = "cnn", Calibrator = "max" };
        s_placement = Placement.Decide(s_model, recipe, null);
        var observers = new Observers(s_placement.Tensors, RangeEstimator.Create(recipe), 2);
        var channels = new ChannelObservers(s_placement.Channels(s_model), 2);
        using var observed = ObservedModel.Open(s_model, s_placement.Tensors, folder.Path, 2);
        var feed = Feed.Fit(CalibrationFiles.Read([Repository.Digits("digits_calib.npz")], "image"), observed.Session.Inputs, "cnn");
        void Seen(ModelBinding binding, int rows, BatchKey key)
        {
            observers.Observe(binding, rows, key);
            channels.Observe(binding, rows);
        }
        new RowSource(feed.Slice(0, 200)).Run(observed.Session, observed.BatchFor, Seen, null, default);
        (s_calibration, s_channels) = (observers.Finish("max", "cnn"), channels.Finish());
        s_heldOut = new RowSource(feed.Slice(200, 56));
    }

    [TestMethod]
    [DataRow("fp8", "fp8", 28.5)]
    [DataRow("fp8", "float", 33)]
    [DataRow("fp8-e5m2", "fp8-e5m2", 18)]
    [DataRow("mxfp8", "mxfp8", 28.5)]
    [DataRow("mxfp8", "float", 33)]
    [DataRow("nvfp4", "nvfp4", 23)]
    [DataRow("nvfp4", "float", 22)]
    [DataRow("nf4", "float", 22)]
    public void The_simulation_loses_what_the_format_loses(string weights, string activations, double leastSqnr) =>
        Assert.IsGreaterThan(leastSqnr, Sqnr("sim", weights, activations));

    [TestMethod]
    public void TensorRTs_fp8_is_the_simulations() => Assert.AreEqual(Sqnr("sim", "fp8", "fp8"), Sqnr("tensorrt", "fp8", "fp8"), 0.01);

    [TestMethod]
    public void Four_bits_on_the_cpu_lose_what_they_lose_in_the_simulation() => Assert.AreEqual(Sqnr("sim", "int4", "int8"), Sqnr("cpu", "int4", "int8"), 1);

    [TestMethod]
    public void Nf4_on_the_cpu_quantises_the_linear_layers_alone()
    {
        var graph = Lowering.Lower(s_model, Plan("nf4", "float"), "cpu").Graph;
        Assert.HasCount(s_placement.Layers.Count(l => !l.IsConvolution), graph.Node.Where(n => n.OpType == "MatMulBnb4").ToArray());
        Assert.HasCount(s_placement.Layers.Count(l => l.IsConvolution), graph.Node.Where(n => n.OpType == "Conv" && s_placement.Layers.Any(l => l.Node.Name == n.Name)).ToArray());
        Assert.IsGreaterThan(20, Sqnr("cpu", "nf4", "float"));
    }

    /// <summary>A plan may be edited and used again: nothing of it is known by more than its values.</summary>
    [TestMethod]
    [DataRow("cpu", "int8", "int8")]
    [DataRow("tensorrt", "int8", "int8")]
    [DataRow("sim", "fp8", "fp8")]
    public void A_plan_read_back_is_lowered_to_the_same_graph(string target, string weights, string activations)
    {
        var plan = Plan(weights, activations);
        Assert.Contains(l => weights != "int8" || l.Activation.Smoothed is not null, plan.Layers);

        var read = QuantSdkJson.Read<Plan>(QuantSdkJson.Write(plan))!;

        Assert.AreEqual(Lowering.Lower(s_model, plan, target).ToString(), Lowering.Lower(s_model, read, target).ToString());
    }

    private static Plan Plan(string weights, string activations) =>
        Planner.Make(s_model, s_placement, s_calibration, new Recipe { Name = "cnn", Weights = weights, Activations = activations }, s_channels);

    private static double Sqnr(string target, string weights, string activations)
    {
        using var folder = new TempFolder();
        OnnxFile.Save(Lowering.Lower(s_model, Plan(weights, activations), target), folder["model.onnx"], folder["model.data"]);
        using var reference = ModelSession.Open(Repository.Digits("digits_cnn.onnx"), new SessionSettings { Threads = 2 });
        using var engine = ModelSession.Open(folder["model.onnx"], new SessionSettings { Threads = 2, DisabledOptimizers = target == "tensorrt" ? TensorRtFormats.DisabledOptimizers : [], Entries = new Dictionary<string, string> { ["session.disable_quant_qdq"] = "1" } });
        return QualityCheck.Compare(reference, engine, s_heldOut, null, default)[0].SqnrDb;
    }
}
