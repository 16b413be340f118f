using QuantSdk.Calibration;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Quality;
using QuantSdk.Recipes;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;

namespace QuantSdk.Engines;

/// <summary>Precision=auto: formats chosen by what each group of layers costs in accuracy.</summary>
internal sealed partial class ModelBuilder
{
    private AutoPrecision ChooseFormats(Recipe recipe, OnnxModel model, Plan all, RoundedWeights? rounded, ModelSession reference, CalibrationSource? heldOut, EngineFolder folder)
    {
        if (heldOut is null)
            throw new QuantSdkException("QSDK2001", $"{recipe.Name}: Precision=auto needs rows to measure each layer's error on, and CalibrationData is a calibration cache alone. Give ValidationData.", _request.Model);
        var sensitivity = SensitivityCheck.Measure(model, all, rounded, reference, heldOut, folder.Scratch, _request.Threads, (done, total) => _log.Progress("Quantize", done, total), _cancellation);
        var floatBytes = model.Graph.Initializer.Sum(t => (long)t.RawData.Length) + model.Graph.Node.Sum(n => (long)n.CalculateSize());
        return Said(AutoPrecision.Choose(all, sensitivity, recipe, floatBytes));
    }

    /// <summary>The next choice where an engine misses what was asked for, or null where it does not or enough were tried.</summary>
    private AutoPrecision? Reconsider(AutoPrecision? choice, int round, IReadOnlyList<OutputQuality> quality, long bytes, EngineFolder folder)
    {
        var sqnr = quality.Count == 0 ? ErrorMeter.Exact : quality.Min(q => q.SqnrDb);
        if (choice is null || choice.IsMet(sqnr, bytes) || round >= AutoPrecision.MostRounds)
            return null;
        _log.Detail(FormattableString.Invariant($"round {round}: {sqnr:0.0} dB, {bytes} bytes"));
        var next = choice.Next(sqnr, bytes, _request.Model);
        folder.Clear();
        return Said(next);
    }

    private AutoPrecision Said(AutoPrecision choice)
    {
        _log.Detail(choice.ToString());
        return choice;
    }
}
