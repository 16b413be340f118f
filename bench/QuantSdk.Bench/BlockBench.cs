using QuantSdk.Calibration;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;

namespace QuantSdk.Bench;

/// <summary>Float against the built engine, and calibration against plain forward passes, on models with Stable Diffusion's shapes.</summary>
internal static class BlockBench
{
    /// <summary>What one step with guidance runs: the conditional and the unconditional row.</summary>
    private const int BatchRows = 2;
    private const int Batches = 16;

    public static void Run(Report report)
    {
        using var scratch = new ScratchFolder();
        report.Row("model", "float ms", "int8 ms", "speedup", "of minima", "SQNR dB", "int8 share", "layers");
        var small = Speed(SdBlock.Small, rounds: 31, scratch.Path, report);
        Speed(SdBlock.Large, rounds: 9, scratch.Path, report);
        report.Line();
        Overhead(small, scratch.Path, report);
    }

    private static string Speed(SdBlock block, int rounds, string folder, Report report)
    {
        var built = BuiltBlock.Build(block, folder);
        using var reference = ModelSession.Open(built.FloatModel, new SessionSettings { Threads = Quantisation.Threads });
        using var engine = QuantizedModel.Load(built.Engine, new QuantizedModelOptions { Threads = Quantisation.Threads });
        var samples = block.Samples(1, seed: 2000);
        using var floatRun = Bind(reference, samples);
        using var int8Run = Bind(engine.Session, samples);
        var times = Interleaved.Rounds(rounds, Interleaved.Spinning, floatRun.Run, int8Run.Run);
        var (floatMs, int8Ms) = (Interleaved.Median(times[0]), Interleaved.Median(times[1]));
        var speedup = floatMs / int8Ms;
        var sqnr = built.Report.Quality[0].SqnrDb;
        report.Row($"{block.Name} ({built.Report.FloatBytes / 1e6:f1} -> {built.Report.EngineBytes / 1e6:f1} MB)", $"{floatMs:f1}", $"{int8Ms:f1}", $"{speedup:f2}x", $"{times[0].Min() / times[1].Min():f2}x", $"{sqnr:f2}", $"{built.Report.MacShare:f4}", $"{built.Report.Layers}");
        report.Figure(block.Name + "_int8_speedup", speedup);
        report.Figure(block.Name + "_int8_sqnr_db", sqnr);
        report.Figure(block.Name + "_int8_mac_share", built.Report.MacShare);
        return built.FloatModel;
    }

    private static ModelBinding Bind(ModelSession session, NpyArray samples)
    {
        var binding = session.Bind(new Dictionary<string, long[]> { ["sample"] = [.. samples.Shape] });
        samples.Data.Span.CopyTo(binding.InputBytes("sample"));
        return binding;
    }

    /// <summary>
    /// Everything a calibration does with an open session (all passes, counting, the search of the ranges) over one plain forward pass
    /// of the same batches; the least of interleaved rounds, as a ratio of two sums of work has no use for the neighbours' noise.
    /// </summary>
    private static void Overhead(string path, string folder, Report report)
    {
        const int Rounds = 7;
        var model = Simplification.Simplify(OnnxFile.Load(path));
        var tensors = Placement.Decide(model, new Recipe { Name = "block" }, roles: null).Tensors;
        using var plain = ModelSession.Open(path, new SessionSettings { Threads = Quantisation.Threads });
        using var observed = ObservedModel.Open(model, tensors, folder, Quantisation.Threads);
        var source = new RowSource(Feed.Fit(new Dictionary<string, NpyArray> { ["sample"] = SdBlock.Small.Samples(Batches * BatchRows, seed: 0) }, plain.Inputs, path));
        void Forward(int rows) => source.Run(plain, (_, _) => rows, (_, _) => { }, null, CancellationToken.None);
        // The block has no timestep.
        var names = RangeEstimator.Names.Where(n => n != "timestep").ToArray();
        Action[] variants = [() => Forward(BatchRows), () => Forward(1), .. names.Select<string, Action>(calibrator => () => Quantisation.Calibrate(observed, source, new Recipe { Name = "block", Calibrator = calibrator }, path))];
        var least = Interleaved.Rounds(Rounds, settle: TimeSpan.Zero, variants).Select(times => times.Min()).ToArray();
        report.Row($"{Batches} batches of {BatchRows}, {tensors.Count} tensors", "ms", "over plain");
        report.Row("plain forward", $"{least[0]:f0}", "1.000");
        report.Row("plain forward, one row at a time", $"{least[1]:f0}", $"{least[1] / least[0]:f3}");
        for (var i = 0; i < names.Length; i++)
            report.Row("calibrate, " + names[i], $"{least[i + 2]:f0}", $"{least[i + 2] / least[0]:f3}");
        double Ratio(string calibrator) => least[names.IndexOf(calibrator) + 2] / least[0];
        report.Figure("calibration_overhead", Ratio(new Recipe { Name = "block" }.Calibrator));
        report.Figure("calibration_overhead_max", Ratio("max"));
    }
}
