using System.Text.Json;

namespace QuantSdk.Build.Tests;

/// <summary>The whole line with the real tool on a small model.</summary>
[TestClass]
public sealed class RealToolTests
{
    [TestMethod]
    public void Classifier_is_quantised_by_the_build_and_the_second_build_skips()
    {
        using var project = new FixtureProject("""<QuantizedModel Include="digits_cnn.onnx" Precision="int8" CalibrationData="digits_calib.npz" />""", tool: RepositoryPaths.ToolAssembly);
        foreach (var file in new[] { "digits_cnn.onnx", "digits_calib.npz" })
            File.Copy(Path.Combine(RepositoryPaths.DigitsModels, file), Path.Combine(project.Folder, file));

        var first = project.BuildModels();

        Assert.IsTrue(first.Succeeded, string.Join("; ", first.Errors));
        CollectionAssert.AreEqual(
            new[] { "cpu/model.data", "cpu/model.onnx", "cpu/model.optimised.data", "cpu/model.optimised.onnx", "manifest.json" },
            FixtureProject.FilesIn(Path.Combine(project.EngineFolder, "digits_cnn")).ToList());
        var manifest = JsonDocument.Parse(project.Engine("digits_cnn")["manifest.json"]).RootElement;
        Assert.AreEqual("digits_cnn", manifest.GetProperty("name").GetString());
        Assert.AreEqual("int8", manifest.GetProperty("precision").GetString());
        Assert.IsTrue(first.Messages.Any(m => m.StartsWith("digits_cnn -> models/digits_cnn (int8, ", StringComparison.Ordinal)));

        var second = project.BuildModels();

        Assert.IsTrue(second.Succeeded);
        Assert.IsEmpty(second.ModelsBuilt);
    }
}
