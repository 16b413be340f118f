using System.Globalization;
using QuantSdk.Calibration;
using QuantSdk.Engines;
using QuantSdk.Quality;
using QuantSdk.Runtime;

namespace QuantSdk.Bench;

/// <summary>The three models by the protocol the peers were measured by: quality, what runs in int8, and what quantising costs.</summary>
internal static class QuantiseBench
{
    private const int CostRounds = 3;

    /// <summary>One batch a step: 20 samples, conditional and unconditional.</summary>
    private const int UnetBatch = 40;

    public static void Run(Report report)
    {
        // First, while nothing is compiled or cached yet, as in a build.
        CostOfUnet(report);
        report.Line();
        report.Row("model", "SQNR dB", "tensorrt dB", "int8 share", "layers", "size ratio", "speed");
        foreach (var name in ProtocolModel.Names)
            Measure(Whole(ProtocolModel.Read(name)), report);
    }

    /// <summary>Peak memory of calibrate, plan and rewrite, in a process that does nothing else.</summary>
    public static double[] PeakInChild(string[] args)
    {
        using var scratch = new ScratchFolder();
        Quantisation.Of(Whole(ProtocolModel.Read(args[0])), scratch.Path);
        return [ProcessMemory.Peak()];
    }

    /// <summary>Every layer that can be quantised is, whether it pays or not: what quantising costs is asked here.</summary>
    private static ProtocolModel Whole(ProtocolModel protocol) => protocol with { Recipe = protocol.Recipe with { OptimizeFor = "size" } };

    private static void CostOfUnet(Report report)
    {
        var unet = Whole(ProtocolModel.Read("unet"));
        var ratios = new List<double>();
        report.Row("UNet", "quantise s", "forward s", "ratio");
        for (var round = 0; round < CostRounds; round++)
        {
            using var scratch = new ScratchFolder();
            // A default session but for what its workers do after a run: spinning, they would slow the calibration's next batch.
            using var plain = ModelSession.Open(unet.Path, new SessionSettings { Threads = Quantisation.Threads, Entries = new Dictionary<string, string> { ["session.force_spinning_stop"] = "1" } });
            using var forward = new PlainForward(plain, UnetBatch);
            var seconds = Quantisation.Of(unet, scratch.Path, forward).Seconds;
            ratios.Add(seconds / forward.Running.TotalSeconds);
            report.Row(round == 0 ? "first (nothing compiled yet)" : "again", $"{seconds:f2}", $"{forward.Running.TotalSeconds:f2}", $"{ratios[^1]:f2}");
        }
        report.Figure("unet_quantise_over_forward", Interleaved.Median(ratios));
        var peak = Children.Measure("quantise", unet.Name)[0];
        report.Line($"  peak memory of quantising it, in a process of its own: {peak:f0} MB");
        report.Figure("unet_quantise_rss_mb", peak);
    }

    private static void Measure(ProtocolModel protocol, Report report)
    {
        using var scratch = new ScratchFolder();
        var quantisation = Quantisation.Of(protocol, scratch.Path);
        using var reference = ModelSession.Open(protocol.Path, new SessionSettings { Threads = Quantisation.Threads });
        using var engine = quantisation.OpenEngine(out var fused);
        using var tensorrt = quantisation.OpenTensorRt();
        var (cpuDb, tensorrtDb) = (Sqnr(reference, engine, protocol.Test), Sqnr(reference, tensorrt, protocol.Test));
        var speed = EngineSpeed.Ratio(reference, engine, protocol.Test);
        var size = (double)quantisation.PortableBytes / quantisation.Original.FileBytes;
        report.Row(protocol.Name, $"{cpuDb:f2}", $"{tensorrtDb:f2}", $"{fused.MacShare:f4}", $"{fused.Fused.Count}/{quantisation.Plan.Layers.Count}", $"{size:f3}", $"{speed:f2}x");
        report.Figure($"{protocol.Name}_sqnr_db", cpuDb);
        report.Figure($"{protocol.Name}_tensorrt_sqnr_db", tensorrtDb);
        report.Figure($"{protocol.Name}_int8_mac_share", fused.MacShare);
        report.Figure($"{protocol.Name}_size_ratio", size);
        report.Figure($"{protocol.Name}_speedup", speed);
        if (protocol.Labels.Count == 0)
            return;
        var top1 = new Top1Metric(protocol.Test, protocol.Labels);
        var (floatAccuracy, int8Accuracy) = (top1.Accuracy(reference), top1.Accuracy(engine));
        report.Line(string.Create(CultureInfo.InvariantCulture, $"  {protocol.Name}: accuracy on {protocol.Labels.Count} test images: float {floatAccuracy:f3}, int8 {int8Accuracy:f3}"));
        report.Figure($"{protocol.Name}_accuracy_float", floatAccuracy);
        report.Figure($"{protocol.Name}_accuracy_int8", int8Accuracy);
    }

    /// <summary>SQNR over every test output, both networks fed with what the float loop computed.</summary>
    private static double Sqnr(ModelSession reference, ModelSession session, CalibrationSource test) =>
        QualityCheck.Compare(reference, session, test, null, CancellationToken.None)[0].SqnrDb;
}
