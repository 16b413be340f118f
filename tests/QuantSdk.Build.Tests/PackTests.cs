using System.IO.Compression;

namespace QuantSdk.Build.Tests;

/// <summary>A library's package carries its models to whoever uses it.</summary>
[TestClass]
public sealed class PackTests
{
    [TestMethod]
    public void Packed_models_reach_an_app_through_another_project_and_a_package_without_them_is_an_error()
    {
        const string Frameworks = "<TargetFramework></TargetFramework><TargetFrameworks>net10.0;net10.0-windows</TargetFrameworks><EnableWindowsTargeting>true</EnableWindowsTargeting><DisableTransitiveFrameworkReferenceDownloads>true</DisableTransitiveFrameworkReferenceDownloads>";
        using var library = new FixtureProject("""<QuantizedModel Include="a.onnx" /><QuantizedModel Include="b.onnx" Targets="tensorrt-onnx" />""", folder: "lib", name: "Lib",
            properties: Frameworks + "<QuantSdkPackModels>true</QuantSdkPackModels><GeneratePackageOnBuild>false</GeneratePackageOnBuild>").WithModels("a.onnx", "b.onnx");
        var pack = library.Run("pack", "-c", "Debug", "-o", "../feed");
        Assert.IsTrue(pack.Succeeded, string.Join("; ", pack.Errors));

        using (var package = ZipFile.OpenRead(Path.Combine(library.Folder, "../feed/Lib.1.0.0.nupkg")))
        {
            var names = package.Entries.Select(e => e.FullName).Where(n => n.StartsWith("models/", StringComparison.Ordinal) || n.EndsWith(".targets", StringComparison.Ordinal)).Order(StringComparer.Ordinal).ToList();
            CollectionAssert.AreEqual((string[])["build/Lib.targets", "buildTransitive/Lib.targets",
                "models/a/cpu/model.data", "models/a/cpu/model.onnx", "models/a/cpu/model.optimised.data", "models/a/cpu/model.optimised.onnx", "models/a/manifest.json",
                "models/b/manifest.json", "models/b/tensorrt/model.data", "models/b/tensorrt/model.onnx"], names);
        }

        library.Write("../nuget.config", """<configuration><config><add key="globalPackagesFolder" value="packages" /></config><packageSources><clear /><add key="feed" value="feed" /></packageSources></configuration>""");
        library.Write("../middle/Middle.csproj", """
            <Project Sdk="Microsoft.NET.Sdk">
              <PropertyGroup><TargetFramework>net10.0</TargetFramework><UseSharedCompilation>false</UseSharedCompilation><NuGetAudit>false</NuGetAudit></PropertyGroup>
              <ItemGroup><PackageReference Include="Lib" Version="1.0.0" /></ItemGroup>
            </Project>
            """);
        library.Write("../app/App.csproj", """
            <Project Sdk="Microsoft.NET.Sdk">
              <PropertyGroup><TargetFramework>net10.0</TargetFramework><UseSharedCompilation>false</UseSharedCompilation><NuGetAudit>false</NuGetAudit></PropertyGroup>
              <ItemGroup><ProjectReference Include="../middle/Middle.csproj" /></ItemGroup>
            </Project>
            """);
        var app = Path.Combine(library.Folder, "../app");
        using (var publish = ChildBuild.Start(app, "publish", "App.csproj", "-c", "Debug", "-o", "out"))
        {
            var log = publish.Finish();
            Assert.IsTrue(log.Succeeded, string.Join("; ", log.Errors));
        }
        // The files are the library's, byte for byte, in the output and in what is published.
        foreach (var folder in (string[])["bin/Debug/net10.0/models", "out/models"])
            foreach (var model in (string[])["a", "b"])
                CollectionAssert.AreEqual(library.Engine(model).ToList(),
                    FixtureProject.FilesIn(Path.Combine(app, folder, model)).ToDictionary(f => f, f => File.ReadAllText(Path.Combine(app, folder, model, f))).ToList());

        File.Delete(Path.Combine(library.EngineFolder, "a/cpu/model.data"));
        CollectionAssert.Contains(library.Run("pack", "-c", "Debug", "--no-build", "-o", "../feed2").ErrorCodes.ToList(), "QSDK0019");
    }

    /// <summary>The package says its version; in the repository nobody does, and timestamps of the tool's files tell.</summary>
    [TestMethod]
    public void Another_version_of_the_package_makes_models_anew()
    {
        using var project = new FixtureProject("""<QuantizedModel Include="a.onnx" />""").WithModels("a.onnx");

        Assert.HasCount(1, project.BuildModels("-restore", "-p:_QuantSdkVersion=1.0.0").ModelsBuilt);
        Assert.IsEmpty(project.BuildModels("-p:_QuantSdkVersion=1.0.0").ModelsBuilt);
        Assert.HasCount(1, project.BuildModels("-p:_QuantSdkVersion=1.0.1").ModelsBuilt);
    }
}
