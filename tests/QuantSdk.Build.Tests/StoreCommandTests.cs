using System.Diagnostics;
using System.Text.Json;
using QuantSdk.Build.Tests.BadInputs;

namespace QuantSdk.Build.Tests;

/// <summary>`quantsdk build --store` and `quantsdk store`.</summary>
[TestClass]
public sealed class StoreCommandTests
{
    [TestMethod]
    public void What_a_build_keeps_is_listed_verified_and_pruned()
    {
        using var folder = new CaseFolder();
        folder.Write("weights.bin", [.. Enumerable.Range(0, 8 * 8 * sizeof(float)).Select(i => (byte)(i % 4 == 3 ? 0x3f : i))]);
        folder.Write("external.onnx", TinyModel.Classifier(external: new("weights.bin")));
        Assert.AreEqual("built", Model());
        Assert.AreEqual("store", Model());
        // Another file of weights under the same name is another model.
        folder.Write("weights.bin", [.. Enumerable.Range(0, 8 * 8 * sizeof(float)).Select(i => (byte)(i % 4 == 3 ? 0x3e : i))]);
        Assert.AreEqual("built", Model());

        var listed = Run("store", "list", "--store", folder["store"], "--json");
        var entries = listed.GetProperty("entries").EnumerateArray().ToArray();
        CollectionAssert.IsSubsetOf((string[])["calibration", "plan", "engine", "quality", "model", "externals"], entries.Select(e => e.GetProperty("stage").GetString()).ToArray());
        Assert.AreEqual(2, entries.Count(e => e.GetProperty("stage").GetString() == "model"));
        var blobs = Directory.GetFiles(folder["store"], "*", SearchOption.AllDirectories).Where(f => f.Contains("blobs", StringComparison.Ordinal)).ToArray();
        Assert.AreEqual(listed.GetProperty("bytes").GetInt64(), blobs.Sum(b => new FileInfo(b).Length));

        Assert.AreEqual(0, Run("store", "verify", "--store", folder["store"], "--json").GetProperty("damaged").GetArrayLength());
        File.Delete(blobs[0]);
        Assert.AreNotEqual(0, Run("store", "verify", "--store", folder["store"], "--json").GetProperty("damaged").GetArrayLength());
        var pruned = Run("store", "prune", "--limit", "0.000000001", "--store", folder["store"], "--json");
        Assert.AreEqual(0L, pruned.GetProperty("bytesLeft").GetInt64());

        Assert.AreEqual("QSDK6003", Run(1, "store", "prune", "--limit", "much", "--store", folder["store"], "--json").GetProperty("error").GetProperty("code").GetString());

        string? Model() => Run("build", "external.onnx", "--data", "good.npz", "--store", "store", "--store-mode", "ReadWrite", "--output", "engine", "--json")
            .GetProperty("report").GetProperty("stages").GetProperty("model").GetString();

        JsonElement Run(params object[] all)
        {
            var (exitCode, arguments) = all[0] is int code ? (code, all[1..]) : (0, all);
            using var tool = Process.Start(ToolRun.Command(folder, [.. arguments.Cast<string>()], []))!;
            tool.StandardInput.Close();
            var errors = tool.StandardError.ReadToEndAsync();
            var text = tool.StandardOutput.ReadToEnd();
            tool.WaitForExit();
            Assert.AreEqual(exitCode, tool.ExitCode, text + errors.Result);
            var json = JsonDocument.Parse(text).RootElement;
            return json.TryGetProperty("result", out var result) ? result : json;
        }
    }
}
