using Microsoft.ML.OnnxRuntime;
using QuantSdk.Calibration;
using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;

namespace QuantSdk.Bench;

/// <summary>
/// The int8 engine that cost-aware planning makes against our own float engine of the same model: two rows, two threads, interleaved in one
/// run. Each gets the float fusions of the cpu lowering.
/// </summary>
internal static class SpeedBench
{
    private const int Rows = 2;
    private const int Rounds = 60;

    public static void Run(Report report)
    {
        report.Row("model", "float ms", "int8 ms", "speedup", "of minima", "one thread", "int8 share", "in float", "plain ms");
        foreach (var name in ProtocolModel.Names)
            Measure(ProtocolModel.Read(name), report);
    }

    private static void Measure(ProtocolModel protocol, Report report)
    {
        using var scratch = new ScratchFolder();
        var quantisation = Quantisation.Of(protocol, scratch.Path, costAware: true);
        var floatModel = scratch.File("float.onnx");
        OnnxFile.Save(FloatFusions.Apply(quantisation.Model).Proto, floatModel, Path.ChangeExtension(floatModel, ".data"));
        var floatEngine = Path.ChangeExtension(floatModel, ".optimised.onnx");
        OrtEngine.Optimise(floatModel, floatEngine, Quantisation.Threads);
        quantisation.OpenEngine(out var fused).Dispose();
        var int8Engine = Path.ChangeExtension(quantisation.Portable, ".optimised.onnx");
        var times = Times(protocol, Quantisation.Threads, floatEngine, int8Engine);
        // What runs on one thread is not interrupted as much where cores are shared: a check of the ratio above.
        var alone = Times(protocol, 1, floatEngine, int8Engine);
        var speedup = Interleaved.Median(times[0]) / Interleaved.Median(times[1]);
        report.Row(
            protocol.Name, $"{Interleaved.Median(times[0]):f2}", $"{Interleaved.Median(times[1]):f2}", $"{speedup:f2}x", $"{times[0].Min() / times[1].Min():f2}x", $"{alone[0].Min() / alone[1].Min():f2}x",
            $"{fused.MacShare:f3}", $"{quantisation.Plan.Kept.Count(k => k.Macs > 0)}", $"{Interleaved.Median(times[2]):f2}");
        report.Figure($"{protocol.Name}_cpu_speedup", speedup);
        report.Figure($"{protocol.Name}_cpu_speedup_of_minima", times[0].Min() / times[1].Min());
        report.Figure($"{protocol.Name}_int8_mac_share", fused.MacShare);
    }

    /// <summary>Milliseconds of the float engine, of the int8 engine, and of the model as it came.</summary>
    private static double[][] Times(ProtocolModel protocol, int threads, string floatEngine, string int8Engine)
    {
        using var plain = ModelSession.Open(protocol.Path, new SessionSettings { Threads = threads });
        using var reference = ModelSession.Open(floatEngine, new SessionSettings { Threads = threads, Optimisation = GraphOptimizationLevel.ORT_DISABLE_ALL });
        using var engine = ModelSession.Open(int8Engine, new SessionSettings { Threads = threads, Optimisation = GraphOptimizationLevel.ORT_DISABLE_ALL });
        double[][]? times = null;
        protocol.Test.Run(plain, (_, _) => Rows, (seen, _) =>
        {
            if (times is not null)
                return;
            using var a = Bound(reference, seen);
            using var b = Bound(engine, seen);
            times = Interleaved.Rounds(Rounds, Interleaved.Spinning, a.Run, b.Run, seen.Run);
        }, null, CancellationToken.None);
        return times!;
    }

    private static ModelBinding Bound(ModelSession session, ModelBinding seen)
    {
        var binding = session.Bind(session.Inputs.ToDictionary(i => i.Name, i => seen.InputShape(i.Name).ToArray()));
        foreach (var input in session.Inputs)
            seen.InputBytes(input.Name).CopyTo(binding.InputBytes(input.Name));
        return binding;
    }
}
