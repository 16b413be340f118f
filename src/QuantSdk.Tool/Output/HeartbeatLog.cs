using System.Diagnostics;
using System.Globalization;
using QuantSdk.Engines;

namespace QuantSdk.Tool.Output;

/// <summary>For logs that nobody watches: warnings, and a sign of life now and then.</summary>
internal sealed class HeartbeatLog : IBuildLog, IDisposable
{
    private readonly string _name;
    private readonly long _started = Stopwatch.GetTimestamp();
    private readonly Timer? _timer;
    private volatile string _state = "";

    /// <param name="interval">Null: no sign of life.</param>
    public HeartbeatLog(string name, TimeSpan? interval)
    {
        _name = name;
        _timer = interval is { } every ? new Timer(_ => Beat(), null, every, every) : null;
    }

    public void Phase(string phase) => _state = phase;

    public void Progress(string phase, int done, int total) => _state = total > 0 ? $"{phase} {100L * done / total} %" : phase;

    public void Warning(string code, string message, string? file) => Console.Error.WriteLine($"warning {code}: {message}");

    public void Detail(string message)
    {
    }

    public void Notice(string message) => Console.Error.WriteLine(message);

    public void Dispose() => _timer?.Dispose();

    private void Beat() => Console.Error.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{_name}: {_state}, {Stopwatch.GetElapsedTime(_started).TotalMinutes:f0} min"));
}
