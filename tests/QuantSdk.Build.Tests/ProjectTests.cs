namespace QuantSdk.Build.Tests;

/// <summary>Engines go where a project goes: output, publish, references, target frameworks, odd folders; and they go away.</summary>
[TestClass]
public sealed class ProjectTests
{
    private static readonly string[] s_engineOfA = ["a/cpu/model.data", "a/cpu/model.onnx", "a/cpu/model.optimised.data", "a/cpu/model.optimised.onnx", "a/manifest.json"];

    [TestMethod]
    public void Publish_has_the_models_a_removed_item_takes_its_copies_along_and_clean_removes_everything()
    {
        using var project = new FixtureProject("""<QuantizedModel Include="a.onnx" /><QuantizedModel Include="b.onnx" />""").WithModels("a.onnx", "b.onnx");
        Assert.IsTrue(project.Run("publish", "-c", "Debug", "-o", "out").Succeeded);
        Assert.HasCount(10, FixtureProject.FilesIn(Path.Combine(project.Folder, "out", "models")));
        Assert.HasCount(10, FixtureProject.FilesIn(Path.Combine(project.OutputFolder, "models")));

        project.Declare("""<QuantizedModel Include="a.onnx" />""");
        Assert.IsEmpty(project.Run("build", "--no-restore").ModelsBuilt);
        CollectionAssert.AreEqual(s_engineOfA, FixtureProject.FilesIn(Path.Combine(project.OutputFolder, "models")).ToList());

        project.Write("obj/quantsdk/a.0123456789abcdef0123456789abcdef.tmp/manifest.json", "left by a killed tool");
        Assert.IsTrue(project.Run("clean").Succeeded);
        Assert.IsEmpty(FixtureProject.FilesIn(project.EngineFolder));
        Assert.IsEmpty(FixtureProject.FilesIn(Path.Combine(project.OutputFolder, "models")));
        Assert.IsFalse(Directory.Exists(project.EngineFolder));
    }

    [TestMethod]
    public void Clean_keeps_out_of_folders_that_a_bad_name_points_to()
    {
        using var project = new FixtureProject("""<QuantizedModel Include="a.onnx" Name="../../data" />""").WithModels("a.onnx", "data/manifest.json", "data/cpu/model.onnx");
        Assert.IsTrue(project.Run("msbuild", "-t:QuantSdkClean").Succeeded);
        Assert.HasCount(2, FixtureProject.FilesIn(Path.Combine(project.Folder, "data")));
    }

    [TestMethod]
    public void Disabled_project_builds_without_models()
    {
        using var project = new FixtureProject("""<QuantizedModel Include="a.onnx" />""").WithModels("a.onnx");

        Assert.IsTrue(project.Run("build", "-p:QuantSdkEnabled=false").Succeeded);

        Assert.IsTrue(File.Exists(Path.Combine(project.OutputFolder, "App.dll")));
        Assert.IsFalse(Directory.Exists(Path.Combine(project.OutputFolder, "models")));
        Assert.AreEqual(0, project.Runs("a.onnx"));
    }

    [TestMethod]
    public void Models_alone_are_built_without_compiling()
    {
        using var project = new FixtureProject("""<QuantizedModel Include="a.onnx" />""").WithModels("a.onnx");

        var log = project.BuildModels();

        CollectionAssert.AreEqual(s_engineOfA, FixtureProject.FilesIn(project.EngineFolder).Where(f => !f.StartsWith('.')).ToList());
        Assert.IsEmpty(log.Tasks.Where(t => t.EndsWith("/Csc", StringComparison.Ordinal)));
        Assert.Contains("a -> models/a (int8, 10.9 → 3.8 MB, SQNR 27.4 dB)", log.Messages);
    }

    [TestMethod]
    public void Models_of_a_referenced_project_reach_the_output_and_the_publish_folder_in_an_isolated_graph_too()
    {
        using var library = new FixtureProject("""<QuantizedModel Include="a.onnx" />""", folder: "lib", name: "Lib").WithModels("a.onnx");
        library.Write("../app/App.csproj", """
            <Project Sdk="Microsoft.NET.Sdk">
              <PropertyGroup><TargetFramework>net10.0</TargetFramework><UseSharedCompilation>false</UseSharedCompilation></PropertyGroup>
              <ItemGroup><ProjectReference Include="../lib/Lib.csproj" /></ItemGroup>
            </Project>
            """);
        var app = Path.Combine(library.Folder, "../app");

        using (var publish = ChildBuild.Start(app, "publish", "App.csproj", "-c", "Debug", "-o", "out")) Assert.IsTrue(publish.Finish().Succeeded);
        CollectionAssert.AreEqual(s_engineOfA, FixtureProject.FilesIn(Path.Combine(app, "bin/Debug/net10.0/models")).ToList());
        CollectionAssert.AreEqual(s_engineOfA, FixtureProject.FilesIn(Path.Combine(app, "out/models")).ToList());

        library.Touch("a.onnx");
        using var graph = ChildBuild.Start(app, "msbuild", "App.csproj", "-graph", "-isolate", "-m:2");
        var log = graph.Finish();
        Assert.IsTrue(log.Succeeded, string.Join("; ", log.Errors));
        Assert.HasCount(1, log.ModelsBuilt);
    }

    [TestMethod]
    public void Two_target_frameworks_share_one_engine()
    {
        const string Frameworks = "<TargetFramework></TargetFramework><TargetFrameworks>net10.0;net10.0-windows</TargetFrameworks><EnableWindowsTargeting>true</EnableWindowsTargeting><DisableTransitiveFrameworkReferenceDownloads>true</DisableTransitiveFrameworkReferenceDownloads>";
        using var project = new FixtureProject("""<QuantizedModel Include="a.onnx" />""", properties: Frameworks).WithModels("a.onnx");

        var log = project.Run("build", "-m:2");

        Assert.IsTrue(log.Succeeded, string.Join("; ", log.Errors));
        Assert.AreEqual(1, project.Runs("a.onnx"));
        CollectionAssert.AreEqual(s_engineOfA, FixtureProject.FilesIn(Path.Combine(project.OutputFolder, "models")).ToList());
        CollectionAssert.AreEqual(s_engineOfA, FixtureProject.FilesIn(Path.Combine(project.Folder, "bin/Debug/net10.0-windows/models")).ToList());
    }

    [TestMethod]
    public void Long_folder_with_blanks_unicode_and_every_special_character_of_msbuild_works()
    {
        using var project = new FixtureProject(
            """<QuantizedModel Include="a.onnx" ConditionedBy="b.onnx" CalibrationData="$(MSBuildProjectDirectory)/calib/*.npz" /><QuantizedModel Include="b.onnx" />""",
            folder: $"a b ü日 100% ;c @x 'q (1)/{new string('l', 120)}/{new string('m', 120)}").WithModels("a.onnx", "b.onnx", "calib/1.npz");

        var log = project.Run("build");

        Assert.IsTrue(log.Succeeded, string.Join("; ", log.Errors));
        Assert.HasCount(10, FixtureProject.FilesIn(Path.Combine(project.OutputFolder, "models")));
        Assert.AreEqual("calib/1.npz", project.LastRequest("a.onnx").GetProperty("metadata").GetProperty("CalibrationData").GetString());
        Assert.AreEqual(project.Folder, project.LastRequest("a.onnx").GetProperty("projectDirectory").GetString());
        Assert.IsEmpty(project.Run("build", "--no-restore").ModelsBuilt);
        Assert.IsTrue(project.Run("clean").Succeeded);
        Assert.IsFalse(Directory.Exists(project.EngineFolder));
    }

    [TestMethod]
    public void Two_models_are_built_at_the_same_time()
    {
        using var project = new FixtureProject("""<QuantizedModel Include="a.onnx" /><QuantizedModel Include="b.onnx" />""").WithModels("a.onnx", "b.onnx");
        project.Script("a.onnx", "wait-for b.onnx.runs");
        project.Script("b.onnx", "wait-for a.onnx.runs");

        // One after the other, the first would wait for ever.
        Assert.IsTrue(project.BuildModels("-m:2").Succeeded);
    }
}
