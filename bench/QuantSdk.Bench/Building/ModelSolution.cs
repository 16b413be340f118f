using System.Diagnostics;
using Microsoft.Build.Logging.StructuredLogger;

namespace QuantSdk.Bench.Building;

/// <summary>A solution of four projects in a folder outside the repository, with five models each or without QuantSdk.</summary>
internal sealed class ModelSolution
{
    private const int Projects = 4;
    private const int ModelsOfEach = 5;
    private readonly string _folder;
    private readonly string _salt = Guid.NewGuid().ToString("N");

    public ModelSolution(string folder, bool withModels)
    {
        _folder = folder;
        Write("Directory.Build.props", "<Project />");
        Write("Directory.Build.targets", "<Project />");
        Write("nuget.config", "<configuration><packageSources><clear /></packageSources></configuration>");
        Write("Models.slnx", $"<Solution>{string.Concat(Names.Select(n => $"""<Project Path="{n}/{n}.csproj" />"""))}</Solution>");
        var build = System.IO.Path.Combine(Repository.Root, "build");
        foreach (var name in Names)
        {
            Write($"{name}/Code.cs", "public static class Code;");
            Write($"{name}/{name}.csproj", $"""
                <Project>
                  <PropertyGroup>
                    <QuantSdkTasksAssembly>{Repository.TasksAssembly}</QuantSdkTasksAssembly>
                    <QuantSdkToolAssembly>{Repository.ToolAssembly}</QuantSdkToolAssembly>
                    <QuantSdkStoreMode>Off</QuantSdkStoreMode>
                  </PropertyGroup>
                  <Import Project="Sdk.props" Sdk="Microsoft.NET.Sdk" />
                  {(withModels ? $"""<Import Project="{build}/QuantSdk.props" />""" : "")}
                  <PropertyGroup>
                    <TargetFramework>net10.0</TargetFramework>
                    <NuGetAudit>false</NuGetAudit>
                  </PropertyGroup>
                  <ItemGroup>
                    {(withModels ? string.Concat(Enumerable.Range(1, ModelsOfEach).Select(i => $"""<QuantizedModel Include="digits_cnn.onnx" Name="m{i}" Precision="none" CalibrationData="*.npz" />""")) : "")}
                  </ItemGroup>
                  <Import Project="Sdk.targets" Sdk="Microsoft.NET.Sdk" />
                  {(withModels ? $"""<Import Project="{build}/QuantSdk.targets" />""" : "")}
                </Project>
                """);
            foreach (var file in (string[])["digits_cnn.onnx", "digits_calib.npz"])
                System.IO.File.Copy(System.IO.Path.Combine(Repository.Digits, file), System.IO.Path.Combine(folder, name, file));
        }
    }

    private static IEnumerable<string> Names => Enumerable.Range(1, Projects).Select(i => $"Project{i}");

    /// <summary>Wall time of a whole `dotnet build --no-restore` as anybody runs it, in seconds: as many nodes as cores, and those of the last build are used again.</summary>
    public double Build() => Run(["build", "Models.slnx", "--no-restore", "-nologo", "-v:q", "-tl:off"]);

    /// <summary>The same on one node that starts cold.</summary>
    public double BuildCold(params string[] switches) => Run(["msbuild", "Models.slnx", "-nologo", "-v:q", "-tl:off", "-nodeReuse:false", "-m:1", .. switches]);

    private double Run(string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet", arguments) { WorkingDirectory = _folder, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var name in start.Environment.Keys.Where(k => k.StartsWith("MSBuild", StringComparison.OrdinalIgnoreCase)).ToArray())
            start.Environment.Remove(name);
        // Nodes of its own: others' may have anything loaded.
        start.Environment["MSBUILDNODEHANDSHAKESALT"] = _salt;
        var started = Stopwatch.GetTimestamp();
        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0 ? Stopwatch.GetElapsedTime(started).TotalSeconds : throw new InvalidOperationException("The build failed: " + output);
    }

    /// <summary>When each engine file was written.</summary>
    public DateTime[] Marks() =>
        [.. Names.SelectMany(n => Directory.GetFiles(System.IO.Path.Combine(_folder, n, "obj", "quantsdk"), "*", SearchOption.AllDirectories)).Order(StringComparer.Ordinal).Select(System.IO.File.GetLastWriteTimeUtc)];

    /// <summary>Seconds that a no-op build spends in targets of build/, and in those of them that look whether a model is out of date; by its binary log.</summary>
    public (double All, double Checking) OwnTargets()
    {
        BuildCold("-bl:noop.binlog");
        double all = 0, checking = 0;
        BinaryLog.ReadBuild(System.IO.Path.Combine(_folder, "noop.binlog")).VisitAllChildren<Target>(target =>
        {
            if (!target.Name.Contains("QuantSdk", StringComparison.Ordinal)) return;
            // A target's own time: those that it depends on stand beside it.
            all += target.Duration.TotalSeconds;
            if (target.Name is "_QuantSdkPrepareModels" or "_QuantSdkCollectInputs") checking += target.Duration.TotalSeconds;
        });
        return (all, checking);
    }

    private void Write(string path, string text)
    {
        var file = System.IO.Path.Combine(_folder, path);
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(file)!);
        System.IO.File.WriteAllText(file, text);
    }
}
