using System.Text.Json;
using QuantSdk.Build.Tests.BadInputs;

namespace QuantSdk.Build.Tests;

/// <summary>Whatever is wrong with what a user gives: a code, a message that names the cause, and everything on disk as it was.</summary>
[TestClass]
public sealed class BadInputTests
{
    private static readonly Dictionary<string, BadInput> s_inputs =
        BadModels.All.Concat(BadData.All).Concat(BadOptions.All).Concat(BadOutputs.All).ToDictionary(i => i.Name, i => i.Input);

    public static IEnumerable<object[]> Names => s_inputs.Keys.Select(name => new object[] { name });

    [TestMethod]
    [DynamicData(nameof(Names))]
    public void Bad_input_is_a_coded_error_that_names_the_cause_and_leaves_nothing(string name)
    {
        var input = s_inputs[name];
        if (input.NotHere() is { } reason)
            Assert.Inconclusive(reason);
        using var folder = new CaseFolder();
        var arguments = Arguments(folder, input.Prepare(folder));
        var before = folder.Snapshot();

        var run = ToolRun.Start(folder, arguments, input.Wrapper);

        var told = $"{run.Output}\n{run.Error}";
        Assert.AreEqual(1, run.ExitCode, told);
        var error = JsonDocument.Parse(run.Output).RootElement.GetProperty("error");
        var message = error.GetProperty("message").GetString()!;
        var about = $"{message}\n{error.GetProperty("file").GetString()}";
        Assert.AreEqual(input.Code, error.GetProperty("code").GetString(), told);
        foreach (var cause in input.Cause)
            StringAssert.Contains(about, cause, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", told);
        Assert.DoesNotContain("\n", message);
        Assert.AreEqual("", run.Error.Trim());
        Assert.AreEqual(before, folder.Snapshot());
    }

    [TestMethod]
    public void The_same_inputs_without_the_fault_are_built()
    {
        using var folder = new CaseFolder();
        foreach (var arguments in (string[][])[[folder["tiny.onnx"], "--data", folder["good.npz"]], BadOptions.Sampling(folder)])
        {
            var run = ToolRun.Start(folder, Arguments(folder, arguments), []);

            Assert.AreEqual(0, run.ExitCode, run.Output + run.Error);
            Assert.AreEqual(1, JsonDocument.Parse(run.Output).RootElement.GetProperty("report").GetProperty("layers").GetInt32());
            CollectionAssert.AreEqual(new[] { "cpu", "manifest.json" }, Directory.EnumerateFileSystemEntries(folder.Output).Select(e => Path.GetFileName(e)).Order().ToArray());
            CollectionAssert.AreEqual(new[] { "engine" }, Directory.EnumerateFileSystemEntries(folder["out"]).Select(e => Path.GetFileName(e)).ToArray());
        }
    }

    private static string[] Arguments(CaseFolder folder, string[] given) =>
        // A layer this small does not pay, and would stay in float.
        ["build", .. given, .. given.Contains("--output") ? [] : (string[])["--output", folder.Output], .. given.Contains("--optimize-for") ? [] : (string[])["--optimize-for", "size"], "--json"];
}
