namespace QuantSdk.Build.Tests;

/// <summary>dotnet publish -t:PublishTritonRepository with the real tool on small models.</summary>
[TestClass]
public sealed class TritonTests
{
    [TestMethod]
    public void Publishing_builds_the_models_and_writes_the_repository()
    {
        // Blanks, a quote, a dollar: arguments never pass a shell.
        using var project = new FixtureProject(
            """<QuantizedModel Include="prompt_encoder.onnx" Precision="none" />""", folder: "it's my app",
            properties: "<QuantSdkTritonRepository>model $repository</QuantSdkTritonRepository><QuantSdkTritonMaxBatchSize>4</QuantSdkTritonMaxBatchSize>", tool: RepositoryPaths.ToolAssembly);
        File.Copy(Path.Combine(RepositoryPaths.DigitsModels, "prompt_encoder.onnx"), Path.Combine(project.Folder, "prompt_encoder.onnx"));

        var log = project.Run("publish", "-t:PublishTritonRepository");

        Assert.IsTrue(log.Succeeded, string.Join("; ", log.Errors));
        CollectionAssert.AreEqual(new[] { "prompt_encoder/1/model.onnx/model.data", "prompt_encoder/1/model.onnx/model.onnx", "prompt_encoder/config.pbtxt" }, FixtureProject.FilesIn(Path.Combine(project.Folder, "model $repository")).Order(StringComparer.Ordinal).ToList());
        Assert.Contains("max_batch_size: 4\n", File.ReadAllText(Path.Combine(project.Folder, "model $repository", "prompt_encoder", "config.pbtxt")));
        Assert.IsTrue(log.Messages.Any(m => m.StartsWith("prompt_encoder -> model $repository (onnxruntime_onnx, requests joined up to 4 rows)", StringComparison.Ordinal)));

        var refused = project.Run("publish", "-t:PublishTritonRepository", "-p:QuantSdkTritonVariant=tensorrt");

        Assert.IsFalse(refused.Succeeded);
        Assert.Contains("QSDK4071", string.Join("; ", refused.Errors));
    }
}
