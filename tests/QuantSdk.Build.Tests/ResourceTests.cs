using System.Text.Json.Nodes;

namespace QuantSdk.Build.Tests;

/// <summary>The real tool without the memory or the disk that it needs: a coded error, no half engine, and the next build right.</summary>
[TestClass]
public sealed class ResourceTests
{
    private const long TooLittleMemory = 24 << 20;

    [TestMethod]
    public void Out_of_memory()
    {
        using var project = Classifier();
        var tool = ToolWithHeap(Path.Combine(project.Root, "tool"), TooLittleMemory);

        var log = project.BuildModels("-p:QuantSdkToolAssembly=" + tool);

        // The runtime throws, or where it has not even memory for that, dies.
        Assert.IsFalse(log.Succeeded);
        CollectionAssert.IsSubsetOf(log.ErrorCodes.ToList(), new[] { "QSDK9003", "QSDK0011" });
        AssertNextBuildIsRight(project);
    }

    [TestMethod]
    public void Disk_full()
    {
        if (OperatingSystem.IsWindows()) Assert.Inconclusive("Windows has no ulimit.");
        using var project = Classifier();
        var full = new ChildSettings
        {
            // In KiB; the weights of the classifier have 430. No file of a runtime's own may be larger either.
            Wrapper = ["bash", "-c", "ulimit -f 64; exec \"$0\" \"$@\""],
            Environment = new Dictionary<string, string> { ["DOTNET_EnableWriteXorExecute"] = "0", ["DOTNET_EnableDiagnostics"] = "0" },
        };

        using var build = ChildBuild.StartPlain(project.Folder, full, ["msbuild", "App.csproj", "-t:QuantSdkBuildModels", "-nologo", "-tl:off", "-nodeReuse:false"]);
        build.WaitForExit();

        Assert.AreEqual(1, build.ExitCode);
        Assert.IsTrue(build.Output().Any(l => l.Contains("error QSDK1004", StringComparison.Ordinal)), string.Join('\n', build.Output()));
        AssertNextBuildIsRight(project);
    }

    private static FixtureProject Classifier()
    {
        var project = new FixtureProject("""<QuantizedModel Include="digits_cnn.onnx" CalibrationData="digits_calib.npz" />""", folder: "app", tool: RepositoryPaths.ToolAssembly);
        foreach (var file in new[] { "digits_cnn.onnx", "digits_calib.npz" })
            File.Copy(Path.Combine(RepositoryPaths.DigitsModels, file), Path.Combine(project.Folder, file));
        return project;
    }

    private static void AssertNextBuildIsRight(FixtureProject project)
    {
        Assert.IsEmpty(project.Engine("digits_cnn"));
        var next = project.BuildModels();
        Assert.IsTrue(next.Succeeded, string.Join("; ", next.Errors));
        Assert.HasCount(5, project.Engine("digits_cnn"));
        CollectionAssert.AreEquivalent(new[] { ".state", "digits_cnn" }, Directory.GetDirectories(project.EngineFolder).Select(Path.GetFileName).ToList());
    }

    /// <summary>The tool in a folder of its own, with a limit in its runtimeconfig.json: MSBuild, which shares its environment, needs more.</summary>
    private static string ToolWithHeap(string folder, long bytes)
    {
        Directory.CreateDirectory(folder);
        var original = Path.GetDirectoryName(RepositoryPaths.ToolAssembly)!;
        // The host looks for the others beside what these three really are.
        string[] own = ["quantsdk.dll", "quantsdk.deps.json", "quantsdk.runtimeconfig.json"];
        foreach (var entry in Directory.EnumerateFileSystemEntries(original).Where(e => !own.Contains(Path.GetFileName(e))))
            File.CreateSymbolicLink(Path.Combine(folder, Path.GetFileName(entry)), entry);
        foreach (var file in own)
            File.Copy(Path.Combine(original, file), Path.Combine(folder, file));
        var settings = Path.Combine(folder, own[2]);
        var configuration = JsonNode.Parse(File.ReadAllText(settings))!;
        var options = configuration["runtimeOptions"]!.AsObject();
        options["configProperties"] ??= new JsonObject();
        options["configProperties"]!["System.GC.HeapHardLimit"] = bytes;
        File.WriteAllText(settings, configuration.ToJsonString());
        return Path.Combine(folder, own[0]);
    }
}
