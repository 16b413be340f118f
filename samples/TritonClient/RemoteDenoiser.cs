using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using QuantSdk.Runtime;

namespace TritonClient;

/// <summary>
/// A denoiser on a server, in the place of a local one. Where it is cached, full steps run NAME and keep its features; the steps between run NAME_live on them.
/// What it is made of is in the parameters that `quantsdk triton` writes into its configuration.
/// </summary>
internal sealed class RemoteDenoiser : IDenoiser
{
    private readonly HashSet<int>? _fullSteps;
    private readonly string? _live;
    private readonly string[] _cached;

    /// <param name="schedule">Which steps are full; null: all.</param>
    /// <param name="steps">The number of steps of each run.</param>
    public RemoteDenoiser(InferenceClient client, string model, CacheSchedule? schedule, int steps)
    {
        (Client, Model) = (client, model);
        var parameters = client.Configuration(model)["parameters"];
        string? Find(string name) => parameters?[$"quantsdk.{name}"]?["string_value"]?.GetValue<string>();
        SampleName = Find("sample") ?? throw new InvalidOperationException($"The server does not say which input of '{model}' takes the sample: its repository was not written by `quantsdk triton`, or it is no denoiser.");
        TimestepName = Find("timestep")!;
        TimestepScale = float.Parse(Find("timestep_scale")!, CultureInfo.InvariantCulture);
        _live = Find("live");
        _cached = JsonSerializer.Deserialize<string[]>(Find("cached") ?? "[]")!;
        var metadata = client.Metadata(model);
        TimestepInfo = metadata["inputs"]!.AsArray().Single(i => i!["name"]!.GetValue<string>() == TimestepName)!;
        Prediction = metadata["outputs"]![0]!["name"]!.GetValue<string>();
        HalfSample = metadata["inputs"]!.AsArray().Single(i => i!["name"]!.GetValue<string>() == SampleName)!["datatype"]!.GetValue<string>() == "FP16";
        if (schedule is not null)
        {
            if (_live is null)
                throw new InvalidOperationException($"'{model}' was built without Cache.");
            _fullSteps = [.. schedule.FullSteps(steps)];
        }
        LiveInputs = _fullSteps is null ? [] : [.. client.Metadata(_live!)["inputs"]!.AsArray().Select(i => i!["name"]!.GetValue<string>())];
    }

    public InferenceClient Client { get; }

    public string Model { get; }

    public string Live => _live!;

    public string SampleName { get; }

    public string TimestepName { get; }

    public float TimestepScale { get; }

    public JsonNode TimestepInfo { get; }

    public string Prediction { get; }

    public bool HalfSample { get; }

    public IReadOnlyList<string> LiveInputs { get; }

    /// <summary>What a full step asks for beside the prediction.</summary>
    public IReadOnlyList<string> Cached => _fullSteps is null ? [] : _cached;

    public bool IsFull(int step) => _fullSteps?.Contains(step) != false;

    public IDenoiserRun Begin(IReadOnlyList<long> sampleShape, IReadOnlyDictionary<string, ModelTensor> conditioning) => new RemoteRun(this, sampleShape, conditioning);
}
