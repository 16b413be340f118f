using System.Globalization;

namespace QuantSdk.Build.Tests;

/// <summary>A project of a user in a temporary folder: it imports build/ as the package does, and its models are built by the stand-in tool.</summary>
internal sealed class FixtureProject : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("quantsdk-test-").FullName;
    private readonly string _name;
    private readonly string _tool;

    public FixtureProject(string items, string folder = "", string name = "App", string properties = "", string? tool = null)
    {
        _name = name;
        _tool = tool ?? RepositoryPaths.StandInTool;
        Folder = Path.Combine(_root, folder);
        Directory.CreateDirectory(Folder);
        File.WriteAllText(Path.Combine(_root, "Directory.Build.props"), "<Project />");
        File.WriteAllText(Path.Combine(_root, "Directory.Build.targets"), "<Project />");
        File.WriteAllText(Path.Combine(_root, "global.json"), """{ "sdk": { "rollForward": "latestMinor", "version": "10.0.100" } }""");
        File.WriteAllText(Path.Combine(_root, "nuget.config"), "<configuration><packageSources><clear /></packageSources></configuration>");
        Write("Code.cs", "public static class Code;");
        Declare(items, properties);
    }

    /// <summary>The folder above the project's, for what lies beside it.</summary>
    public string Root => _root;

    public string Folder { get; }

    public string EngineFolder => Path.Combine(Folder, "obj", "quantsdk");

    public string OutputFolder => Path.Combine(Folder, "bin", "Debug", "net10.0");

    /// <summary>Writes the project file.</summary>
    public void Declare(string items, string properties = "")
    {
        Write(_name + ".csproj", $"""
            <Project>
              <PropertyGroup>
                <QuantSdkTasksAssembly Condition="'$(QuantSdkTasksAssembly)' == ''">{RepositoryPaths.TasksAssembly}</QuantSdkTasksAssembly>
                <QuantSdkToolAssembly Condition="'$(QuantSdkToolAssembly)' == ''">{_tool}</QuantSdkToolAssembly>
              </PropertyGroup>
              <Import Project="Sdk.props" Sdk="Microsoft.NET.Sdk" />
              <Import Project="{RepositoryPaths.Targets}/QuantSdk.props" />
              <PropertyGroup>
                <TargetFramework>net10.0</TargetFramework>
                <UseAppHost>false</UseAppHost>
                <UseSharedCompilation>false</UseSharedCompilation>
                <NuGetAudit>false</NuGetAudit>
                {properties}
              </PropertyGroup>
              <ItemGroup>
                {items}
              </ItemGroup>
              <Import Project="Sdk.targets" Sdk="Microsoft.NET.Sdk" />
              <Import Project="{RepositoryPaths.Targets}/QuantSdk.targets" />
            </Project>
            """);
    }

    public void Write(string path, string content)
    {
        var file = Path.Combine(Folder, path);
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        File.WriteAllText(file, content);
    }

    /// <summary>Makes the project an app that prints the files of its models, and then waits as long as it is told.</summary>
    public FixtureProject WithProgram(string then = "")
    {
        Write("Code.cs", $$"""
            var models = System.IO.Path.Combine(System.AppContext.BaseDirectory, "models");
            foreach (var file in System.IO.Directory.GetFiles(models, "*", System.IO.SearchOption.AllDirectories))
                System.Console.WriteLine("has " + System.IO.Path.GetRelativePath(models, file));
            {{then}}
            """);
        return this;
    }

    /// <summary>A model file is any file to the stand-in tool.</summary>
    public FixtureProject WithModels(params string[] paths)
    {
        foreach (var path in paths) Write(path, "model");
        return this;
    }

    /// <summary>Says what the stand-in tool does with the model; see its Program.cs.</summary>
    public void Script(string model, params string[] commands) => Write(model + ".script", string.Join('\n', commands));

    public void Touch(string path) => File.SetLastWriteTimeUtc(Path.Combine(Folder, path), DateTime.UtcNow);

    /// <summary>How often a tool was started for the model, by the tool's own count.</summary>
    public int Runs(string model) => RunLines(model).Length;

    /// <summary>The request of the last run, as the tool got it.</summary>
    public System.Text.Json.JsonElement LastRequest(string model)
    {
        var line = RunLines(model)[^1];
        return System.Text.Json.JsonDocument.Parse(line[line.IndexOf('{', StringComparison.Ordinal)..]).RootElement;
    }

    /// <summary>Waits until a tool works on the model, and gives its process id.</summary>
    public int WaitForTool(string model)
    {
        var until = DateTime.UtcNow.AddSeconds(180);
        while (RunLines(model).Length == 0)
        {
            if (DateTime.UtcNow > until) throw new TimeoutException($"No tool was started for {model}.");
            Thread.Sleep(20);
        }
        return int.Parse(RunLines(model)[^1].Split(' ')[0], CultureInfo.InvariantCulture);
    }

    public void ForgetRuns(string model) => File.Delete(Path.Combine(Folder, model + ".runs"));

    public BuildLog BuildModels(params IEnumerable<string> arguments)
    {
        using var build = StartBuildingModels(arguments);
        return build.Finish();
    }

    public ChildBuild StartBuildingModels(params IEnumerable<string> arguments) =>
        ChildBuild.Start(Folder, ["msbuild", _name + ".csproj", "-t:QuantSdkBuildModels", .. arguments]);

    public BuildLog Run(string command, params IEnumerable<string> arguments)
    {
        using var build = ChildBuild.Start(Folder, [command, _name + ".csproj", .. arguments]);
        return build.Finish();
    }

    /// <summary>The files below a folder, relative to it, with '/', sorted; none where it does not exist.</summary>
    public static IReadOnlyList<string> FilesIn(string folder) => !Directory.Exists(folder)
        ? []
        : [.. Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories).Select(f => Path.GetRelativePath(folder, f).Replace('\\', '/')).Order(StringComparer.Ordinal)];

    /// <summary>The contents of an engine folder by file; what a build must not leave half changed.</summary>
    public IReadOnlyDictionary<string, string> Engine(string name)
    {
        var folder = Path.Combine(EngineFolder, name);
        return FilesIn(folder).ToDictionary(f => f, f => File.ReadAllText(Path.Combine(folder, f)));
    }

    public void Dispose() => Directory.Delete(_root, recursive: true);

    private string[] RunLines(string model)
    {
        var file = Path.Combine(Folder, model + ".runs");
        return File.Exists(file) ? File.ReadAllLines(file) : [];
    }
}
