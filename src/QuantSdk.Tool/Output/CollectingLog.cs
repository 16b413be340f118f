using QuantSdk.Engines;

namespace QuantSdk.Tool.Output;

/// <summary>A warning of a build.</summary>
internal sealed record BuildWarning(string Code, string Message, string? File);

/// <summary>Keeps the warnings, for a document that is written at the end.</summary>
internal sealed class CollectingLog : IBuildLog
{
    private readonly List<BuildWarning> _warnings = [];

    public IReadOnlyList<BuildWarning> Warnings => _warnings;

    public void Phase(string phase)
    {
    }

    public void Progress(string phase, int done, int total)
    {
    }

    public void Warning(string code, string message, string? file) => _warnings.Add(new BuildWarning(code, message, file));

    public void Detail(string message)
    {
    }
}
