using System.Text.Json;

namespace QuantSdk.Build.Tests;

/// <summary>What a build tells: to a person at each verbosity, to a script in a file, and to targets of the user.</summary>
[TestClass]
public sealed class ReportTests
{
    private const string Report = "-p:QuantSdkBinaryReport=out/models.json";

    [TestMethod]
    public void Report_has_every_model_with_outcome_times_gates_and_diagnostics_and_sarif_beside_it()
    {
        using var project = new FixtureProject("""
            <QuantizedModel Include="a.onnx" MinSqnr="20" />
            <QuantizedModel Include="b.onnx" />
            """).WithModels("a.onnx", "b.onnx");
        project.Script("a.onnx", "warn QSDK2007 Three ranges are empty.", "key 0123abcd");
        project.Script("b.onnx", "fail QSDK3002 Operator Foo is unknown.");

        Assert.IsFalse(project.BuildModels(Report).Succeeded);
        var (a, b) = Models(project);
        Assert.AreEqual("built failed", $"{Text(a, "outcome")} {Text(b, "outcome")}");
        Assert.AreEqual("20", Text(a.GetProperty("gates"), "MinSqnr"));
        var run = a.GetProperty("lastRun");
        Assert.AreEqual("0123abcd", Text(run, "key"));
        var phases = run.GetProperty("phases").EnumerateObject().ToList();
        CollectionAssert.AreEqual(new[] { "Start", "Calibrate", "Quantize", "BuildEngine", "Verify" }, phases.Select(p => p.Name).ToList());
        Assert.AreEqual(run.GetProperty("seconds").GetDouble(), phases.Sum(p => p.Value.GetDouble()), 0.05);
        Assert.AreEqual("QSDK2007", Text(run.GetProperty("diagnostics")[0], "code"));
        CollectionAssert.AreEqual(new[] { "warning QSDK2007 App.csproj", "error QSDK3002 b.onnx" }, Sarif(project));

        project.Script("a.onnx");
        project.Script("b.onnx", "hit");
        Assert.IsTrue(project.BuildModels(Report).Succeeded);
        (a, b) = Models(project);
        Assert.AreEqual("upToDate store", $"{Text(a, "outcome")} {Text(b, "outcome")}");
        Assert.AreEqual("0123abcd", Text(a.GetProperty("lastRun"), "key"));
        CollectionAssert.AreEqual(new[] { "warning QSDK2007 App.csproj" }, Sarif(project), "What is known of an engine that was not built again is told again.");
    }

    [TestMethod]
    public void Projects_share_one_report()
    {
        using var one = new FixtureProject("""<QuantizedModel Include="a.onnx" />""").WithModels("a.onnx");
        using var two = new FixtureProject("""<QuantizedModel Include="b.onnx" />""").WithModels("b.onnx");
        var shared = "-p:QuantSdkBinaryReport=" + Path.Combine(one.Folder, "out/models.json");

        Assert.IsTrue(two.BuildModels(shared).Succeeded);
        Assert.IsTrue(one.BuildModels(shared).Succeeded);
        Assert.IsTrue(two.BuildModels(shared).Succeeded);

        var (a, b) = Models(one);
        Assert.AreEqual("built upToDate", $"{Text(a, "outcome")} {Text(b, "outcome")}");
        Assert.AreEqual(Path.Combine(two.Folder, "App.csproj"), Text(b, "project"));
        CollectionAssert.AreEqual(new[] { "models.json", "models.sarif" }, FixtureProject.FilesIn(Path.Combine(one.Folder, "out")).ToList());
    }

    [TestMethod]
    [DataRow("quiet", false, false, false)]
    [DataRow("normal", true, false, false)]
    [DataRow("normal", true, true, false, "-v:n")]
    [DataRow("detailed", true, true, true)]
    public void Verbosity_decides_what_is_shown(string verbosity, bool summary, bool phases, bool chatter, string switches = "-v:m")
    {
        using var project = new FixtureProject("""<QuantizedModel Include="a.onnx" Steps="7" />""").WithModels("a.onnx");
        project.Script("a.onnx", "print a library's chatter");

        using var build = project.StartBuildingModels(switches, "-p:QuantSdkVerbosity=" + verbosity);
        Assert.IsTrue(build.Finish().Succeeded);

        var shown = build.Output().Select(l => l.Trim()).ToList();
        Assert.AreEqual(summary, shown.Any(l => l.StartsWith("a -> models/a (int8, ", StringComparison.Ordinal)));
        Assert.AreEqual(phases, shown.Any(l => l.StartsWith("a: Start 0.", StringComparison.Ordinal) && l.Contains("s, BuildEngine 0.", StringComparison.Ordinal)));
        Assert.AreEqual(phases, shown.Contains("a: a.onnx, Steps=7"));
        Assert.AreEqual(chatter, shown.Contains("a library's chatter"));
    }

    [TestMethod]
    public void Targets_of_the_user_run_before_and_after_every_phase()
    {
        using var project = new FixtureProject("""<QuantizedModel Include="a.onnx" />""", folder: "100% ;c", properties: "<QuantSdkModelTargets>eng/models.targets</QuantSdkModelTargets>").WithModels("a.onnx");
        string[] points = ["BeforeCalibrate", "AfterCalibrate", "BeforeQuantize", "AfterQuantize", "BeforeBuildEngine", "AfterBuildEngine", "BeforeVerify", "AfterVerify"];
        project.Write("eng/models.targets", $"""
            <Project>
              {string.Join('\n', points.Select(p => $"""<Target Name="QuantSdk{p}"><Message Text="at {p} of $(QuantSdkModelName), runs: $([System.IO.File]::Exists('{project.Folder}/a.onnx.runs')), there: $([System.IO.File]::Exists('$(QuantSdkModelDirectory)manifest.json'))" /></Target>"""))}
            </Project>
            """.Replace("100% ;c", "100%25 %3Bc", StringComparison.Ordinal));

        var log = project.BuildModels();

        Assert.IsTrue(log.Succeeded, string.Join("; ", log.Errors));
        var told = log.Messages.Where(m => m.StartsWith("at ", StringComparison.Ordinal)).ToList();
        CollectionAssert.AreEqual(points, told.Select(m => m.Split(' ')[1]).ToList());
        Assert.AreEqual("at BeforeCalibrate of a, runs: False, there: False", told[0]);
        Assert.AreEqual("at AfterVerify of a, runs: True, there: True", told[^1]);
        CollectionAssert.AreEqual(new[] { "QSDK1907" }, project.BuildModels("-p:QuantSdkModelTargets=none.targets").ErrorCodes.ToList());
        CollectionAssert.AreEqual(new[] { "QSDK1906" }, project.BuildModels("-p:QuantSdkVerbosity=loud").ErrorCodes.ToList());
    }

    private static (JsonElement A, JsonElement B) Models(FixtureProject project)
    {
        var models = JsonDocument.Parse(File.ReadAllText(Path.Combine(project.Folder, "out/models.json"))).RootElement.GetProperty("models").EnumerateArray().ToList();
        Assert.HasCount(2, models);
        return (models.Single(m => Text(m, "name") == "a"), models.Single(m => Text(m, "name") == "b"));
    }

    private static List<string> Sarif(FixtureProject project) =>
        [.. JsonDocument.Parse(File.ReadAllText(Path.Combine(project.Folder, "out/models.sarif"))).RootElement.GetProperty("runs")[0].GetProperty("results").EnumerateArray()
            .Select(r => $"{Text(r, "level")} {Text(r, "ruleId")} {Text(r.GetProperty("locations")[0].GetProperty("physicalLocation").GetProperty("artifactLocation"), "uri")}")];

    private static string? Text(JsonElement element, string name) => element.GetProperty(name).GetString();
}
