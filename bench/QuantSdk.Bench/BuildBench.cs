using System.Globalization;
using QuantSdk.Bench.Building;

namespace QuantSdk.Bench;

/// <summary>What models cost a build that has nothing to do, what the store saves, and what is left of builds that are killed.</summary>
internal static class BuildBench
{
    private const int Pairs = 30;
    private const int Hits = 15;
    private const int Kills = 100;
    private static readonly (string Name, Action<Report> Run)[] s_sections = [("noop", NoOp), ("store", Store), ("kill", Kill)];

    /// <summary>What is wrong with the sections asked for, or null.</summary>
    public static string? Unknown(IEnumerable<string> parts) =>
        parts.FirstOrDefault(p => s_sections.All(s => s.Name != p)) is { } unknown ? $"'{unknown}' is no section of build. There are: {string.Join(", ", s_sections.Select(s => s.Name))}." : null;

    /// <param name="parts">The sections to run; none: all.</param>
    public static void Run(Report report, IReadOnlyList<string> parts)
    {
        foreach (var (_, run) in s_sections.Where(s => parts.Count == 0 || parts.Contains(s.Name)))
            run(report);
    }

    /// <summary>
    /// A solution of four projects with twenty up-to-date models against the same solution without QuantSdk, in pairs one after the other:
    /// `dotnet build --no-restore` with its defaults, and on one node that starts cold.
    /// </summary>
    private static void NoOp(Report report)
    {
        using var scratch = new ScratchFolder();
        var (with, without) = (new ModelSolution(scratch.Folder("with"), withModels: true), new ModelSolution(scratch.Folder("without"), withModels: false));
        var first = with.BuildCold("-restore");
        without.BuildCold("-restore");
        var marks = with.Marks();
        report.Row("seconds", "20 models", "without", "added");
        report.Row("first build", Seconds(first), "", "");
        foreach (var (what, figure, build) in ((string, string, Func<ModelSolution, double>)[])[("no-op, dotnet build", "noop_added_ms", s => s.Build()), ("no-op, one cold node", "noop_added_cold_ms", s => s.BuildCold())])
        {
            // Whatever is slow once is slow now.
            build(with);
            build(without);
            var (seconds, plain) = (new List<double>(), new List<double>());
            for (var i = 0; i < Pairs; i++)
            {
                // Who comes first changes: the machine is never the same twice.
                if (i % 2 == 0) seconds.Add(build(with));
                plain.Add(build(without));
                if (i % 2 == 1) seconds.Add(build(with));
            }
            var added = Median([.. seconds.Zip(plain, (a, b) => a - b)]);
            report.Row($"{what}, median of {Pairs}", Seconds(Median(seconds)), Seconds(Median(plain)), Seconds(added));
            report.Figure(figure, added * 1000);
        }
        if (!with.Marks().SequenceEqual(marks))
            throw new InvalidOperationException("An engine was built again although nothing had changed.");
        var (targets, checking) = with.OwnTargets();
        report.Line(string.Create(CultureInfo.InvariantCulture, $"  by the binary log of a cold build our targets take {targets * 1000:0.0} ms, of which {checking * 1000:0.0} ms in those that check the models"));
        report.Figure("build_first_s", first);
        report.Figure("noop_targets_ms", targets * 1000);
    }

    /// <summary>The digits UNet from nothing: made, and taken from the store; and two builds of it at once.</summary>
    private static void Store(Report report)
    {
        using var scratch = new ScratchFolder();
        var project = new StoreHits(scratch.Folder("app"));
        var made = project.First();
        project.Build();
        List<double> hits = [.. Enumerable.Range(0, Hits).Select(_ => project.Build())];
        var makers = project.Twice();
        report.Row("seconds of QuantSdk.proj", "UNet");
        report.Row("made", Seconds(made));
        report.Row($"from the store, median of {Hits}", Seconds(Median(hits)));
        report.Line($"  two builds at once from an empty store: {makers} made the engine");
        report.Figure("store_made_s", made);
        report.Figure("store_hit_ms", Median(hits) * 1000);
        report.Figure("concurrent_makers", makers);
    }

    /// <summary>A hundred builds of a small classifier, killed: the tool, MSBuild or both, in every stage.</summary>
    private static void Kill(Report report)
    {
        if (!OperatingSystem.IsLinux())
        {
            report.Line("  kill: processes are found in /proc, and this is no Linux.");
            return;
        }
        using var scratch = new ScratchFolder();
        var trials = new KillTrials(scratch.Path, Path.Combine(Repository.Digits, "digits_cnn.onnx"), Path.Combine(Repository.Digits, "digits_calib.npz"), Path.Combine(Repository.Root, "build"), Repository.TasksAssembly, Repository.ToolAssembly);
        var outcomes = Enumerable.Range(0, Kills).Select(trials.Run).ToList();
        string[] victims = ["tool", "MSBuild", "both"];
        report.Row(["hit in", .. victims]);
        foreach (var stage in KillTrials.Stages.Append("ended"))
            report.Row([stage, .. victims.Select(v => outcomes.Count(o => o.Stage == stage && o.Victim == v).ToString(CultureInfo.InvariantCulture))]);
        foreach (var outcome in outcomes.Where(o => !o.Survived))
            report.Line($"  {outcome}");
        report.Figure("kill_survived", outcomes.Count(o => o.Survived));
        report.Figure("kill_orphans", outcomes.Sum(o => o.Orphans));
    }

    private static double Median(List<double> values) => values.Count % 2 == 1
        ? values.Order().ElementAt(values.Count / 2)
        : values.Order().Skip(values.Count / 2 - 1).Take(2).Average();

    private static string Seconds(double value) => value.ToString("f3", CultureInfo.InvariantCulture);
}
