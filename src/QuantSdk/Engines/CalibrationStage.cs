using QuantSdk.Calibration;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Runtime;

namespace QuantSdk.Engines;

/// <summary>What calibrating gives: the data, what will be quantised, and the ranges of it.</summary>
internal sealed record CalibratedModel(CalibrationInputs Inputs, Placement Placement, CalibrationTable Table);

/// <summary>The stage that runs the float model over the calibration data and watches.</summary>
internal static class CalibrationStage
{
    /// <param name="model">The simplified model.</param>
    /// <param name="reference">The float model, open.</param>
    /// <param name="conditioner">The model of ConditionedBy, or null.</param>
    /// <param name="scratch">A folder for the model with its extra outputs.</param>
    /// <exception cref="QuantSdkException">QSDK3003 where nothing can be quantised; whatever is wrong with the data.</exception>
    public static CalibratedModel Run(
        BuildRequest request, Recipe recipe, OnnxModel model, DiffusionRoles? roles, ModelSession reference, OnnxModel? conditioner, string scratch, IBuildLog log, CancellationToken cancellation)
    {
        using var conditioning = conditioner is null ? null : ReferenceModel.Open(conditioner, request.Threads);
        var inputs = CalibrationInputs.Read(request, recipe, reference.Inputs, roles, conditioning?.Session, log);
        var placement = Placement.Decide(model, recipe, roles);
        if (placement.Layers.Count == 0)
            NothingToQuantise(request, recipe, placement, log);
        var observers = new Observers(placement.Tensors, RangeEstimator.Create(recipe.Calibrator, recipe.Percentile), request.Threads);
        using var observed = ObservedModel.Open(model, placement.Tensors, scratch, request.Threads);
        if (placement.Layers.Count > 0)
            inputs.Calibration.Run(observed.Session, observed.BatchFor, observers.Observe, (done, total) => log.Progress("Calibrate", done, total), cancellation);
        return new CalibratedModel(inputs, placement, observers.Finish(recipe.Calibrator, request.Model));
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
