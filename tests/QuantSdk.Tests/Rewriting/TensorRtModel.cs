using QuantSdk.Calibration;
using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Quality;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;
using QuantSdk.Tests.Calibration;
using QuantSdk.Tests.Onnx;
using QuantSdk.Tests.Quality;

namespace QuantSdk.Tests.Rewriting;

/// <summary>A model calibrated for TensorRT, with the magnitudes of its tensors.</summary>
internal sealed record TensorRtModel(OnnxModel Model, Plan Plan, IReadOnlyDictionary<string, float> Amax, CalibrationSource Rows)
{
    /// <param name="model">unet, transformer, digits_cnn or the name of an architecture.</param>
    public static TensorRtModel Of(string model, string precision, TempFolder folder, params (string Name, string Value)[] more)
    {
        var path = model == "transformer" ? Repository.Mmdit("transformer.onnx") : model is "unet" or "digits_cnn" ? Repository.Digits(model + ".onnx") : Repository.Data($"archs/{model}.onnx");
        var rows = model == "digits_cnn" ? Repository.Digits("digits_calib.npz") : RandomRows(path, folder);
        Dictionary<string, string> metadata = new() { ["Precision"] = precision, ["Targets"] = "tensorrt-onnx", ["CalibrationData"] = rows, ["ValidationData"] = rows };
        foreach (var (name, value) in more)
            metadata[name] = value;
        using var calibrated = CalibratedPlan.Of(path, folder, metadata);
        return new TensorRtModel(calibrated.Model, calibrated.Plan, TensorAmax.Observe(calibrated.Model, calibrated.HeldOut, folder.Path, 2, null, default), calibrated.HeldOut);
    }

    public ModelProto Lowered => Lowering.Lower(Model, Plan, "tensorrt");

    /// <summary>SQNR in decibels of one graph against another, both as they are written, on the rows.</summary>
    public double Sqnr(ModelProto reference, ModelProto graph, TempFolder folder)
    {
        using var expected = Open(reference, folder, "expected");
        using var actual = Open(graph, folder, "actual");
        return QualityCheck.Compare(expected, actual, Rows, null, default).Min(q => q.SqnrDb);
    }

    public static ModelSession Open(ModelProto graph, TempFolder folder, string name = "model")
    {
        OnnxFile.Save(HalfPrecision.Runnable(graph), folder[name + ".onnx"], folder[name + ".data"]);
        return ModelSession.Open(folder[name + ".onnx"], new SessionSettings { Threads = 2, DisabledOptimizers = TensorRtFormats.DisabledOptimizers, Entries = new Dictionary<string, string> { ["session.disable_quant_qdq"] = "1" } });
    }

    private static string RandomRows(string path, TempFolder folder)
    {
        using var reference = ReferenceModel.Open(OnnxFile.Load(path), 2);
        return NpyWriter.Npz(folder, [.. reference.Session.Inputs.Select(RandomRuns.Fill).Zip(reference.Session.Inputs, (tensor, port) => (port.Name,
            tensor.Type == "float" ? NpyWriter.Npy("<f4", [.. tensor.Shape], tensor.AsSpan<float>().ToArray()) : NpyWriter.Npy("<i8", [.. tensor.Shape], tensor.AsSpan<long>().ToArray())))]);
    }
}
