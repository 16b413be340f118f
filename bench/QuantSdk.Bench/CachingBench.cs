using System.Diagnostics;
using QuantSdk.Caching.Schedules;

namespace QuantSdk.Bench;

internal static class CachingBench
{
    public static string? Unknown(IReadOnlyList<string> parts) => null;

    public static void Run(Report report, IReadOnlyList<string> parts)
    {
        foreach (var (name, cut) in new[] { ("unet", "up_blocks.2"), ("mmdit", "blocks:1-4") })
        {
            if (parts.Count > 0 && !parts.Contains(name))
                continue;
            using var scratch = new ScratchFolder();
            var protocol = ProtocolModel.Read(name);
            using var engine = CachedEngine.Float(protocol, cut, scratch);
            var started = Stopwatch.GetTimestamp();
            void Log(string text) => report.Line($"{Stopwatch.GetElapsedTime(started).TotalSeconds,8:f1} {text}");
            var loop = engine.Loop(protocol.Diffusion!, 8, 5000);
            var search = new ScheduleSearch(loop, 12, Log, default);
            Log("drift");
            foreach (var k in new[] { 10, 6 })
            {
                search.Best(k);
            }
        }
    }
}
