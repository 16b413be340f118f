using System.Diagnostics;
using System.Text.RegularExpressions;
using QuantSdk.Engines.TensorRt;
using QuantSdk.TrtExecStandIn;

namespace QuantSdk.Tests.Engines.TensorRt;

/// <summary>Reading output: transcripts in the genuine format under tests/data/trtexec/transcripts (their times are invented), and the stand-in against them.</summary>
[TestClass]
public sealed partial class TrtExecOutputTests
{
    private static string Transcript(string name) => Repository.Data(Path.Combine("trtexec", "transcripts", name));

    [TestMethod]
    [DataRow("10.13.3.ok", "10.13.3.9", true), DataRow("10.13.3.skip", "10.13.3.9", false), DataRow("11.1.ok", "11.1.0.106", true)]
    public void A_run_that_passed(string name, string version, bool measured)
    {
        var output = Read(name);
        Assert.IsTrue(output.Passed);
        Assert.AreEqual(version, output.Version.ToString());
        Assert.AreEqual(("NVIDIA H100 80GB HBM3", "9.0", 312.7), (output.Gpu, output.ComputeCapability, output.BuildSeconds));
        Assert.AreEqual("W True example warning from the library", string.Join('\n', output.Messages.Select(m => $"{m.Level} {m.IsLibrary} {m.Text}")));
        Assert.AreEqual(measured, output.Performance is not null);
        if (output.Performance is not { } performance)
            return;
        Assert.AreEqual((23.8436, 2.3067, 2.2632), (performance.Throughput, performance.HostSeconds, performance.GpuSeconds));
        Assert.AreEqual((41.2999, 41.6001, 41.4491, 41.45), (performance.Latency!.Min, performance.Latency.Max, performance.Latency.Mean, performance.Latency.Median));
        Assert.AreEqual("90=41.6 95=41.6 99=41.6001", string.Join(' ', performance.Latency.Percentiles.Select(p => FormattableString.Invariant($"{p.Key}={p.Value}"))));
        Assert.AreEqual((0.0998535, 0.199951, 41.15, 0.400024), (performance.DeviceToHost!.Min, performance.HostToDevice!.Min, performance.GpuCompute!.Median, performance.Enqueue!.Max));
    }

    [TestMethod]
    public void Runs_that_failed()
    {
        var output = Read("11.1.fail");
        Assert.IsTrue(output.Failed && !output.Passed);
        Assert.HasCount(6, output.Messages);
        Assert.AreEqual("IBuilder::buildSerializedNetworkToStream: Error Code 10: Internal Error (Could not find any implementation for node example.)", output.Messages.First(m => m.IsError).Text);
        output = Read("11.1.badopt");
        Assert.IsTrue(!output.Failed && !output.Passed);
        Assert.AreEqual("Unknown option: --int8 ", output.Messages.Single().Text);
    }

    [TestMethod]
    public void Numbers_of_C_streams()
    {
        var output = new TrtExecOutput();
        foreach (var text in (string[])["=== Performance summary ===", "Throughput: 1e+06 qps", "Latency: min = 0 ms, max = inf ms, mean = 1.5e-05 ms, median = nan ms, percentile(99.9%) = -inf ms"])
            output.Read("[11/22/2026-00:27:05] [I] " + text, false);
        var latency = output.Performance!.Latency!;
        Assert.AreEqual(1e6, output.Performance.Throughput);
        Assert.AreEqual((0, double.PositiveInfinity, 1.5e-5, true, double.NegativeInfinity), (latency.Min, latency.Max, latency.Mean, double.IsNaN(latency.Median), latency.Percentiles["99.9"]));
    }

    [TestMethod]
    public void Messages_of_several_lines_and_bare_errors()
    {
        var output = new TrtExecOutput();
        foreach (var line in (string[])["[11/22/2026-00:27:05] [E] [TRT] While parsing node number 3 [Conv -> \"y\"]:", "--- Begin node ---", "[11/22/2026-00:27:05] [W] two", "Cuda failure at a.h:1: out of memory"])
            output.Read(line, true);
        output.Read("noise on standard output", false);
        Assert.AreEqual("E|W|C", string.Join('|', output.Messages.Select(m => m.Level)));
        StringAssert.EndsWith(output.Messages[0].Text, "\n--- Begin node ---");
        Assert.AreEqual("two", output.Messages[1].Text);
    }

    [TestMethod]
    [DataRow("&&&& RUNNING TensorRT.trtexec [TensorRT v8601] # trtexec --help", "RUNNING", "8.6.1.0")]
    [DataRow("&&&& PASSED TensorRT.trtexec [TensorRT v9200] # x", "PASSED", "9.2.0.0")]
    [DataRow("&&&& FAILED TensorRT.trtexec [TensorRT v100001] # x", "FAILED", "10.0.1.0")]
    [DataRow("&&&& PASSED TensorRT.trtexec [TensorRT v101303] [b9] # x y=z", "PASSED", "10.13.3.9")]
    [DataRow("&&&& RUNNING TensorRT.trtexec [TensorRT v110100] [b106] # x", "RUNNING", "11.1.0.106")]
    public void Banners(string line, string state, string version) => Assert.AreEqual((state, version), (TrtExecBanner.Parse(line)!.State, TrtExecBanner.Parse(line)!.Version.ToString()));

    [TestMethod]
    public void What_is_no_banner() => Assert.IsNull(TrtExecBanner.Parse("[I] &&&& PASSED TensorRT.trtexec [TensorRT v8601] # x"));

    /// <summary>The stand-in writes what the transcripts have, line by line, but for times, its path and the name of a layer.</summary>
    [TestMethod]
    [DataRow("10.13", "10.13.3.ok", null), DataRow("10.13", "10.13.3.skip", null), DataRow("11.1", "11.1.ok", null)]
    public void The_stand_in_writes_the_genuine_format(string family, string name, string? failure)
    {
        using var folder = new TempFolder();
        var program = StandInTrtExec.Write(folder.Path, family, failure);
        File.WriteAllBytes(folder["unet.onnx"], Google.Protobuf.MessageExtensions.ToByteArray(TrtModels.Static()));
        var genuine = File.ReadAllLines(Transcript(name + ".stdout"));
        var arguments = genuine[0][(genuine[0].IndexOf(" # ", StringComparison.Ordinal) + 3)..].Split(' ')[1..];
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { WorkingDirectory = folder.Path, RedirectStandardOutput = true, RedirectStandardError = true })!;
        var error = process.StandardError.ReadToEndAsync();
        var lines = process.StandardOutput.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries);
        CollectionAssert.AreEqual(genuine.Select(Comparable).ToArray(), lines.Select(Comparable).ToArray());
        Assert.AreEqual(Comparable(File.ReadAllText(Transcript(name + ".stderr")).TrimEnd()), Comparable(error.Result.TrimEnd()));
    }

    private static string Comparable(string line) => ProgramRegex().Replace(TimeRegex().Replace(line, "[time]"), "# trtexec");

    private static TrtExecOutput Read(string name)
    {
        var output = new TrtExecOutput();
        foreach (var line in File.ReadAllLines(Transcript(name + ".stdout")))
            output.Read(line, false);
        foreach (var line in File.ReadAllLines(Transcript(name + ".stderr")))
            output.Read(line, true);
        return output;
    }

    [GeneratedRegex(@"^\[\d\d/\d\d/\d{4}-\d\d:\d\d:\d\d\]")]
    private static partial Regex TimeRegex();

    [GeneratedRegex(@"# \S+")]
    private static partial Regex ProgramRegex();
}
