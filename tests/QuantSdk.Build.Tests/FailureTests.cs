namespace QuantSdk.Build.Tests;

/// <summary>A tool that fails in any way: a coded error, the old engine untouched, and the next build right.</summary>
[TestClass]
public sealed partial class FailureTests
{
    [TestMethod]
    [DataRow("fail QSDK3002 Operator Foo is unknown.", "QSDK3002", "conv_in")]
    [DataRow("die", "QSDK0011", "signal 9")]
    [DataRow("crash", "QSDK0011", "signal 11")]
    [DataRow("exit 3", "QSDK0012", "exit code 3")]
    [DataRow("exit 0", "QSDK0012", "exit code 0")]
    [DataRow("long-line", "QSDK0013", "1048576")]
    [DataRow("print {broken", "QSDK0014", "{broken")]
    [DataRow("forget cpu/model.data", "QSDK0015", "model.data")]
    public void Failing_tool_is_a_coded_error_and_the_next_build_is_right(string command, string code, string detail)
    {
        using var project = new FixtureProject("""<QuantizedModel Include="a.onnx" /><QuantizedModel Include="b.onnx" />""").WithModels("a.onnx", "b.onnx");
        project.Script("a.onnx", "error-print last words", command);

        var failed = project.BuildModels();

        Assert.IsFalse(failed.Succeeded);
        CollectionAssert.AreEqual(new[] { code }, failed.ErrorCodes.ToList());
        StringAssert.Contains(failed.Errors[0].Text, detail, StringComparison.Ordinal);
        if (command == "die") StringAssert.Contains(failed.Errors[0].Text, "last words", StringComparison.Ordinal);
        StringAssert.EndsWith(failed.Errors[0].File, code == "QSDK3002" ? "a.onnx" : "App.csproj", StringComparison.Ordinal);
        Assert.HasCount(5, project.Engine("b"), "A failing model took another one along.");

        project.Script("a.onnx");
        CollectionAssert.AreEqual(new[] { "a" }, project.BuildModels().ModelsBuilt.ToList());
        Assert.HasCount(5, project.Engine("a"));
    }

    [TestMethod]
    public void Killed_tool_leaves_the_old_engine_whole()
    {
        using var project = new FixtureProject("""<QuantizedModel Include="a.onnx" Precision="int8" />""").WithModels("a.onnx");
        project.BuildModels();
        var before = project.Engine("a");

        project.Declare("""<QuantizedModel Include="a.onnx" Precision="none" />""");
        project.Script("a.onnx", "die");
        Assert.IsFalse(project.BuildModels().Succeeded);
        CollectionAssert.AreEquivalent(before.ToList(), project.Engine("a").ToList());

        // The old options again: what lies there would fit, but nothing vouches for it.
        project.Script("a.onnx");
        project.Declare("""<QuantizedModel Include="a.onnx" Precision="int8" />""");
        Assert.HasCount(1, project.BuildModels().ModelsBuilt);
    }

    [TestMethod]
    public void Warnings_and_texts_of_the_tool_reach_the_log()
    {
        using var project = new FixtureProject("""<QuantizedModel Include="a.onnx" />""").WithModels("a.onnx");
        project.Script("a.onnx", "warn QSDK2007 Three ranges are empty.", "print a library's chatter", "error-print {not an answer");

        var log = project.BuildModels();

        Assert.IsTrue(log.Succeeded);
        Assert.AreEqual("QSDK2007", log.Warnings.Single().Code);
        StringAssert.EndsWith(log.Warnings[0].File, "App.csproj", StringComparison.Ordinal);
        CollectionAssert.IsSubsetOf(new[] { "a library's chatter", "{not an answer", "a: Calibrate 50 %" }, log.Messages.ToList());
    }

    [TestMethod]
    public void Heartbeat_tells_how_far_a_long_phase_is()
    {
        using var project = new FixtureProject("""<QuantizedModel Include="a.onnx" />""").WithModels("a.onnx");
        project.Script("a.onnx", "wait-for go");
        using var build = project.StartBuildingModels("-p:_QuantSdkHeartbeatSeconds=1");
        project.WaitForTool("a.onnx");

        // How many seconds have gone by is the machine's affair.
        build.WaitForLine(line => HeartbeatRegex().IsMatch(line));
        project.Write("go", "");

        Assert.IsTrue(build.Finish().Succeeded);
    }

    [System.Text.RegularExpressions.GeneratedRegex(@"\ba: Calibrate, 50 %, \d+ s")]
    private static partial System.Text.RegularExpressions.Regex HeartbeatRegex();
}
