using QuantSdk.Calibration;
using QuantSdk.Engines.TensorRt.Rules;
using QuantSdk.Quality;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;

namespace QuantSdk.Bench;

/// <summary>
/// Graphs for TensorRT in 16-bit floats, computed by ONNX Runtime's CPU as they are written: against the same graphs in 32 bits, and against the float
/// model. No kernel of TensorRT runs here.
/// </summary>
internal static class HalfBench
{
    public static void Run(Report report)
    {
        report.Line("  dB against the float model: float in fp16; int8 with the rest in fp32, fp16, bf16. Last: the two int8 graphs of fp16 and fp32 against each other.");
        report.Row("model", "float fp16", "int8 fp32", "int8 fp16", "int8 bf16", "int8 fp16:32", "in fp32", "broken");
        foreach (var name in ProtocolModel.Names)
            Measure(ProtocolModel.Read(name), report);
    }

    private static void Measure(ProtocolModel protocol, Report report)
    {
        using var scratch = new ScratchFolder();
        var quantisation = Quantisation.Of(protocol with { Recipe = protocol.Recipe with { OptimizeFor = "size" } }, scratch.Path);
        var amax = TensorAmax.Observe(quantisation.Model, protocol.Calibration, scratch.Path, Quantisation.Threads, null, CancellationToken.None);
        var lowered = Lowering.Lower(quantisation.Model, quantisation.Plan, "tensorrt", quantisation.Rounded);
        var half = HalfPrecision.Convert(lowered, amax, "fp16");
        using var reference = ModelSession.Open(protocol.Path, new SessionSettings { Threads = Quantisation.Threads });
        var inFloat = Against(reference, HalfPrecision.Convert(quantisation.Model.Proto, amax, "fp16").Model);
        var (int8, fp16, bf16) = (Against(reference, lowered), Against(reference, half.Model), Against(reference, HalfPrecision.Convert(lowered, amax, "bf16").Model));
        using var full = Open(lowered);
        var between = Against(full, half.Model);
        var broken = GraphRules.Check(lowered).Concat(GraphRules.Check(half.Model)).Count();
        report.Row(protocol.Name, $"{inFloat:f1}", $"{int8:f1}", $"{fp16:f1}", $"{bf16:f1}", $"{between:f1}", $"{half.Full.Count}/{half.Model.Graph.Node.Count}", $"{broken}");
        report.Figure($"{protocol.Name}_fp16_float_db", inFloat);
        report.Figure($"{protocol.Name}_int8_fp32_db", int8);
        report.Figure($"{protocol.Name}_int8_fp16_db", fp16);
        report.Figure($"{protocol.Name}_int8_bf16_db", bf16);
        report.Figure($"{protocol.Name}_int8_fp16_against_fp32_db", between);
        report.Figure($"{protocol.Name}_rules_broken", broken);

        double Against(ModelSession expected, Onnx.ModelProto graph)
        {
            using var actual = Open(graph);
            return QualityCheck.Compare(expected, actual, protocol.Test, null, CancellationToken.None)[0].SqnrDb;
        }

        ModelSession Open(Onnx.ModelProto graph) => Quantisation.OpenSimulated(HalfPrecision.Runnable(graph), Path.Combine(scratch.Path, $"{Guid.NewGuid():N}.onnx"));
    }
}
