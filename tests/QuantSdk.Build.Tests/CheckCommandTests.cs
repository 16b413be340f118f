using System.Diagnostics;
using System.Text.Json;
using QuantSdk.Build.Tests.BadInputs;

namespace QuantSdk.Build.Tests;

/// <summary>`quantsdk check`: what TensorRT would say of a model that was written for the CPU.</summary>
[TestClass]
public sealed class CheckCommandTests
{
    [TestMethod]
    public void Errors_end_with_1_and_name_rule_node_and_remedy()
    {
        using var folder = new CaseFolder();
        folder.Write("float.onnx", TinyModel.Classifier());
        Assert.Contains("\"findings\": []", Run(0, "check", "float.onnx", "--json"));
        Assert.Contains("0 errors", Run(0, "check", "--target", "tensorrt", "float.onnx"));

        Run(0, "build", "float.onnx", "--data", "good.npz", "--optimize-for", "size", "--output", "engine", "--json");
        var result = JsonDocument.Parse(Run(1, "check", "engine/cpu/model.onnx", "--json")).RootElement;
        Assert.IsGreaterThan(0, result.GetProperty("errors").GetInt32());
        var finding = result.GetProperty("findings").EnumerateArray().First(f => f.GetProperty("rule").GetString() == "quantised-type");
        Assert.AreEqual("error", finding.GetProperty("severity").GetString());
        Assert.Contains("uint8", finding.GetProperty("problem").GetString()!);
        Assert.AreNotEqual("", finding.GetProperty("remedy").GetString());
        Assert.Contains("[quantised-type]", Run(1, "check", "engine/cpu/model.onnx"));
        Assert.Contains("QSDK1001", Run(1, "check", "missing.onnx", "--json"));

        string Run(int exitCode, params string[] arguments)
        {
            using var tool = Process.Start(ToolRun.Command(folder, arguments, []))!;
            tool.StandardInput.Close();
            var errors = tool.StandardError.ReadToEndAsync();
            var text = tool.StandardOutput.ReadToEnd();
            tool.WaitForExit();
            Assert.AreEqual(exitCode, tool.ExitCode, text + errors.Result);
            return text;
        }
    }
}
