using System.Diagnostics;
using System.Globalization;

namespace QuantSdk.Bench;

/// <summary>What models cost a build that has nothing to do: `dotnet build --no-restore` of an app with three up-to-date models against the same app without.</summary>
internal static class BuildBench
{
    private const int Rounds = 9;

    public static void Run(Report report)
    {
        using var scratch = new ScratchFolder();
        var with = Project(scratch, "with", """
            <QuantizedModel Include="digits_cnn.onnx" Name="a" CalibrationData="digits_calib.npz" />
            <QuantizedModel Include="digits_cnn.onnx" Name="b" CalibrationData="digits_calib.npz" Calibrator="max" />
            <QuantizedModel Include="digits_cnn.onnx" Name="c" Precision="none" />
            """);
        var without = Project(scratch, "without", "");
        var first = Build(with, restore: true);
        Build(without, restore: true);
        var marks = Marks(with);
        var (withModels, plain) = (new List<double>(), new List<double>());
        for (var i = 0; i < Rounds; i++)
        {
            withModels.Add(Build(with));
            plain.Add(Build(without));
        }
        if (!Marks(with).SequenceEqual(marks))
            throw new InvalidOperationException("An engine was built again although nothing had changed.");
        report.Row("seconds", "with 3 models", "without");
        report.Row("first build", Seconds(first), "");
        report.Row($"no-op build, median of {Rounds}", Seconds(Median(withModels)), Seconds(Median(plain)));
        report.Figure("build_first_s", first);
        report.Figure("build_noop_with_models_s", Median(withModels));
        report.Figure("build_noop_without_s", Median(plain));
        report.Figure("build_noop_added_s", Median([.. withModels.Zip(plain, (a, b) => a - b)]));
    }

    private static string Project(ScratchFolder scratch, string name, string items)
    {
        var folder = Directory.CreateDirectory(scratch.File(name)).FullName;
        File.WriteAllText(Path.Combine(folder, "Directory.Build.props"), "<Project />");
        File.WriteAllText(Path.Combine(folder, "Directory.Build.targets"), "<Project />");
        File.WriteAllText(Path.Combine(folder, "nuget.config"), "<configuration><packageSources><clear /></packageSources></configuration>");
        File.WriteAllText(Path.Combine(folder, "Code.cs"), "public static class Code;");
        foreach (var file in (string[])["digits_cnn.onnx", "digits_calib.npz"])
            File.Copy(Path.Combine(Repository.Digits, file), Path.Combine(folder, file));
        var build = Path.Combine(Repository.Root, "build");
        File.WriteAllText(Path.Combine(folder, "App.csproj"), $"""
            <Project>
              <PropertyGroup>
                <QuantSdkTasksAssembly>{Repository.TasksAssembly}</QuantSdkTasksAssembly>
                <QuantSdkToolAssembly>{Repository.ToolAssembly}</QuantSdkToolAssembly>
              </PropertyGroup>
              <Import Project="Sdk.props" Sdk="Microsoft.NET.Sdk" />
              <Import Project="{build}/QuantSdk.props" />
              <PropertyGroup>
                <TargetFramework>net10.0</TargetFramework>
                <UseAppHost>false</UseAppHost>
                <NuGetAudit>false</NuGetAudit>
              </PropertyGroup>
              <ItemGroup>
                {items}
              </ItemGroup>
              <Import Project="Sdk.targets" Sdk="Microsoft.NET.Sdk" />
              <Import Project="{build}/QuantSdk.targets" />
            </Project>
            """);
        return folder;
    }

    /// <summary>Wall time of a whole `dotnet build`, in seconds.</summary>
    private static double Build(string folder, bool restore = false)
    {
        var start = new ProcessStartInfo("dotnet") { WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var argument in (string[])["build", "App.csproj", "-nologo", "-v:q", "-tl:off", "-nodeReuse:false", .. restore ? (string[])[] : ["--no-restore"]])
            start.ArgumentList.Add(argument);
        foreach (var name in start.Environment.Keys.Where(k => k.StartsWith("MSBuild", StringComparison.OrdinalIgnoreCase)).ToArray())
            start.Environment.Remove(name);
        var started = Stopwatch.GetTimestamp();
        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0 ? Stopwatch.GetElapsedTime(started).TotalSeconds : throw new InvalidOperationException("The build failed: " + output);
    }

    /// <summary>When each engine file was written.</summary>
    private static DateTime[] Marks(string folder) =>
        [.. Directory.GetFiles(Path.Combine(folder, "obj", "quantsdk"), "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal).Select(File.GetLastWriteTimeUtc)];

    private static double Median(List<double> values) => values.Order().ElementAt(values.Count / 2);

    private static string Seconds(double value) => value.ToString("f3", CultureInfo.InvariantCulture);
}
