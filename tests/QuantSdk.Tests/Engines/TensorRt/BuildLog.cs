using System.Collections.Concurrent;
using QuantSdk.Engines;

namespace QuantSdk.Tests.Engines.TensorRt;

/// <summary>Keeps all that a build says; may be read while it runs.</summary>
internal sealed class BuildLog : IBuildLog
{
    public ConcurrentQueue<(string Code, string Message)> Warnings { get; } = [];

    public ConcurrentQueue<string> Notices { get; } = [];

    public ConcurrentQueue<string> Details { get; } = [];

    public ConcurrentQueue<int> Done { get; } = [];

    public void Phase(string phase)
    {
    }

    public void Progress(string phase, int done, int total) => Done.Enqueue(done);

    public void Warning(string code, string message, string? file) => Warnings.Enqueue((code, message));

    public void Detail(string message) => Details.Enqueue(message);

    public void Notice(string message) => Notices.Enqueue(message);
}
