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

    /// <summary>`dotnet build` of a solution of four projects with twenty up-to-date models against the same solution without QuantSdk, on one node, in pairs one after the other.</summary>
    private static void NoOp(Report report)
    {
        using var scratch = new ScratchFolder();
        var (with, without) = (new ModelSolution(scratch.Folder("with"), withModels: true), new ModelSolution(scratch.Folder("without"), withModels: false));
        var first = with.Build("-restore");
        without.Build("-restore");
        var marks = with.Marks();
        // Whatever is slow once is slow now.
        with.Build();
        without.Build();
        var (seconds, plain) = (new List<double>(), new List<double>());
        for (var i = 0; i < Pairs; i++)
        {
            // Who comes first changes: the machine is never the same twice.
            if (i % 2 == 0) seconds.Add(with.Build());
            plain.Add(without.Build());
            if (i % 2 == 1) seconds.Add(with.Build());
        }
        if (!with.Marks().SequenceEqual(marks))
            throw new InvalidOperationException("An engine was built again although nothing had changed.");
        var added = Median([.. seconds.Zip(plain, (a, b) => a - b)]);
        var (targets, copies) = with.OwnTargets();
        report.Row("seconds", "20 models", "without");
        report.Row("first build", Seconds(first), "");
        report.Row($"no-op build, median of {Pairs}", Seconds(Median(seconds)), Seconds(Median(plain)));
        report.Line(string.Create(CultureInfo.InvariantCulture, $"  added: median of the pairs {added * 1000:0} ms; by the binary log our targets take {targets * 1000:0.0} ms (of which {copies * 1000:0.0} ms in those that check the models)"));
        report.Figure("build_first_s", first);
        report.Figure("build_noop_with_models_s", Median(seconds));
        report.Figure("build_noop_without_s", Median(plain));
        report.Figure("noop_added_ms", added * 1000);
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
