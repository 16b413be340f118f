using QuantSdk.Engines;

namespace QuantSdk.Tests;

/// <summary>Keeps what a build says.</summary>
internal sealed class SilentLog : IBuildLog
{
    public List<string> Phases { get; } = [];

    public List<(string Code, string Message)> Warnings { get; } = [];

    public void Phase(string phase) => Phases.Add(phase);

    public void Progress(string phase, int done, int total)
    {
    }

    public void Warning(string code, string message, string? file) => Warnings.Add((code, message));

    public void Detail(string message)
    {
    }
}
