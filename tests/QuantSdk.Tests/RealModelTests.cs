using QuantSdk.Bench;
using QuantSdk.Calibration;
using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Onnx.Upgrading;
using QuantSdk.Planning;
using QuantSdk.Quality;
using QuantSdk.Recipes;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests;

/// <summary>Trained models as their makers exported them (sequence operators, opset 9, everything inside If branches), from file to running engine. npm has them.</summary>
[TestClass]
public sealed class RealModelTests
{
    private const int Threads = 2;
    private const int Rows = 16;

    /// <param name="layers">Products with constant weights outside the bodies of control flow: whether there are any.</param>
    /// <param name="least">SQNR in dB that a working quantisation exceeds by far.</param>
    [TestMethod]
    [DataRow("detypify", true, 15)]
    [DataRow("ocr", true, 8)]
    [DataRow("silero", false, 100)]
    public void A_real_model_goes_through_both_lowerings_and_runs(string name, bool layers, double least)
    {
        var path = RealModels.TryFetch(name, Repository.Root, out var missing);
        if (path is null)
            Assert.Inconclusive(missing!);
        using var folder = new TempFolder();
        var recipe = new Recipe { Name = name };
        var original = OnnxFile.Load(path);
        using var reference = ReferenceModel.Open(original, Threads);
        var model = Simplification.Simplify(Intake.Prepare(original, recipe));
        var data = RealModels.All.Single(m => m.Name == name).Data;
        var (calibration, test) = (Source(data, "calib.npz", reference.Session), Source(data, "test.npz", reference.Session));

        var placement = Placement.Decide(model, recipe, Roles.Find(model, recipe));
        Assert.AreEqual(layers, placement.Layers.Count > 0);
        EveryProductHasItsReason(model, placement);
        var observers = new Observers(placement.Tensors, RangeEstimator.Create(recipe), Threads);
        var channels = new ChannelObservers(placement.Channels(model), Threads);
        using (var observed = ObservedModel.Open(model, placement.Tensors, folder.Path, Threads))
        {
            calibration.Run(observed.Session, observed.Batches(recipe), (binding, rows, key) =>
            {
                observers.Observe(binding, rows, key);
                channels.Observe(binding, rows);
            }, null, default);
        }
        var plan = Planner.Make(model, placement, observers.Finish(recipe.Calibrator, path), recipe, channels.Finish());

        OnnxFile.Save(Lowering.Lower(model, plan, "tensorrt"), folder["tensorrt.onnx"], folder["tensorrt.data"]);
        using (var tensorrt = ModelSession.Open(folder["tensorrt.onnx"], new SessionSettings { Threads = Threads, Entries = new Dictionary<string, string> { ["session.disable_quant_qdq"] = "1" } }))
            Assert.IsGreaterThan(least, Sqnr(reference.Session, tensorrt, test), "tensorrt");

        OnnxFile.Save(Lowering.Lower(model, plan, "cpu"), folder["cpu.onnx"], folder["cpu.data"]);
        OrtEngine.Optimise(folder["cpu.onnx"], folder["optimised.onnx"], Threads);
        using var engine = ModelSession.Open(folder["optimised.onnx"], new SessionSettings { Threads = Threads, Optimisation = Microsoft.ML.OnnxRuntime.GraphOptimizationLevel.ORT_DISABLE_ALL });
        Assert.IsGreaterThan(least, Sqnr(reference.Session, engine, test), "cpu");
        if (layers)
            Assert.IsGreaterThan(0.95, FusedLayers.Count(OnnxFile.Load(folder["optimised.onnx"]), plan).MacShare);
    }

    [TestMethod]
    public void A_damaged_copy_is_fetched_again()
    {
        using var folder = new TempFolder();
        Directory.CreateDirectory(folder["artifacts/real"]);
        File.WriteAllText(folder["artifacts/real/silero.onnx"], "half a download");
        if (RealModels.TryFetch("silero", folder.Path, out var missing) is not { } path)
        {
            Assert.Inconclusive(missing!);
            return;
        }
        Assert.AreEqual("silero.onnx", Path.GetFileName(path));
        Assert.IsNotEmpty(OnnxFile.Load(path).Graph.Output);
        Assert.HasCount(1, Directory.GetFileSystemEntries(folder["artifacts/real"]), "nothing else is left behind");
    }

    /// <summary>A few rows; the sampling rate, which the data leaves out, is 16 kHz.</summary>
    private static RowSource Source(string data, string file, ModelSession session)
    {
        var arrays = CalibrationFiles.Read([Path.Combine(Repository.Data("real"), data, file)], null);
        var fed = session.Inputs.ToDictionary(i => i.Name, i => i.Name == "sr"
            ? new NpyArray(DataType.Int64, [], BitConverter.GetBytes(16000L), "sr")
            : arrays.GetValueOrDefault(i.Name) ?? arrays["x"]);
        return new RowSource(Feed.Fit(fed, session.Inputs, data).Slice(0, Rows));
    }

    private static void EveryProductHasItsReason(OnnxModel model, Placement placement)
    {
        var layers = placement.Layers.Select(l => l.Node.Name).ToHashSet();
        foreach (var product in model.Graph.Node.Where(n => n.OpType is "Conv" or "ConvTranspose" or "Gemm" or "MatMul" || n.HasSubgraph()).Where(n => !layers.Contains(n.Name)))
            Assert.IsFalse(string.IsNullOrEmpty(placement.Kept.FirstOrDefault(k => k.Node == product.Label())?.Reason), $"no reason for {product.OpType} '{product.Label()}'");
    }

    private static double Sqnr(ModelSession reference, ModelSession session, CalibrationSource test) =>
        QualityCheck.Compare(reference, session, test, null, default).Min(q => q.SqnrDb);
}
