using System.Globalization;
using System.Runtime;

namespace QuantSdk.Bench;

/// <summary>This process's memory as Linux counts it, in MB (10^6 bytes).</summary>
internal static class ProcessMemory
{
    /// <summary>The largest resident set so far (VmHWM).</summary>
    public static double Peak() => Status("VmHWM");

    /// <summary>Resident pages that are no file's (RssAnon): what every process pays for itself. Garbage is collected before.</summary>
    public static double Private()
    {
        GCSettings.LargeObjectHeapCompactionMode = GCLargeObjectHeapCompactionMode.CompactOnce;
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        GC.WaitForPendingFinalizers();
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        return Status("RssAnon");
    }

    private static double Status(string key)
    {
        // VmHWM:     123456 kB
        var line = File.ReadLines("/proc/self/status").First(l => l.StartsWith(key + ":", StringComparison.Ordinal));
        return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[^2], CultureInfo.InvariantCulture) * 1024 / 1e6;
    }
}
