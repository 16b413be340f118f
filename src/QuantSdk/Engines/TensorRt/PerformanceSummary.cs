using System.Globalization;
using System.Text.RegularExpressions;

namespace QuantSdk.Engines.TensorRt;

/// <summary>The block after === Performance summary ===; alike from 8.6 to 11.1. Numbers are what C++ streams print: 41.16, 1e+06, inf.</summary>
internal sealed partial class PerformanceSummary
{
    private readonly Dictionary<string, TrtExecTimes> _times = new(StringComparer.Ordinal);
    private bool _begun;
    private double? _throughput, _host, _gpu;

    public TrtExecPerformance? Result => _throughput is not { } throughput ? null : new(
        throughput, _times.GetValueOrDefault("Latency"), _times.GetValueOrDefault("Enqueue Time"), _times.GetValueOrDefault("H2D Latency"), _times.GetValueOrDefault("GPU Compute Time"),
        _times.GetValueOrDefault("D2H Latency"), _host ?? 0, _gpu ?? 0);

    public void Read(string text)
    {
        if (text.StartsWith("=== ", StringComparison.Ordinal))
            _begun = text == "=== Performance summary ===";
        if (!_begun)
            return;
        if (TotalRegex().Match(text) is { Success: true } total && Number(total.Groups["value"].Value) is { } value)
        {
            switch (total.Groups["name"].Value)
            {
                case "Throughput": _throughput = value; break;
                case "Total Host Walltime": _host = value; break;
                default: _gpu = value; break;
            }
        }
        else if (TimesRegex().Match(text) is { Success: true } times)
        {
            var numbers = PartRegex().Matches(times.Groups["parts"].Value).ToDictionary(m => m.Groups["name"].Value, m => Number(m.Groups["value"].Value) ?? double.NaN, StringComparer.Ordinal);
            _times[times.Groups["name"].Value] = new(
                numbers.GetValueOrDefault("min", double.NaN), numbers.GetValueOrDefault("max", double.NaN), numbers.GetValueOrDefault("mean", double.NaN), numbers.GetValueOrDefault("median", double.NaN),
                numbers.Where(n => n.Key.StartsWith("percentile(", StringComparison.Ordinal)).ToDictionary(n => n.Key["percentile(".Length..].TrimEnd(')', '%'), n => n.Value, StringComparer.Ordinal));
        }
    }

    private static double? Number(string text) => text switch
    {
        "inf" => double.PositiveInfinity,
        "-inf" => double.NegativeInfinity,
        "nan" or "-nan" => double.NaN,
        _ => double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) ? number : null,
    };

    [GeneratedRegex(@"^(?<name>Throughput|Total Host Walltime|Total GPU Compute Time): (?<value>\S+) (qps|s)$")]
    private static partial Regex TotalRegex();

    [GeneratedRegex(@"^(?<name>Latency|Enqueue Time|H2D Latency|GPU Compute Time|D2H Latency): (?<parts>min = .*)$")]
    private static partial Regex TimesRegex();

    [GeneratedRegex(@"(?<name>min|max|mean|median|percentile\([^)]*\)) = (?<value>\S+) ms")]
    private static partial Regex PartRegex();
}
