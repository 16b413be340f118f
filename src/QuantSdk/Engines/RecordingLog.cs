using QuantSdk.Store;

namespace QuantSdk.Engines;

/// <summary>Passes everything on, each warning once, and remembers the warnings: a stage that is taken from the store says what it said when it was run.</summary>
internal sealed class RecordingLog(IBuildLog log, BuildRequest request) : IBuildLog
{
    private readonly List<StoredWarning> _warnings = [];

    public IReadOnlyList<StoredWarning> Warnings => _warnings;

    public void Phase(string phase) => log.Phase(phase);

    public void Progress(string phase, int done, int total) => log.Progress(phase, done, total);

    public void Detail(string message) => log.Detail(message);

    public void Notice(string message) => log.Notice(message);

    public void Warning(string code, string message, string? file)
    {
        var prefix = request.Name + ":";
        var warning = new StoredWarning(code, message.StartsWith(prefix, StringComparison.Ordinal) ? $"{StoredWarning.NamePlace}:{message[prefix.Length..]}" : message, file == request.Model);
        if (_warnings.Contains(warning))
            return;
        _warnings.Add(warning);
        log.Warning(code, message, file);
    }

    public void Replay(IEnumerable<StoredWarning> warnings)
    {
        foreach (var (code, message, onModel) in warnings)
            Warning(code, message.Replace(StoredWarning.NamePlace, request.Name, StringComparison.Ordinal), onModel ? request.Model : null);
    }
}
