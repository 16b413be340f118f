using System.Diagnostics;
using QuantSdk.Runtime;

namespace QuantSdk.Bench;

/// <summary>The built engine of the large model against its float .onnx: time and private memory of loading, each in a fresh process.</summary>
internal static class EngineBench
{
    private const int Rounds = 7;

    public static void Run(Report report)
    {
        using var scratch = new ScratchFolder();
        var built = BuiltBlock.Build(SdBlock.Large, scratch.Path);
        (string Kind, string Path)[] variants = [("float", built.FloatModel), ("engine", built.Engine), ("engine-unverified", built.Engine), ("portable", built.Engine)];
        var results = variants.Select(_ => new List<double[]>()).ToArray();
        for (var round = 0; round < Rounds; round++)
            for (var v = 0; v < variants.Length; v++)
                results[v].Add(Children.Measure("load", variants[v].Kind, variants[v].Path));
        var ms = results.Select(r => Interleaved.Median(r.Select(x => x[0]))).ToArray();
        var mb = results.Select(r => Interleaved.Median(r.Select(x => x[1]))).ToArray();
        report.Row($"medians of {Rounds} processes each", "load ms", "private MB");
        report.Row($"float .onnx, {built.Report.FloatBytes / 1e6:f0} MB", $"{ms[0]:f0}", $"{mb[0]:f0}");
        report.Row($"engine, {built.Report.ShippedBytes / 1e6:f0} MB shipped", $"{ms[1]:f0}", $"{mb[1]:f0}");
        report.Row("engine, hashes not verified", $"{ms[2]:f0}", $"{mb[2]:f0}");
        report.Row("engine on another CPU", $"{ms[3]:f0}", $"{mb[3]:f0}");
        report.Figure("engine_load_speedup", ms[0] / ms[1]);
        report.Figure("engine_load_speedup_unverified", ms[0] / ms[2]);
        report.Figure("engine_memory_ratio", mb[0] / mb[1]);
    }

    /// <summary>Milliseconds and private MB of loading in this process, the native library being loaded already.</summary>
    /// <param name="args">float, engine, engine-unverified or portable; the path.</param>
    public static double[] LoadInChild(string[] args)
    {
        _ = ModelSession.OnnxRuntimeVersion;
        var path = args[1];
        var before = ProcessMemory.Private();
        var started = Stopwatch.GetTimestamp();
        using IDisposable loaded = args[0] switch
        {
            "float" => ModelSession.Open(path, new SessionSettings { Threads = Quantisation.Threads }),
            "engine" => Load(new()),
            "engine-unverified" => Load(new() { VerifyHashes = false }),
            "portable" => Load(new() { CpuFeatures = "another CPU" }),
            _ => throw new ArgumentException(args[0]),
        };
        var elapsed = Stopwatch.GetElapsedTime(started).TotalMilliseconds;
        return [elapsed, ProcessMemory.Private() - before];

        QuantizedModel Load(QuantizedModelOptions options) => QuantizedModel.Load(path, options with { Threads = Quantisation.Threads });
    }
}
