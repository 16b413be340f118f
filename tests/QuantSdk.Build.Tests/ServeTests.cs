using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json;
using QuantSdk.Build.Tests.BadInputs;

namespace QuantSdk.Build.Tests;

/// <summary>The real tool at the other end of the protocol that the tasks speak.</summary>
[TestClass]
public sealed class ServeTests
{
    private const int HangUp = 1, Interrupt = 2, Terminate = 15;
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    [TestMethod]
    public void Answers_come_in_order_and_end_with_done()
    {
        using var folder = new CaseFolder();
        using var tool = Start(folder);
        tool.StandardInput.WriteLine(Request(folder, folder["tiny.onnx"], new() { ["CalibrationData"] = "good.npz" }));

        var answers = ReadAll(tool);

        Assert.AreEqual(0, tool.ExitCode);
        CollectionAssert.AreEqual(new[] { "Calibrate", "Quantize", "BuildEngine", "Verify" }, answers.Where(a => Type(a) == "phase").Select(a => a.GetProperty("phase").GetString()).ToArray());
        Assert.AreEqual("done", Type(answers[^1]));
        StringAssert.StartsWith(answers[^1].GetProperty("summary").GetString()!, "tiny -> models/tiny (int8, ");
        foreach (var phase in (string[])["Calibrate", "Verify"])
        {
            var last = answers.Last(a => Type(a) == "progress" && a.GetProperty("phase").GetString() == phase);
            Assert.AreEqual(last.GetProperty("total").GetInt32(), last.GetProperty("done").GetInt32());
        }
    }

    [TestMethod]
    public void External_data_is_reported_as_an_input()
    {
        using var folder = new CaseFolder();
        folder.Write("weights.bin", new byte[8 * 8 * sizeof(float)]);
        folder.Write("external.onnx", TinyModel.Classifier(external: new("weights.bin")));
        using var tool = Start(folder);
        tool.StandardInput.WriteLine(Request(folder, folder["external.onnx"], new() { ["Precision"] = "none" }));

        var answers = ReadAll(tool);

        Assert.AreEqual(0, tool.ExitCode);
        var files = answers.Single(a => Type(a) == "inputs").GetProperty("files").EnumerateArray().Select(f => f.GetString()).ToArray();
        CollectionAssert.AreEqual(new[] { folder["weights.bin"] }, files);
    }

    [TestMethod]
    [DataRow(0, 130, DisplayName = "closed input")]
    [DataRow(Terminate, 130, DisplayName = "SIGTERM")]
    [DataRow(HangUp, 130, DisplayName = "closed terminal")]
    public void Cancelled_work_ends_and_leaves_the_old_engine(int signal, int exitCode)
    {
        using var folder = new CaseFolder();
        var before = folder.Snapshot();
        using var tool = Start(folder);
        tool.StandardInput.WriteLine(Sampling(folder));
        WaitForProgress(tool);

        if (signal == 0)
            tool.StandardInput.Close();
        else
            Assert.AreEqual(0, Kill(tool.Id, signal));
        ReadAll(tool);

        Assert.AreEqual(exitCode, tool.ExitCode);
        Assert.AreEqual(before, folder.Snapshot());
    }

    [TestMethod]
    public void Ctrl_C_in_the_terminal_is_left_to_the_build()
    {
        using var folder = new CaseFolder();
        using var tool = Start(folder);
        tool.StandardInput.WriteLine(Sampling(folder, steps: 5));
        WaitForProgress(tool);

        Assert.AreEqual(0, Kill(tool.Id, Interrupt));

        Assert.AreEqual("done", Type(ReadAll(tool)[^1]));
        Assert.AreEqual(0, tool.ExitCode);
    }

    [TestMethod]
    [DataRow("", "empty")]
    [DataRow("nonsense\n", "JSON")]
    [DataRow("{\"schema\":2}\n", "schema 2")]
    [DataRow("{\"schema\":1,\"name\":\"x\",\"model\":\"relative.onnx\"}\n", "'model'")]
    [DataRow("{\"schema\":1", "ends before")]
    public void What_is_no_request_is_refused_with_a_code(string line, string cause)
    {
        using var folder = new CaseFolder();
        var before = folder.Snapshot();
        using var tool = Start(folder);
        tool.StandardInput.Write(line);
        tool.StandardInput.Close();

        var answer = ReadAll(tool).Single();

        Assert.AreEqual(1, tool.ExitCode);
        Assert.AreEqual("error", Type(answer));
        Assert.AreEqual("QSDK9002", answer.GetProperty("code").GetString());
        StringAssert.Contains(answer.GetProperty("message").GetString()!, cause);
        Assert.AreEqual(before, folder.Snapshot());
    }

    private static Process Start(CaseFolder folder) => Process.Start(ToolRun.Command(folder, ["serve"], []))!;

    private static string Request(CaseFolder folder, string model, Dictionary<string, string> metadata, object? conditionedBy = null) => JsonSerializer.Serialize(new
    {
        schema = 1, name = Path.GetFileNameWithoutExtension(model), model, item = model, projectFile = folder["App.csproj"], projectDirectory = folder.Root,
        output = folder.Output, report = (string?)null, threads = 1, metadata, conditionedBy,
    });

    /// <summary>The UNet of the digits, calibrated by sampling: many steps of some tenths of a second.</summary>
    private static string Sampling(CaseFolder folder, int steps = 50)
    {
        string Digits(string file) => Path.Combine(RepositoryPaths.DigitsModels, file);
        return Request(
            folder, Digits("unet.onnx"),
            new() { ["CalibrationData"] = Digits("unet_calib.npz"), ["Scheduler"] = Digits("scheduler/scheduler_config.json"), ["GuidanceScale"] = "2", ["Steps"] = $"{steps}" },
            new { model = Digits("prompt_encoder.onnx"), name = "prompt_encoder" });
    }

    private static void WaitForProgress(Process tool)
    {
        while (tool.StandardOutput.ReadLine() is { } line)
        {
            if (Type(JsonDocument.Parse(line).RootElement) == "progress")
                return;
        }
        Assert.Fail("the tool ended before its first progress: " + tool.StandardError.ReadToEnd());
    }

    private static List<JsonElement> ReadAll(Process tool)
    {
        var answers = new List<JsonElement>();
        while (tool.StandardOutput.ReadLine() is { } line)
            answers.Add(JsonDocument.Parse(line).RootElement);
        if (!tool.WaitForExit(s_patience))
        {
            tool.Kill(entireProcessTree: true);
            throw new TimeoutException("the tool closed its output and goes on");
        }
        return answers;
    }

    private static string? Type(JsonElement answer) => answer.GetProperty("t").GetString();

    [DllImport("libc", EntryPoint = "kill")]
    private static extern int Kill(int process, int signal);
}
