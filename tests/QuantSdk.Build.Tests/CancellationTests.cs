namespace QuantSdk.Build.Tests;

/// <summary>A build that is stopped stops its tools and leaves the old engine or the new one.</summary>
[TestClass]
public sealed class CancellationTests
{
    private const int HangUp = 1, Interrupt = 2;

    [TestMethod]
    [DataRow(Interrupt, false)]
    [DataRow(Interrupt, true)]
    [DataRow(HangUp, false)]
    public void Interrupted_build_or_one_whose_terminal_closes_stops_its_tool_even_a_deaf_one(int signal, bool deaf)
    {
        using var project = BuiltAndTouched(deaf ? ["deaf", "wait-for never"] : ["wait-for never"], out var before);
        using var build = project.StartBuildingModels();
        var tool = project.WaitForTool("a.onnx");

        build.Signal(signal);

        Assert.IsTrue(ProcessTable.Ends(tool, TimeSpan.FromSeconds(60)), "The tool did not end.");
        build.WaitForExit();
        AssertWhole(project, before);
    }

    [TestMethod]
    public void Killed_build_takes_its_tool_along_and_leaves_the_old_engine()
    {
        using var project = BuiltAndTouched(["wait-for never"], out var before);
        using var build = project.StartBuildingModels("-m:1");
        var tool = project.WaitForTool("a.onnx");

        build.Kill();

        Assert.IsTrue(ProcessTable.Ends(tool, TimeSpan.FromSeconds(60)), "The tool did not see that its parent had died.");
        AssertWhole(project, before);
    }

    private static FixtureProject BuiltAndTouched(string[] script, out IReadOnlyDictionary<string, string> engine)
    {
        var project = new FixtureProject("""<QuantizedModel Include="a.onnx" />""").WithModels("a.onnx");
        Assert.IsTrue(project.BuildModels().Succeeded);
        engine = project.Engine("a");
        project.Touch("a.onnx");
        project.ForgetRuns("a.onnx");
        project.Script("a.onnx", script);
        return project;
    }

    private static void AssertWhole(FixtureProject project, IReadOnlyDictionary<string, string> before)
    {
        CollectionAssert.AreEquivalent(before.ToList(), project.Engine("a").ToList());
        Assert.IsEmpty(Directory.GetDirectories(project.EngineFolder, "*.tmp"));
        project.Script("a.onnx");
        Assert.HasCount(1, project.BuildModels().ModelsBuilt);
        Assert.IsEmpty(project.BuildModels().ModelsBuilt);
    }
}
