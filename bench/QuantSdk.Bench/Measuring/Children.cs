using System.Diagnostics;
using System.Globalization;

namespace QuantSdk.Bench;

/// <summary>Measurements that need a process of their own: memory, and loading into a process that has loaded nothing yet.</summary>
internal static class Children
{
    private static readonly Dictionary<string, Func<string[], double[]>> s_measurements = new(StringComparer.Ordinal)
    {
        ["quantise"] = QuantiseBench.PeakInChild,
        ["load"] = EngineBench.LoadInChild,
        ["caching"] = CachingBench.MemoryInChild,
        ["stream"] = StreamBench.QuantiseInChild,
    };

    /// <summary>In the child: measures and prints the numbers as the last line.</summary>
    public static int Run(string name, string[] args)
    {
        var values = s_measurements[name](args);
        Console.WriteLine(string.Join(' ', values.Select(v => v.ToString("R", CultureInfo.InvariantCulture))));
        return 0;
    }

    /// <summary>In the parent: starts this program again and reads the numbers.</summary>
    public static double[] Measure(string name, params string[] args)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!) { RedirectStandardOutput = true };
        // Under `dotnet exec` the first argument is the program.
        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet")
            start.ArgumentList.Add(Environment.GetCommandLineArgs()[0]);
        foreach (var argument in (string[])["child", name, .. args])
            start.ArgumentList.Add(argument);
        using var child = Process.Start(start)!;
        var output = child.StandardOutput.ReadToEnd();
        child.WaitForExit();
        if (child.ExitCode != 0)
            throw new InvalidOperationException($"The child process '{name}' ended with {child.ExitCode}: {output}");
        var last = output.Split('\n', StringSplitOptions.RemoveEmptyEntries)[^1];
        return [.. last.Split(' ').Select(v => double.Parse(v, CultureInfo.InvariantCulture))];
    }
}
