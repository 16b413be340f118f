using System.Diagnostics;

namespace QuantSdk.Build.Tests;

internal static class ProcessTable
{
    /// <summary>True as soon as the process has ended, false if it still runs after the time.</summary>
    public static bool Ends(int id, TimeSpan within)
    {
        try
        {
            using var process = Process.GetProcessById(id);
            return process.WaitForExit(within);
        }
        catch (ArgumentException)
        {
            return true;
        }
    }
}
