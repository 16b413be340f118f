namespace QuantSdk.Build.Tests;

/// <summary>The store between projects, with the real tool.</summary>
[TestClass]
public sealed class StoreTests
{
    private const string Items = """<QuantizedModel Include="digits_cnn.onnx" Precision="int8" CalibrationData="digits_calib.npz" Targets="cpu;tensorrt-onnx" />""";

    [TestMethod]
    public void Clones_in_other_folders_make_the_same_bytes_and_a_store_saves_the_work()
    {
        using var one = Project("one");
        using var other = Project("a much longer/path; with 100%25");
        using var alone = Project("alone");
        var store = Path.Combine(one.Folder, "the store");

        // A relative folder is relative to the project.
        Assert.IsTrue(one.BuildModels("-p:QuantSdkStoreDirectory=the store", "-p:QuantSdkStoreMode=ReadWrite").Succeeded);
        var stored = FixtureProject.FilesIn(store);
        Assert.IsNotEmpty(stored);
        var hit = other.BuildModels($"-p:QuantSdkStoreDirectory={store}", "-p:QuantSdkStoreMode=Read");
        Assert.IsTrue(hit.Succeeded, string.Join("; ", hit.Errors));
        Assert.IsTrue(alone.BuildModels().Succeeded);

        CollectionAssert.AreEqual(stored.ToArray(), FixtureProject.FilesIn(store).ToArray(), "read only");
        Assert.Contains("\"model\": \"store\"", File.ReadAllText(Path.Combine(other.EngineFolder, ".state", "digits_cnn.report.json")));
        // Nothing of a folder, a project or a user is in what is shipped.
        foreach (var project in (FixtureProject[])[other, alone])
        {
            CollectionAssert.AreEqual(one.Engine("digits_cnn").Keys.ToArray(), project.Engine("digits_cnn").Keys.ToArray());
            foreach (var file in one.Engine("digits_cnn").Keys)
                CollectionAssert.AreEqual(File.ReadAllBytes(Path.Combine(one.EngineFolder, "digits_cnn", file)), File.ReadAllBytes(Path.Combine(project.EngineFolder, "digits_cnn", file)), file);
        }
        foreach (var file in (string[])["digits_cnn.plan.json", "digits_cnn.calibration.json"])
            CollectionAssert.AreEqual(File.ReadAllBytes(Path.Combine(one.EngineFolder, ".state", file)), File.ReadAllBytes(Path.Combine(alone.EngineFolder, ".state", file)), file);
        var again = other.BuildModels($"-p:QuantSdkStoreDirectory={store}", "-p:QuantSdkStoreMode=Off");
        Assert.IsEmpty(again.ModelsBuilt, "no engine depends on the store");
    }

    private static FixtureProject Project(string folder)
    {
        var project = new FixtureProject(Items, folder, tool: RepositoryPaths.ToolAssembly);
        foreach (var file in new[] { "digits_cnn.onnx", "digits_calib.npz" })
            File.Copy(Path.Combine(RepositoryPaths.DigitsModels, file), Path.Combine(project.Folder, file));
        return project;
    }
}
