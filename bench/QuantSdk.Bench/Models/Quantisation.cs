using System.Diagnostics;
using QuantSdk.Calibration;
using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Onnx.Upgrading;
using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;

namespace QuantSdk.Bench;

/// <summary>A model simplified, calibrated, planned and rewritten for the cpu by the library's own stages, as a build does it.</summary>
/// <param name="Seconds">Wall time of all of it, without that of the plain forward passes run beside it.</param>
internal sealed record Quantisation(OnnxModel Original, OnnxModel Model, Plan Plan, RoundedWeights? Rounded, string Portable, double Seconds)
{
    public const int Threads = 2;

    /// <param name="beside">Given every batch that the calibration runs, or null.</param>
    /// <param name="everyLayer">Whatever has weights, the built-in exclusions too.</param>
    /// <param name="costAware">Whether layers that do not pay are left in float.</param>
    public static Quantisation Of(ProtocolModel protocol, string folder, PlainForward? beside = null, bool everyLayer = false, bool costAware = false)
    {
        var started = Stopwatch.GetTimestamp();
        var original = OnnxFile.Load(protocol.Path);
        var simplified = Simplification.Simplify(Intake.Prepare(original, protocol.Recipe));
        var model = ConcatSplit.Apply(simplified, protocol.Recipe, Roles.Find(simplified, protocol.Recipe));
        var placement = everyLayer ? EveryLayer(model) : Placed(model, protocol.Recipe);
        CalibrationTable calibration;
        var channels = new ChannelObservers(placement.Channels(model), Threads);
        using (var observed = ObservedModel.Open(model, placement.Tensors, folder, Threads))
            calibration = Calibrate(observed, protocol.Calibration, protocol.Recipe, protocol.Path, beside, channels);
        if (costAware)
            placement = CostAwarePlacement.Decide(model, placement, calibration, protocol.Recipe, null, CpuFeatures.Current).Placement;
        var plan = Planner.Make(model, placement, calibration, protocol.Recipe, channels.Finish());
        var rounded = RoundingStage.Applies(plan) ? RoundingStage.Run(model, plan, protocol.Calibration, calibration.Rows, folder, Threads, negativeScales: true, null, CancellationToken.None) : null;
        // Observed models and engines of one model may share a folder.
        var portable = Path.Combine(folder, $"{Guid.NewGuid():N}.onnx");
        Write(Lowering.Lower(model, plan, "cpu", rounded), portable);
        return new Quantisation(original, model, plan, rounded, portable, (Stopwatch.GetElapsedTime(started) - (beside?.Total ?? TimeSpan.Zero)).TotalSeconds);
    }

    /// <summary>One pass over the source and the search of the ranges.</summary>
    public static CalibrationTable Calibrate(ObservedModel observed, CalibrationSource source, Recipe recipe, string model, PlainForward? beside = null, ChannelObservers? channels = null)
    {
        var estimator = RangeEstimator.Create(recipe);
        estimator.Check(source, model);
        var observers = new Observers(observed.Tensors, estimator, Threads);
        void Seen(ModelBinding binding, int rows, BatchKey key)
        {
            observers.Observe(binding, rows, key);
            channels?.Observe(binding, rows);
            beside?.Add(binding, rows);
        }
        source.Run(observed.Session, observed.Batches(recipe), Seen, null, CancellationToken.None);
        return observers.Finish(recipe.Calibrator, model);
    }

    /// <summary>What ONNX Runtime makes of the portable graph, opened as an engine is.</summary>
    /// <param name="fused">Which layers run in int8.</param>
    /// <param name="timed">False where nothing is timed: workers that do not spin leave the cores to whoever shares them.</param>
    public ModelSession OpenEngine(out FusedLayers fused, bool timed = true)
    {
        var optimised = Path.ChangeExtension(Portable, ".optimised.onnx");
        OrtEngine.Optimise(Portable, optimised, Threads, EngineForm.Of(Plan));
        fused = FusedLayers.Count(OnnxFile.Load(optimised), Plan);
        return ModelSession.Open(optimised, new SessionSettings
        {
            Threads = Threads,
            Optimisation = Microsoft.ML.OnnxRuntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
            Entries = timed ? new Dictionary<string, string>() : NotSpinning,
        });
    }

    private static Dictionary<string, string> NotSpinning => new() { ["session.intra_op.allow_spinning"] = "0" };

    /// <summary>The tensorrt lowering, run as it is written: quantise and dequantise, nothing fused.</summary>
    public ModelSession OpenTensorRt() => OpenSimulated(Lowering.Lower(Model, Plan, "tensorrt", Rounded), Path.ChangeExtension(Portable, ".tensorrt.onnx"));

    /// <summary>The sim lowering: what the plan costs, whatever a target can run.</summary>
    public ModelSession OpenSim() => OpenSimulated(Lowering.Lower(Model, Plan, "sim", Rounded), Path.ChangeExtension(Portable, ".sim.onnx"));

    /// <summary>A graph with Q/DQ nodes that ONNX Runtime computes as they are written.</summary>
    public static ModelSession OpenSimulated(Onnx.ModelProto model, string path)
    {
        Write(model, path);
        return ModelSession.Open(path, new SessionSettings { Threads = Threads, Entries = new Dictionary<string, string>(NotSpinning) { ["session.disable_quant_qdq"] = "1" } });
    }

    public static Placement Placed(OnnxModel model, Recipe recipe) => Placement.Decide(model, recipe, Roles.Find(model, recipe));

    public long PortableBytes => new FileInfo(Portable).Length + new FileInfo(Data(Portable)).Length;

    private static Placement EveryLayer(OnnxModel model)
    {
        var (view, modules) = (new GraphView(model.Graph), new ModulePaths(model.Graph));
        return new Placement([.. view.Inputs.Select(i => i.Name)], [.. model.Graph.Node.Where(Placement.IsProduct).Select(n => Placement.Candidate(view, n, modules[n]).Layer).OfType<Layer>()], []);
    }

    private static void Write(Onnx.ModelProto model, string path) => OnnxFile.Save(model, path, Data(path));

    private static string Data(string path) => Path.ChangeExtension(path, ".data");
}
