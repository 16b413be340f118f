namespace QuantSdk.Build.Tests;

/// <summary>What makes a model stale, and that nothing else does.</summary>
[TestClass]
public sealed class IncrementalTests
{
    private const string TwoModels = """
        <QuantizedModel Include="a.onnx" Precision="int8" />
        <QuantizedModel Include="b.onnx" CalibrationData="calib/*.npz" />
        """;

    [TestMethod]
    public void Second_build_starts_no_tool_and_runs_no_task_of_ours()
    {
        using var project = TwoModelProject();
        CollectionAssert.AreEqual(new[] { "a", "b" }, project.Run("build").ModelsBuilt.ToList());
        project.Write("Code.cs", "public static class Changed;");

        var second = project.Run("build", "--no-restore");

        Assert.IsTrue(second.Succeeded);
        Assert.IsEmpty(second.Tasks.Where(t => t.StartsWith("QuantSdk.proj", StringComparison.Ordinal) || t.Contains("PrepareModel", StringComparison.Ordinal)));
        Assert.IsTrue(second.Tasks.Any(t => t.EndsWith("CoreCompile/Csc", StringComparison.Ordinal)), "The change of the source file was not seen.");
        Assert.AreEqual(1, project.Runs("a.onnx"));
        Assert.AreEqual(1, project.Runs("b.onnx"));
    }

    [TestMethod]
    public void Changed_option_rebuilds_its_model_alone_and_so_does_changing_it_back()
    {
        using var project = TwoModelProject();
        project.BuildModels();

        project.Declare(TwoModels.Replace("int8", "none", StringComparison.Ordinal));
        CollectionAssert.AreEqual(new[] { "a" }, project.BuildModels().ModelsBuilt.ToList());
        Assert.AreEqual("none", project.LastRequest("a.onnx").GetProperty("metadata").GetProperty("Precision").GetString());

        project.Declare(TwoModels);
        CollectionAssert.AreEqual(new[] { "a" }, project.BuildModels().ModelsBuilt.ToList());
        Assert.AreEqual("int8", project.LastRequest("a.onnx").GetProperty("metadata").GetProperty("Precision").GetString());
        Assert.IsEmpty(project.BuildModels().ModelsBuilt);
        Assert.AreEqual(1, project.Runs("b.onnx"));
    }

    [TestMethod]
    public void Misspelt_metadata_added_after_a_good_build_is_an_error_and_its_removal_requantises_nothing()
    {
        using var project = TwoModelProject();
        project.BuildModels();

        project.Declare(TwoModels.Replace("Precision=", "MinSqrn=\"20\" Precision=", StringComparison.Ordinal));
        for (var build = 0; build < 2; build++)
        {
            var log = project.BuildModels();
            CollectionAssert.AreEqual(new[] { "QSDK1022" }, log.ErrorCodes.ToList());
            StringAssert.Contains(log.Errors.Single().Text, "'MinSqrn' is unknown. Did you mean 'MinSqnr'?", StringComparison.Ordinal);
        }

        project.Declare(TwoModels);
        var corrected = project.BuildModels();
        Assert.IsTrue(corrected.Succeeded);
        Assert.IsEmpty(corrected.ModelsBuilt);
        Assert.AreEqual(1, project.Runs("a.onnx"));
        Assert.IsEmpty(project.BuildModels().Tasks.Where(t => t.EndsWith("/CheckMetadata", StringComparison.Ordinal)));
    }

    [TestMethod]
    public void Touched_model_or_deleted_output_rebuilds_its_model_alone()
    {
        using var project = TwoModelProject();
        project.BuildModels();

        project.Touch("b.onnx");
        CollectionAssert.AreEqual(new[] { "b" }, project.BuildModels().ModelsBuilt.ToList());

        var data = Path.Combine(project.EngineFolder, "a", "cpu", "model.data");
        File.Delete(data);
        CollectionAssert.AreEqual(new[] { "a" }, project.BuildModels().ModelsBuilt.ToList());
        Assert.IsTrue(File.Exists(data));
    }

    [TestMethod]
    public void Calibration_files_touched_added_or_removed_rebuild_the_model()
    {
        using var project = TwoModelProject();
        project.BuildModels();
        Assert.AreEqual("calib/1.npz", CalibrationData(project));

        project.Touch("calib/1.npz");
        CollectionAssert.AreEqual(new[] { "b" }, project.BuildModels().ModelsBuilt.ToList());

        // Older than the stamp: it is the list that tells.
        project.Write("calib/2.npz", "2");
        File.SetLastWriteTimeUtc(Path.Combine(project.Folder, "calib/2.npz"), DateTime.UtcNow.AddDays(-1));
        CollectionAssert.AreEqual(new[] { "b" }, project.BuildModels().ModelsBuilt.ToList());
        Assert.AreEqual("calib/1.npz;calib/2.npz", CalibrationData(project));

        File.Delete(Path.Combine(project.Folder, "calib/2.npz"));
        CollectionAssert.AreEqual(new[] { "b" }, project.BuildModels().ModelsBuilt.ToList());
    }

    [TestMethod]
    public void Conditioning_model_and_files_found_by_the_tool_are_inputs()
    {
        using var project = new FixtureProject("""
            <QuantizedModel Include="unet.onnx" ConditionedBy="ENC" />
            <QuantizedModel Include="sub/enc.onnx" />
            <QuantizedModel Include="vae.onnx" ConditionedBy="sub/enc.onnx" />
            """).WithModels("unet.onnx", "sub/enc.onnx", "vae.onnx", "weights %41;b.data");
        project.Script("vae.onnx", "inputs " + Path.Combine(project.Folder, "weights %41;b.data"));
        project.BuildModels();
        var conditioning = project.LastRequest("unet.onnx").GetProperty("conditionedBy");
        Assert.AreEqual(Path.Combine(project.Folder, "sub/enc.onnx"), conditioning.GetProperty("model").GetString());
        Assert.AreEqual("enc", conditioning.GetProperty("name").GetString());
        Assert.AreEqual("enc", project.LastRequest("vae.onnx").GetProperty("conditionedBy").GetProperty("name").GetString());
        Assert.IsEmpty(project.BuildModels().ModelsBuilt);

        project.Touch("weights %41;b.data");
        CollectionAssert.AreEqual(new[] { "vae" }, project.BuildModels().ModelsBuilt.ToList());

        project.Touch("sub/enc.onnx");
        CollectionAssert.AreEqual(new[] { "enc", "unet", "vae" }, project.BuildModels().ModelsBuilt.ToList());
    }

    [TestMethod]
    public void Input_changed_while_its_model_is_built_makes_it_stale()
    {
        using var project = new FixtureProject("""<QuantizedModel Include="a.onnx" />""").WithModels("a.onnx");
        project.Script("a.onnx", "wait-for go");
        using (var build = project.StartBuildingModels())
        {
            project.WaitForTool("a.onnx");
            project.Touch("a.onnx");
            project.Write("go", "");
            Assert.IsTrue(build.Finish().Succeeded);
        }
        var stamp = Directory.GetFiles(Path.Combine(project.EngineFolder, ".state"), "*.stamp").Single();
        Assert.IsLessThan(File.GetLastWriteTimeUtc(Path.Combine(project.Folder, "a.onnx")), File.GetLastWriteTimeUtc(stamp));

        Assert.AreEqual(1, project.BuildModels().ModelsBuilt.Count);
        Assert.IsEmpty(project.BuildModels().ModelsBuilt);
    }

    [TestMethod]
    public void Newer_tool_rebuilds_every_model()
    {
        var tools = Directory.CreateTempSubdirectory("quantsdk-tool-");
        try
        {
            foreach (var file in Directory.EnumerateFiles(Path.GetDirectoryName(RepositoryPaths.StandInTool)!))
                File.Copy(file, Path.Combine(tools.FullName, Path.GetFileName(file)));
            var tool = Path.Combine(tools.FullName, Path.GetFileName(RepositoryPaths.StandInTool));
            using var project = new FixtureProject(TwoModels, tool: tool).WithModels("a.onnx", "b.onnx", "calib/1.npz");
            project.BuildModels();

            File.SetLastWriteTimeUtc(tool, DateTime.UtcNow);

            CollectionAssert.AreEqual(new[] { "a", "b" }, project.BuildModels().ModelsBuilt.ToList());
        }
        finally
        {
            tools.Delete(recursive: true);
        }
    }

    private static FixtureProject TwoModelProject() => new FixtureProject(TwoModels).WithModels("a.onnx", "b.onnx", "calib/1.npz");

    private static string? CalibrationData(FixtureProject project) => project.LastRequest("b.onnx").GetProperty("metadata").GetProperty("CalibrationData").GetString();
}
