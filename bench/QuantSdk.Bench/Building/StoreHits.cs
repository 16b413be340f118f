using System.Diagnostics;
using Microsoft.Build.Logging.StructuredLogger;

namespace QuantSdk.Bench.Building;

/// <summary>A project with the digits UNet whose engine is in the store, built by the tool as the package has it: compiled ahead of time.</summary>
internal sealed class StoreHits
{
    private readonly string _folder;
    private readonly string _store;

    public StoreHits(string folder)
    {
        _folder = folder;
        _store = System.IO.Path.Combine(folder, "store");
        Write("Directory.Build.props", "<Project />");
        Write("Directory.Build.targets", "<Project />");
        Write("nuget.config", "<configuration><packageSources><clear /></packageSources></configuration>");
        Write("Code.cs", "public static class Code;");
        var build = System.IO.Path.Combine(Repository.Root, "build");
        Write("App.csproj", $"""
            <Project>
              <PropertyGroup>
                <QuantSdkTasksAssembly>{Repository.TasksAssembly}</QuantSdkTasksAssembly>
                <QuantSdkToolAssembly>{Compiled()}</QuantSdkToolAssembly>
                <QuantSdkStoreDirectory>store</QuantSdkStoreDirectory>
                <QuantSdkStoreMode>ReadWrite</QuantSdkStoreMode>
              </PropertyGroup>
              <Import Project="Sdk.props" Sdk="Microsoft.NET.Sdk" />
              <Import Project="{build}/QuantSdk.props" />
              <PropertyGroup>
                <TargetFramework>net10.0</TargetFramework>
                <NuGetAudit>false</NuGetAudit>
              </PropertyGroup>
              <ItemGroup>
                <QuantizedModel Include="{Repository.Digits}/unet.onnx" CalibrationData="{Repository.Digits}/unet_calib.npz" Scheduler="{Repository.Digits}/scheduler/scheduler_config.json" Steps="20" GuidanceScale="2" ConditionedBy="encoder" />
                <QuantizedModel Include="{Repository.Digits}/prompt_encoder.onnx" Name="encoder" Precision="none" />
              </ItemGroup>
              <Import Project="Sdk.targets" Sdk="Microsoft.NET.Sdk" />
              <Import Project="{build}/QuantSdk.targets" />
            </Project>
            """);
    }

    /// <summary>Wall time of the UNet's instance of QuantSdk.proj in a build from nothing, in seconds, by the binary log: its engine is made, or taken from the store.</summary>
    public double Build()
    {
        Directory.Delete(System.IO.Path.Combine(_folder, "obj", "quantsdk"), recursive: true);
        return Time("-t:QuantSdkBuildModels");
    }

    /// <summary>The build that fills the store.</summary>
    public double First() => Time("-restore", "-t:QuantSdkBuildModels");

    /// <summary>Two builds of the project at once from an empty store: how many of the two made the engine.</summary>
    public int Twice()
    {
        var other = _folder + "-other";
        Directory.CreateDirectory(other);
        foreach (var file in Directory.GetFiles(_folder))
            System.IO.File.Copy(file, System.IO.Path.Combine(other, System.IO.Path.GetFileName(file)), overwrite: true);
        Directory.Delete(_store, recursive: true);
        Directory.Delete(System.IO.Path.Combine(_folder, "obj"), recursive: true);
        string[] folders = [_folder, other];
        Parallel.ForEach(folders, folder => Run(folder, "-restore", "-t:QuantSdkBuildModels", $"-p:QuantSdkStoreDirectory={_store}"));
        return folders.Count(f => System.IO.File.ReadAllText(System.IO.Path.Combine(f, "obj", "quantsdk", ".state", "unet.report.json")).Contains("\"model\": \"built\"", StringComparison.Ordinal));
    }

    private double Time(params string[] switches)
    {
        Run(_folder, [.. switches, "-bl:hit.binlog"]);
        var seconds = 0.0;
        BinaryLog.ReadBuild(System.IO.Path.Combine(_folder, "hit.binlog")).VisitAllChildren<Project>(project =>
        {
            if (project.Name == "QuantSdk.proj" && project.GlobalProperties.TryGetValue("QuantSdkModelName", out var model) && model == "unet")
                seconds = project.Duration.TotalSeconds;
        });
        return seconds > 0 ? seconds : throw new InvalidOperationException("The UNet was not built.");
    }

    private static void Run(string folder, params string[] switches)
    {
        // One node: the other model must not run at the same time.
        var start = new ProcessStartInfo("dotnet", ["msbuild", .. switches[0].EndsWith(".proj", StringComparison.Ordinal) ? (string[])[] : ["App.csproj"], "-nologo", "-v:q", "-tl:off", "-nodeReuse:false", "-m:1", .. switches]) { WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var name in start.Environment.Keys.Where(k => k.StartsWith("MSBuild", StringComparison.OrdinalIgnoreCase)).ToArray())
            start.Environment.Remove(name);
        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        if (process.ExitCode != 0)
            throw new InvalidOperationException("The build failed: " + output);
    }

    /// <summary>A copy of the tool with its assemblies compiled as eng/readytorun does it for the package.</summary>
    private string Compiled()
    {
        var (from, to) = (System.IO.Path.GetDirectoryName(Repository.ToolAssembly)! + "/", System.IO.Path.Combine(_folder, "tool") + "/");
        foreach (var file in Directory.GetFiles(from, "*", SearchOption.AllDirectories))
        {
            var copy = System.IO.Path.Combine(to, System.IO.Path.GetRelativePath(from, file));
            Directory.CreateDirectory(System.IO.Path.GetDirectoryName(copy)!);
            System.IO.File.Copy(file, copy);
        }
        var project = System.IO.Path.Combine(Repository.Root, "eng", "readytorun", "ReadyToRun.proj");
        Run(_folder, project, "-t:Restore");
        Run(_folder, project, "-t:ReadyToRun", $"-p:InputFolder={from}", $"-p:OutputFolder={to}");
        return System.IO.Path.Combine(to, "quantsdk.dll");
    }

    private void Write(string path, string text)
    {
        Directory.CreateDirectory(_folder);
        System.IO.File.WriteAllText(System.IO.Path.Combine(_folder, path), text);
    }
}
