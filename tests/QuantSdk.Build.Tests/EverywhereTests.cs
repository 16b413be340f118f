using System.Runtime.InteropServices;

namespace QuantSdk.Build.Tests;

/// <summary>An app's engines go wherever the commands of dotnet take the app, and one build of them serves all.</summary>
[TestClass]
public sealed class EverywhereTests
{
    private const string App = "<OutputType>Exe</OutputType><UseAppHost>true</UseAppHost>";
    private static readonly string[] s_filesOfA = ["has a/cpu/model.data", "has a/cpu/model.onnx", "has a/cpu/model.optimised.data", "has a/cpu/model.optimised.onnx", "has a/manifest.json"];

    [TestMethod]
    public void Run_rebuild_publish_without_build_and_single_file()
    {
        using var project = new FixtureProject("""<QuantizedModel Include="a.onnx" />""", properties: App).WithModels("a.onnx").WithProgram();

        using (var run = ChildBuild.StartPlain(project.Folder, new(), ["run", "--project", "App.csproj"]))
            CollectionAssert.AreEqual(s_filesOfA, Printed(run));
        Assert.AreEqual(1, project.Runs("a.onnx"));

        Assert.IsTrue(project.Run("build", "--no-incremental", "--no-restore").Succeeded);
        Assert.AreEqual(2, project.Runs("a.onnx"), "A rebuild builds models again.");

        Assert.IsTrue(project.Run("publish", "--no-build", "-c", "Debug", "-o", "plain").Succeeded);
        CollectionAssert.AreEqual(s_filesOfA, Printed(project, "plain"));

        Assert.IsTrue(project.Run("publish", "-r", RuntimeInformation.RuntimeIdentifier, "--self-contained", "false", "-p:PublishSingleFile=true", "-o", "single").Succeeded);
        CollectionAssert.AreEqual(s_filesOfA, Printed(project, "single"));
        Assert.IsFalse(File.Exists(Path.Combine(project.Folder, "single", "App.dll")), "This is no single file.");
        Assert.AreEqual(2, project.Runs("a.onnx"), "Configuration and runtime identifier do not matter to an engine.");
    }

    [TestMethod]
    public void Self_contained_single_file()
    {
        using var project = new FixtureProject("""<QuantizedModel Include="a.onnx" />""", properties: App).WithModels("a.onnx").WithProgram();
        // The .NET runtime comes from the machine's own package sources.
        File.Delete(Path.Combine(project.Root, "nuget.config"));

        var log = project.Run("publish", "-r", RuntimeInformation.RuntimeIdentifier, "--self-contained", "-p:PublishSingleFile=true", "-o", "out");

        if (log.ErrorCodes.Any(c => c.StartsWith("NU", StringComparison.Ordinal))) Assert.Inconclusive("No package source has the runtime: " + log.Errors[0].Text);
        Assert.IsTrue(log.Succeeded, string.Join("; ", log.Errors));
        CollectionAssert.AreEqual(s_filesOfA, Printed(project, "out"));
        Assert.AreEqual(1, project.Runs("a.onnx"));
    }

    [TestMethod]
    public void Test_project()
    {
        string Version(string package) => Path.GetFileName(Directory.GetDirectories(Path.Combine(RepositoryPaths.Packages, package)).Order(StringComparer.Ordinal).Last());
        using var project = new FixtureProject($"""
            <QuantizedModel Include="a.onnx" />
            <PackageReference Include="MSTest.TestFramework" Version="{Version("mstest.testframework")}" />
            <PackageReference Include="MSTest.TestAdapter" Version="{Version("mstest.testadapter")}" />
            """, properties: App + $"<EnableMSTestRunner>true</EnableMSTestRunner><RestorePackagesPath>{RepositoryPaths.Packages}</RestorePackagesPath>").WithModels("a.onnx");
        project.Write("global.json", """{ "test": { "runner": "Microsoft.Testing.Platform" } }""");
        project.Write("Code.cs", """
            using Microsoft.VisualStudio.TestTools.UnitTesting;
            [TestClass]
            public sealed class Tests
            {
                [TestMethod]
                public void Has_its_engine() => Assert.IsTrue(System.IO.File.Exists(System.IO.Path.Combine(System.AppContext.BaseDirectory, "models/a/manifest.json")));
            }
            """);

        using var test = ChildBuild.StartPlain(project.Folder, new(), ["test", "--project", "App.csproj"]);
        test.WaitForExit();

        Assert.AreEqual(0, test.ExitCode, string.Join('\n', test.Output()));
        Assert.IsTrue(test.Output().Any(l => l.Trim() == "succeeded: 1"), string.Join('\n', test.Output()));
    }

    [TestMethod]
    public void Source_tree_that_cannot_be_written_with_the_output_elsewhere()
    {
        if (AnotherUser.NotHere() is { } reason) Assert.Inconclusive(reason);
        using var project = new FixtureProject("""<QuantizedModel Include="a.onnx" CalibrationData="calib/*.npz" />""", folder: "src", properties: App).WithModels("a.onnx", "calib/1.npz").WithProgram();
        var writable = Directory.CreateDirectory(Path.Combine(project.Root, "writable")).FullName;
        AnotherUser.Allow(project.Root, writable);

        for (var build = 0; build < 2; build++)
        {
            using var child = ChildBuild.Start(project.Folder, AnotherUser.Settings(writable), "build", "App.csproj", "--artifacts-path", Path.Combine(writable, "artifacts"));
            var log = child.Finish();
            Assert.IsTrue(log.Succeeded, string.Join("; ", log.Errors));
            Assert.HasCount(1 - build, log.ModelsBuilt);
        }

        CollectionAssert.AreEqual(s_filesOfA, Printed(project, "../writable/artifacts/bin/App/debug"));
        CollectionAssert.AreEqual(new[] { "App.csproj", "Code.cs", "a.onnx", "calib/1.npz" }, FixtureProject.FilesIn(project.Folder).ToList());
    }

    [TestMethod]
    public void Linked_folder_and_linked_model()
    {
        using var project = new FixtureProject("""<QuantizedModel Include="a.onnx" CalibrationData="calib/*.npz" />""", folder: "real").WithModels("../store/v1.onnx", "../store/v2.onnx", "../store/calib/1.npz");
        var model = Path.Combine(project.Folder, "a.onnx");
        File.CreateSymbolicLink(model, "../store/v1.onnx");
        Directory.CreateSymbolicLink(Path.Combine(project.Folder, "calib"), "../store/calib");
        Directory.CreateSymbolicLink(Path.Combine(project.Root, "link"), "real");
        string[] Build()
        {
            using var build = ChildBuild.Start(Path.Combine(project.Root, "link"), "msbuild", "App.csproj", "-t:QuantSdkBuildModels");
            var log = build.Finish();
            Assert.IsTrue(log.Succeeded, string.Join("; ", log.Errors));
            return [.. log.ModelsBuilt];
        }

        Assert.HasCount(1, Build());
        Assert.IsEmpty(Build());
        Assert.HasCount(5, project.Engine("a"));

        project.Touch("../store/v1.onnx");
        Assert.HasCount(1, Build(), "What the link leads to has changed.");
        project.Touch("../store/calib/1.npz");
        Assert.HasCount(1, Build());
        File.Delete(model);
        File.CreateSymbolicLink(model, "../store/v2.onnx");
        Assert.HasCount(1, Build(), "The link leads elsewhere.");
        Assert.IsEmpty(Build());
    }

    [TestMethod]
    public void Threads_in_the_place_of_processes()
    {
        using var project = new FixtureProject("""<QuantizedModel Include="a.onnx" /><QuantizedModel Include="b.onnx" />""").WithModels("a.onnx", "b.onnx");
        project.Script("a.onnx", "wait-for b.onnx.runs");
        project.Script("b.onnx", "wait-for a.onnx.runs");

        var log = project.Run("build", "-mt", "-m:2");

        Assert.IsTrue(log.Succeeded, string.Join("; ", log.Errors));
        Assert.HasCount(2, log.ModelsBuilt);
        Assert.HasCount(10, FixtureProject.FilesIn(Path.Combine(project.OutputFolder, "models")));
        Assert.IsEmpty(project.Run("build", "-mt", "-m:2").ModelsBuilt);
    }

    [TestMethod]
    public void Watch_restarts_the_app_with_the_engine_of_a_changed_model()
    {
        using var project = new FixtureProject("""<QuantizedModel Include="a.onnx" />""", properties: App).WithModels("a.onnx").WithProgram("System.Threading.Thread.Sleep(System.Threading.Timeout.Infinite);");
        // Under hot reload dotnet watch sees the change too, but looks for changed code in it and, finding none, leaves the app alone.
        using var watch = ChildBuild.StartPlain(project.Folder, new(), ["watch", "--no-hot-reload", "--non-interactive", "run", "--project", "App.csproj"]);
        watch.WaitForLine(l => l.Contains("has a/manifest.json", StringComparison.Ordinal));
        Assert.AreEqual(1, project.Runs("a.onnx"));

        project.Write("a.onnx", "another");

        watch.WaitForLines(2, l => l.Contains("has a/manifest.json", StringComparison.Ordinal));
        Assert.AreEqual(2, project.Runs("a.onnx"));
    }

    private static string[] Printed(FixtureProject project, string folder)
    {
        using var app = ChildBuild.StartPlain(Path.Combine(project.Folder, folder), new() { Program = Path.Combine(project.Folder, folder, "App") }, []);
        return Printed(app);
    }

    private static string[] Printed(ChildBuild app)
    {
        app.WaitForExit();
        Assert.AreEqual(0, app.ExitCode, string.Join('\n', app.Output()));
        return [.. app.Output().Where(l => l.StartsWith("has ", StringComparison.Ordinal)).Order(StringComparer.Ordinal)];
    }
}
