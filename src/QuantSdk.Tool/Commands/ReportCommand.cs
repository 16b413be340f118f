using System.CommandLine;
using System.Globalization;
using QuantSdk.Caching.Hoisting;
using QuantSdk.Engines;
using QuantSdk.Planning;
using QuantSdk.Runtime;
using QuantSdk.Tool.Output;
using Spectre.Console;

namespace QuantSdk.Tool.Commands;

internal sealed class ReportCommand : StageCommand<BuildReport>
{
    private readonly Argument<string> _file = new("FILE") { Description = "NAME.report.json, which a build leaves in obj/quantsdk." };

    public ReportCommand()
        : base("report", "Prints the report of a build: sizes, quality, what runs in int8 and what does not, times.", """

            Examples:
              quantsdk report obj/quantsdk/unet.report.json
              quantsdk report obj/quantsdk/unet.report.json --json
            """, ToolJson.Readable.BuildReport) => Add(_file);

    protected override BuildReport Execute(ParseResult parse, IBuildLog log, CancellationToken cancellation)
    {
        var path = parse.GetRequiredValue(_file);
        var report = JsonFile.Read<BuildReport>(path, "the report of a build");
        // Other files of the build parse too: every member of them is unknown, every member of a report then null.
        return report is { Name: not null, Recipe: not null, Quality: not null, Kept: not null, Seconds: not null, NotFused: not null } ? report
            : throw new QuantSdkException("QSDK1006", $"'{path}' does not hold the report of a build.", path);
    }

    protected override void Print(BuildReport report, IAnsiConsole console)
    {
        string Number(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
        static (string, string)[] Facts() => [];
        Terminal.Facts(console,
            [("model", $"{report.Model} -> {report.Name} ({report.Recipe.Precision}, {report.Recipe.Calibrator})"),
            ("float", Terminal.Megabytes(report.FloatBytes)),
            ("engine", $"{Terminal.Megabytes(report.EngineBytes)}, {Terminal.Megabytes(report.ShippedBytes)} with prepacked weights"),
            ("int8", $"{report.Layers} layers, {Number(100 * report.MacShare, "f1")} % of the multiply-adds in int8 kernels"),
            ("times", string.Join(", ", report.Seconds.Select(s => $"{s.Key} {Number(s.Value, "f1")} s"))),
            .. report.Stages is { } stages ? [("stages", string.Join(", ", stages.Select(s => $"{s.Key} {(s.Value == "store" ? "from the store" : s.Value)}")))] : Facts(),
            .. report.Speedup is { } speedup ? [("speed", $"{Number(speedup.Median, "0.00")} times the float model's ({Number(speedup.Low, "0.00")} to {Number(speedup.High, "0.00")}, {speedup.Pairs} pairs)")] : Facts(),
            .. (report.Plans ?? []).Select(plan => ("TensorRT", $"{plan.Version} for {plan.Gpu} ({plan.ComputeCapability}), {Terminal.Megabytes(plan.Bytes)}, built in {Number(plan.Seconds, "f0")} s{(plan.Performance is { } p ? $"; {Number(p.Throughput, "0.0")} queries a second, {Number(p.GpuCompute?.Median ?? p.Latency?.Median ?? 0, "0.000")} ms" : "")}")),
            .. report.FullPrecision is { Count: > 0 } kept ? [("in 32 bits", string.Join(", ", kept.GroupBy(n => n.Reason).Select(g => $"{g.Count()} {g.Key}")))] : Facts(),
            .. (report.Missed ?? []).Select(gate => ("missed", gate))]);
        if (report.Quality.Count > 0)
            Terminal.Table(console, ["output", "SQNR (dB)", "cosine"], report.Quality.Select(q => (string[])[q.Output, Number(q.SqnrDb, "f2"), Number(q.Cosine, "f6")]));
        if (report.Cache is { } cut)
        {
            Terminal.Facts(console,
                ("cached", $"{cut.Cut}: {string.Join(", ", cut.Tensors)}"),
                ("live part", $"{Number(100 * cut.MacShare, "f1")} % of the multiply-adds; on the cached tensors of the same step {Number(cut.Difference, "g2")} from the full engine"));
            if (cut.Quality is { Count: > 0 } quality)
                Terminal.Table(console, ["output, with every 3rd step full", "SQNR (dB)", "cosine"], quality.Select(q => (string[])[q.Output, Number(q.SqnrDb, "f2"), Number(q.Cosine, "f6")]));
            if (cut.Schedules is { Count: > 0 } schedules)
                Terminal.Table(console, ["full steps", "of", "extrapolated", "change of the samples"],
                    schedules.Select(s => (string[])[string.Join(' ', s.Full), $"{s.Steps}", s.Extrapolation > 0 ? Number(s.Extrapolation, "0.##") : "", Number(100 * s.Error, "f2") + " %"]));
            if (cut.Candidates is { } candidates)
                CutCommand.Print(candidates, console);
        }
        if (report.Hoisted is { } hoisted)
            Terminal.Facts(console, ("hoisted", $"{HoistReport.Describe(hoisted.Tensors)}; {Number(100 * hoisted.MacShare, "f1")} % of the multiply-adds"));
        if (report.Costs is { Count: > 0 } costs)
        {
            double Sum(Func<LayerCost, double> of) => costs.Sum(of);
            Terminal.Table(console, ["layer", "shape", "runs in", "float (µs)", "int8 (µs)"],
                costs.OrderByDescending(c => c.FloatMicroseconds).Select(c => (string[])[c.Module.Length > 0 ? c.Module : c.Node, c.Shape, c.Format, Number(c.FloatMicroseconds, "f1"), Number(c.Int8Microseconds, "f1")])
                    .Append(["all", "", "as chosen", Number(Sum(c => c.FloatMicroseconds), "f1"), Number(Sum(c => c.Format == "int8" ? c.Int8Microseconds : c.FloatMicroseconds), "f1")]));
        }
        if (report.NotFused.Count > 0)
            Terminal.Table(console, ["meant for int8, stayed in float"], report.NotFused.Select(n => (string[])[n]));
        if (report.Kept.Count > 0)
            Terminal.Table(console, ["left alone", "op", "why"], report.Kept.Select(k => (string[])[k.Module.Length > 0 ? k.Module : k.Node, k.Op, k.Reason]));
    }
}
