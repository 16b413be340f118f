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

    private static JsonElement Run(CaseFolder folder, int exitCode, params string[] arguments)
    {
        var start = ToolRun.Command(folder, arguments, []);
        (start.Environment["QUANTSDK_TRTEXEC"], start.Environment["QUANTSDK_NVIDIA_DRIVER"]) = (folder["Tensor RT/trtexec"], "present");
        using var tool = Process.Start(start)!;
        tool.StandardInput.Close();
        var errors = tool.StandardError.ReadToEndAsync();
        var text = tool.StandardOutput.ReadToEnd();
        tool.WaitForExit();
        Assert.AreEqual(exitCode, tool.ExitCode, text + errors.Result);
        return JsonDocument.Parse(text).RootElement;
    }
}
