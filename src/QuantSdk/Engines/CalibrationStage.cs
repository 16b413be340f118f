using QuantSdk.Calibration;
using QuantSdk.Interchange;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Runtime;

namespace QuantSdk.Engines;

/// <summary>What calibrating gives: the data, what will be quantised, and the ranges of it.</summary>
internal sealed record CalibratedModel(CalibrationInputs Inputs, Placement Placement, CalibrationTable Table, IReadOnlyDictionary<string, ChannelSample>? Samples);

/// <summary>The stage that runs the float model over the calibration data and watches.</summary>
internal static class CalibrationStage
{
    /// <param name="model">The simplified model.</param>
    /// <param name="reference">The float model, open.</param>
    /// <param name="conditioner">The model of ConditionedBy, or null.</param>
    /// <param name="scratch">A folder for the model with its extra outputs.</param>
    /// <param name="loop">The model as a cached sampler runs it, where that is to be observed.</param>
    /// <exception cref="QuantSdkException">QSDK3003 where nothing can be quantised; whatever is wrong with the data.</exception>
    public static CalibratedModel Run(
        BuildRequest request, Recipe recipe, OnnxModel model, DiffusionRoles? roles, ModelSession reference, OnnxModel? conditioner, string scratch, IBuildLog log, CancellationToken cancellation,
        OnnxModel? loop = null)
    {
        using var conditioning = conditioner is null ? null : ReferenceModel.Open(conditioner, request.Threads);
        var inputs = CalibrationInputs.Read(request, recipe, reference.Inputs, roles, conditioning?.Session, log);
        var placement = Placement.Decide(model, recipe, roles);
        if (placement.Layers.Count == 0)
            NothingToQuantise(request, recipe, placement, log);
        var channels = new ChannelObservers(placement.Channels(model), request.Threads);
        var table = Ranges(request, recipe, inputs.Cache is null ? loop ?? model : model, inputs, placement.Tensors, scratch, log, cancellation, channels);
        return new CalibratedModel(inputs, placement, table, inputs.Cache is null ? channels.Finish() : null);
    }

    /// <summary>The ranges of some tensors of a model: observed on the data, or those of a calibration cache.</summary>
    /// <param name="scratch">A folder for the model with its extra outputs.</param>
    /// <param name="channels">Watches the same batches, or null.</param>
    public static CalibrationTable Ranges(
        BuildRequest request, Recipe recipe, OnnxModel model, CalibrationInputs inputs, IReadOnlyList<string> tensors, string scratch, IBuildLog log, CancellationToken cancellation,
        ChannelObservers? channels = null)
    {
        if (inputs.Cache is { } file)
        {
            var cache = TensorRtCalibrationCache.Read(file);
            using var probed = ObservedModel.Open(model, tensors, scratch, request.Threads);
            return cache.Table(tensors, probed.ElementsPerRow(CalibrationInputs.RandomRow(probed.Session.Inputs, request.Model), null), file);
        }
        var estimator = RangeEstimator.Create(recipe);
        estimator.Check(inputs.Calibration!, request.Model);
        var observers = new Observers(tensors, estimator, request.Threads, [.. model.Graph.Input.Select(i => i.Name)]);
        using var observed = ObservedModel.Open(model, tensors, scratch, request.Threads);
        inputs.Calibration!.Run(observed.Session, observed.Batches(recipe), Seen, (done, total) => log.Progress("Calibrate", done, total), cancellation);
        return observers.Finish(recipe.Calibrator, request.Model);

        void Seen(ModelBinding binding, int rows, BatchKey key)
        {
            observers.Observe(binding, rows, key);
            channels?.Observe(binding, rows);
        }
    }

    private static void NothingToQuantise(BuildRequest request, Recipe recipe, Placement placement, IBuildLog log)
    {
        var reasons = placement.Kept.Count == 0 ? "there is no Conv, ConvTranspose, Gemm or MatMul" : string.Join("; ", placement.Kept.GroupBy(k => k.Reason).Select(g => $"{g.Count()} {g.Key}"));
        // A limit of this version, which the model cannot help: it is built in float, and said.
        if (placement.Kept.Any(k => k.Op is "If" or "Loop" or "Scan"))
            log.Warning("QSDK3011", $"{recipe.Name}: the engine stays in float, as everything with weights is inside control flow ({reasons}).", request.Model);
        else
            throw new QuantSdkException("QSDK3003", $"{recipe.Name}: no node can be quantised ({reasons}). Set Precision to none to ship it in float.", request.Model);
    }
}
