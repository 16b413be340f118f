using System.Diagnostics;
using System.Text.Json;
using QuantSdk.Build.Tests.BadInputs;
using QuantSdk.TrtExecStandIn;

namespace QuantSdk.Build.Tests;

/// <summary>`quantsdk trtexec`, with a stand-in for the program.</summary>
[TestClass]
public sealed class TrtExecCommandTests
{
    [TestMethod]
    public void It_is_found_shown_told_and_run()
    {
        using var folder = new CaseFolder();
        var program = StandInTrtExec.Write(folder["Tensor RT"], "11.1");
        var found = Run(folder, 0, "trtexec", "--json");
        Assert.AreEqual($"{program} 11.1.0 QUANTSDK_TRTEXEC", $"{found.GetProperty("path")} {found.GetProperty("version")} {found.GetProperty("origin")}");

        string[] model = ["trtexec", "tiny.onnx", "-o", "tiny.plan", "--measure", "--argument=--maxTactics=16", "--json"];
        var command = Run(folder, 0, [.. model, "--dry-run"]).GetProperty("command").EnumerateArray().Select(a => a.GetString()).ToArray();
        Assert.AreEqual((program, $"--onnx={folder["tiny.onnx"]}", $"--saveEngine={folder["tiny.plan"]}"), (command[0], command[1], command[2]));
        Assert.HasCount(0, StandInTrtExec.Runs(folder["Tensor RT"]));

        var plan = Run(folder, 0, model).GetProperty("plan");
        Assert.AreEqual("11.1.0.106 9.0 23.8436", $"{plan.GetProperty("version")} {plan.GetProperty("computeCapability")} {plan.GetProperty("performance").GetProperty("throughput")}");
        Assert.IsTrue(File.Exists(folder["tiny.plan"]));

        Assert.AreEqual("QSDK4026", Run(folder, 1, [.. model, "--weakly-typed"]).GetProperty("error").GetProperty("code").GetString());
        File.Delete(program);
        Assert.AreEqual("QSDK4021", Run(folder, 1, "trtexec", "--json").GetProperty("error").GetProperty("code").GetString());
    }

    /// <summary>The GPU is taken as long as trtexec uses it, not as long as the tool lives.</summary>
    [TestMethod]
    [OSCondition(OperatingSystems.Linux)]
    public void A_tool_that_is_killed_leaves_the_lock_to_its_trtexec()
    {
        using var folder = new CaseFolder();
        var bin = folder["Tensor RT"];
        StandInTrtExec.Write(bin, "10.13", "hang");
        using var killed = Process.Start(Start(folder, "trtexec", "tiny.onnx", "-o", "first.plan"))!;
        WaitUntil(() => StandInTrtExec.Runs(bin).Count == 1);
        killed.Kill();
        killed.WaitForExit();
        var trtexec = StandInTrtExec.Runs(bin)[0].Process;
        Assert.IsTrue(Directory.Exists($"/proc/{trtexec}"), "trtexec went with the tool: nothing is shown");

        using var second = Process.Start(Start(folder, "trtexec", "tiny.onnx", "-o", "second.plan"))!;
        var errors = second.StandardError.ReadLine();
        StringAssert.Contains(errors, "waits for another build's trtexec");
        Assert.HasCount(1, StandInTrtExec.Runs(bin));
        File.WriteAllText(StandInTrtExec.Release(bin), "");
        second.StandardError.ReadToEnd();
        second.WaitForExit();
        Assert.AreEqual(0, second.ExitCode);
        Assert.HasCount(2, StandInTrtExec.Runs(bin));
        Assert.IsTrue(File.Exists(folder["second.plan"]));
    }

    private static void WaitUntil(Func<bool> condition)
    {
        for (var i = 0; i < 1500 && !condition(); i++)
            Thread.Sleep(20);
        Assert.IsTrue(condition(), "it did not happen within 30 s");
    }

    private static ProcessStartInfo Start(CaseFolder folder, params string[] arguments)
    {
        var start = ToolRun.Command(folder, arguments, []);
        (start.Environment["QUANTSDK_TRTEXEC"], start.Environment["QUANTSDK_NVIDIA_DRIVER"]) = (folder["Tensor RT/trtexec"], "present");
        (start.Environment["QuantSdkStoreMode"], start.Environment["QuantSdkStoreDirectory"]) = ("ReadWrite", folder["store"]);
        return start;
    }

    private static JsonElement Run(CaseFolder folder, int exitCode, params string[] arguments)
    {
        using var tool = Process.Start(Start(folder, arguments))!;
        tool.StandardInput.Close();
        var errors = tool.StandardError.ReadToEndAsync();
        var text = tool.StandardOutput.ReadToEnd();
        tool.WaitForExit();
        Assert.AreEqual(exitCode, tool.ExitCode, text + errors.Result);
        return JsonDocument.Parse(text).RootElement;
    }
}
