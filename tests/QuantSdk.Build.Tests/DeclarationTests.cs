using System.Text.Json;

namespace QuantSdk.Build.Tests;

/// <summary>What the metadata alone decide: names, files, and what is wrong with them.</summary>
[TestClass]
public sealed class DeclarationTests
{
    [TestMethod]
    [DataRow("""<QuantizedModel Include="a.onnx" Name="../a" />""", "QSDK1901", "../a")]
    [DataRow("""<QuantizedModel Include="it's (1).onnx" />""", "QSDK1901", "it's (1)")]
    [DataRow("""<QuantizedModel Include="a.onnx;sub/A.onnx" />""", "QSDK1902", "sub/A.onnx")]
    [DataRow("""<QuantizedModel Include="a.onnx" ConditionedBy="b" />""", "QSDK1903", "'b'")]
    [DataRow("""<QuantizedModel Include="a.onnx" ConditionedBy="a" />""", "QSDK1903", "'a'")]
    [DataRow("""<QuantizedModel Include="a.onnx" CalibrationData="none/*.npz" />""", "QSDK1904", "none/*.npz")]
    [DataRow("""<QuantizedModel Include="a.onnx" CalibrationData="x%3By.npz" />""", "QSDK1905", "x;y.npz")]
    [DataRow("""<QuantizedModel Include="a.onnx" Precison="int8" />""", "QSDK1022", "Did you mean 'Precision'?")]
    public void Bad_metadata_is_a_coded_error_that_names_the_value(string item, string code, string value)
    {
        using var project = new FixtureProject(item).WithModels("a.onnx", "sub/A.onnx", "it's (1).onnx", "x;y.npz");

        var log = project.BuildModels();

        Assert.IsFalse(log.Succeeded);
        CollectionAssert.AreEqual(new[] { code }, log.ErrorCodes.ToList());
        StringAssert.Contains(log.Errors[0].Text, value, StringComparison.Ordinal);
        StringAssert.EndsWith(log.Errors[0].File, "App.csproj", StringComparison.Ordinal);
        Assert.AreEqual(0, project.Runs("a.onnx"));
    }

    [TestMethod]
    [DataRow("-p:_QuantSdkMSBuildVersion=18.8.3", "QSDK0001")]
    [DataRow("-p:QuantSdkTasksAssembly=/nowhere/QuantSdk.Tasks.dll", "QSDK0002")]
    [DataRow("-p:QuantSdkToolAssembly=/nowhere/quantsdk.dll", "QSDK0003")]
    public void Unfit_host_is_a_coded_error_before_any_task_is_loaded(string property, string code)
    {
        using var project = new FixtureProject("""<QuantizedModel Include="a.onnx" />""").WithModels("a.onnx");

        var log = project.BuildModels(property);

        CollectionAssert.AreEqual(new[] { code }, log.ErrorCodes.ToList());
        Assert.IsEmpty(log.Tasks.Where(t => t.EndsWith("/PrepareModel", StringComparison.Ordinal)));
    }

    [TestMethod]
    public void Files_follow_from_targets_and_form()
    {
        using var project = new FixtureProject("""
            <QuantizedModel Include="a.onnx" />
            <QuantizedModel Include="b.onnx" Targets="tensorrt-onnx, CPU" Portable="false" Name="B.1" />
            <QuantizedModel Include="c.onnx" Targets="tensorrt-onnx" />
            """, properties: "<QuantSdkPrepacked>false</QuantSdkPrepacked><QuantSdkPrecision>none</QuantSdkPrecision>").WithModels("a.onnx", "b.onnx", "c.onnx");
        project.Declare("""
            <QuantizedModel Include="a.onnx" />
            <QuantizedModel Include="b.onnx" Targets="tensorrt-onnx, CPU" Portable="false" Prepacked="true" Name="B.1" />
            <QuantizedModel Include="c.onnx" Targets="tensorrt-onnx" />
            """, "<QuantSdkPrepacked>false</QuantSdkPrepacked><QuantSdkPrecision>none</QuantSdkPrecision>");

        Assert.IsTrue(project.BuildModels().Succeeded);

        CollectionAssert.AreEqual(new[]
        {
            "B.1/cpu/model.optimised.data", "B.1/cpu/model.optimised.onnx", "B.1/manifest.json", "B.1/tensorrt/model.data", "B.1/tensorrt/model.onnx",
            "a/cpu/model.data", "a/cpu/model.onnx", "a/manifest.json",
            "c/manifest.json", "c/tensorrt/model.data", "c/tensorrt/model.onnx",
        }, FixtureProject.FilesIn(project.EngineFolder).Where(f => !f.StartsWith('.')).ToList());
        var metadata = project.LastRequest("a.onnx").GetProperty("metadata");
        Assert.AreEqual("""{"Precision":"none","Prepacked":"false"}""", metadata.GetRawText());
    }

    [TestMethod]
    public void A_cached_model_has_a_live_part_in_every_form_over_the_same_data()
    {
        using var project = new FixtureProject("""
            <QuantizedModel Include="a.onnx" Cache="up_blocks.2" />
            <QuantizedModel Include="b.onnx" Cache="None" />
            <QuantizedModel Include="c.onnx" Targets="tensorrt-onnx, cpu" Prepacked="false" Cache="auto" CacheSpeedup="2" />
            """, properties: "<QuantSdkPrecision>none</QuantSdkPrecision>").WithModels("a.onnx", "b.onnx", "c.onnx");

        Assert.IsTrue(project.BuildModels().Succeeded);

        var files = FixtureProject.FilesIn(project.EngineFolder).Where(f => f.Contains("live", StringComparison.Ordinal)).ToList();
        CollectionAssert.AreEqual(new[] { "a/cpu/live.onnx", "a/cpu/live.optimised.onnx", "c/cpu/live.onnx", "c/tensorrt/live.onnx" }, files);
        Assert.AreEqual("2", project.LastRequest("c.onnx").GetProperty("metadata").GetProperty("CacheSpeedup").GetString());
    }

    [TestMethod]
    public void Auto_is_TensorRT_before_the_cpu_where_trtexec_and_a_driver_are_found()
    {
        const string items = """
            <QuantizedModel Include="a.onnx" Prepacked="false" />
            <QuantizedModel Include="b.onnx" Prepacked="false" Cache="up_blocks.2" StripWeights="True" Targets="tensorrt" />
            <QuantizedModel Include="c.onnx" Prepacked="false" Targets="auto; tensorrt-onnx" Plugins="*.so" />
            <QuantizedModel Include="d.onnx" Prepacked="false" Targets="cpu" />
            """;
        using var project = new FixtureProject(items, properties: "<QuantSdkPrecision>none</QuantSdkPrecision>").WithModels("a.onnx", "b.onnx", "c.onnx", "d.onnx", "x.so", "trt/trtexec");

        var given = $"-p:QuantSdkTrtExecPath={Path.Combine(project.Folder, "trt")}";
        var first = project.BuildModels(given, "-p:QuantSdkNvidiaDriver=present");
        Assert.IsTrue(first.Succeeded, string.Join("; ", first.Errors));

        CollectionAssert.AreEqual(new[]
        {
            "a/cpu/model.data", "a/cpu/model.onnx", "a/manifest.json", "a/tensorrt/model.context.onnx", "a/tensorrt/model.plan",
            "b/manifest.json", "b/tensorrt/live.context.onnx", "b/tensorrt/live.onnx", "b/tensorrt/live.stripped.engine", "b/tensorrt/model.context.onnx", "b/tensorrt/model.data", "b/tensorrt/model.onnx", "b/tensorrt/model.stripped.engine",
            "c/cpu/model.data", "c/cpu/model.onnx", "c/manifest.json", "c/tensorrt/model.context.onnx", "c/tensorrt/model.data", "c/tensorrt/model.onnx", "c/tensorrt/model.plan",
            "d/cpu/model.data", "d/cpu/model.onnx", "d/manifest.json",
        }, FixtureProject.FilesIn(project.EngineFolder).Where(f => !f.StartsWith('.')).ToList());
        var request = project.LastRequest("c.onnx");
        Assert.AreEqual("x.so", request.GetProperty("metadata").GetProperty("Plugins").GetString());
        Assert.AreEqual(Path.Combine(project.Folder, "trt", "trtexec"), request.GetProperty("trtExec").GetProperty("path").GetString());

        // Another trtexec makes the plans anew, and nothing else.
        File.SetLastWriteTimeUtc(Path.Combine(project.Folder, "trt", "trtexec"), DateTime.UtcNow.AddSeconds(2));
        Assert.AreEqual("a,b,c", string.Join(',', project.BuildModels(given, "-p:QuantSdkNvidiaDriver=present").ModelsBuilt.Order(StringComparer.Ordinal)));
        // Without a driver auto is the cpu; in PATH it is found as well.
        Assert.AreEqual("a,c", string.Join(',', project.BuildModels("-p:QuantSdkNvidiaDriver=absent").ModelsBuilt.Where(m => m is "a" or "c").Order(StringComparer.Ordinal)));
        Assert.AreEqual("cpu", project.LastRequest("a.onnx").GetProperty("trtExec").GetProperty("auto").GetString());
        var last = project.BuildModels("-p:QuantSdkNvidiaDriver=present", $"-p:PATH={Path.Combine(project.Folder, "trt")}:{Environment.GetEnvironmentVariable("PATH")}");
        Assert.IsTrue(last.Succeeded, string.Join("; ", last.Errors));
        Assert.AreEqual("tensorrt;cpu", project.LastRequest("a.onnx").GetProperty("trtExec").GetProperty("auto").GetString());
    }

    [TestMethod]
    public void A_hoisted_model_has_its_heads_in_every_form_of_the_cpu()
    {
        using var project = new FixtureProject("""
            <QuantizedModel Include="a.onnx" Hoist="True" />
            <QuantizedModel Include="b.onnx" Hoist="false" />
            <QuantizedModel Include="c.onnx" Targets="tensorrt-onnx, cpu" Prepacked="false" Cache="up_blocks.2" />
            """, properties: "<QuantSdkPrecision>none</QuantSdkPrecision><QuantSdkHoist>true</QuantSdkHoist>").WithModels("a.onnx", "b.onnx", "c.onnx");

        Assert.IsTrue(project.BuildModels().Succeeded);

        var files = FixtureProject.FilesIn(project.EngineFolder).Where(f => f.Contains("head", StringComparison.Ordinal)).ToList();
        CollectionAssert.AreEqual(
            new[]
            {
                "a/cpu/head.both.onnx", "a/cpu/head.both.optimised.onnx", "a/cpu/head.prompt.onnx", "a/cpu/head.prompt.optimised.onnx", "a/cpu/head.timestep.onnx", "a/cpu/head.timestep.optimised.onnx",
                "c/cpu/head.both.full.onnx", "c/cpu/head.both.onnx", "c/cpu/head.prompt.onnx", "c/cpu/head.timestep.full.onnx", "c/cpu/head.timestep.onnx",
            },
            files);
        Assert.AreEqual("true", project.LastRequest("c.onnx").GetProperty("metadata").GetProperty("Hoist").GetString());
    }

    [TestMethod]
    public void Every_metadata_that_is_set_reaches_the_tool_and_no_other()
    {
        using var project = new FixtureProject("""
            <QuantizedModel Include="sub/a.onnx" Precision="int8" Name="x" Steps="20" Visible="false" CalibrationData="random">
              <ExcludeModules>time_embedding;*.attn2 "quoted"</ExcludeModules>
            </QuantizedModel>
            """).WithModels("sub/a.onnx");

        Assert.IsTrue(project.BuildModels().Succeeded);

        var request = project.LastRequest("sub/a.onnx");
        CollectionAssert.AreEqual(
            new[] { "CalibrationData=random", "ExcludeModules=time_embedding;*.attn2 \"quoted\"", "Name=x", "Precision=int8", "Steps=20" },
            request.GetProperty("metadata").EnumerateObject().Select(p => $"{p.Name}={p.Value.GetString()}").ToList());
        Assert.AreEqual("x", request.GetProperty("name").GetString());
        Assert.AreEqual("sub/a.onnx", request.GetProperty("item").GetString());
        Assert.AreEqual(project.Folder, request.GetProperty("projectDirectory").GetString());
        Assert.AreEqual(Path.Combine(project.Folder, "sub/a.onnx"), request.GetProperty("model").GetString());
        Assert.IsGreaterThanOrEqualTo(1, request.GetProperty("threads").GetInt32());
    }

    [TestMethod]
    public void Design_time_build_declares_and_starts_no_tool()
    {
        using var project = new FixtureProject("""
            <QuantizedModel Include="a.onnx" CalibrationData="calib/*.npz" />
            <QuantizedModel Include="b.onnx" CalibrationData="random" />
            """).WithModels("a.onnx", "b.onnx", "calib/1.npz");
        Assert.IsTrue(project.Run("restore").Succeeded);

        var log = project.Run("msbuild", "-t:Compile;GetCopyToOutputDirectoryItems;_QuantSdkCollectUpToDateCheck", "-p:DesignTimeBuild=true", "-p:BuildingProject=false",
            "-p:SkipCompilerExecution=true", "-p:ProvideCommandLineArgs=true", "-getItem:AllItemsFullPathWithTargetPath", "-getItem:UpToDateCheckBuilt", "-getItem:UpToDateCheckInput", "-getItem:Watch", "-getResultOutputFile:items.json");

        Assert.IsTrue(log.Succeeded);
        Assert.AreEqual(0, project.Runs("a.onnx"));
        Assert.IsFalse(Directory.Exists(project.EngineFolder));
        var items = JsonDocument.Parse(File.ReadAllText(Path.Combine(project.Folder, "items.json"))).RootElement.GetProperty("Items");
        string[] Of(string type, string metadata = "Identity") => [.. items.GetProperty(type).EnumerateArray().Select(i => i.GetProperty(metadata).GetString()!)];
        CollectionAssert.Contains(Of("AllItemsFullPathWithTargetPath", "TargetPath"), "models/a/cpu/model.optimised.data");
        Assert.HasCount(10, Of("UpToDateCheckBuilt").Where(f => f.StartsWith(project.EngineFolder, StringComparison.Ordinal)));
        CollectionAssert.AreEquivalent(
            new[] { Path.Combine(project.Folder, "a.onnx"), Path.Combine(project.Folder, "b.onnx"), "calib/1.npz" },
            items.GetProperty("UpToDateCheckInput").EnumerateArray().Where(i => i.TryGetProperty("Set", out var set) && set.GetString() == "QuantSdk").Select(i => i.GetProperty("Identity").GetString()).ToArray());
        CollectionAssert.IsSubsetOf(new[] { "a.onnx", "b.onnx" }, Of("Watch"));
    }
}
