using QuantSdk.Caching.Schedules;
using QuantSdk.Engines;
using QuantSdk.Runtime;

namespace QuantSdk.Bench;

/// <summary>A denoiser built with Cache, loaded as an app loads it.</summary>
internal sealed class CachedEngine : IDisposable
{
    private readonly DiffusionProtocol _diffusion;

    private CachedEngine(QuantizedModel model, string folder, DiffusionProtocol diffusion) => (Model, Folder, _diffusion) = (model, folder, diffusion);

    public QuantizedModel Model { get; }

    public string Folder { get; }

    /// <param name="precision">none or int8; int8 is calibrated as the samples are.</param>
    /// <param name="hoist">What does not depend on the sample is computed apart.</param>
    public static CachedEngine Build(ProtocolModel protocol, string cut, string precision, ScratchFolder scratch, bool hoist = false)
    {
        var diffusion = protocol.Diffusion!;
        var metadata = new Dictionary<string, string> { ["Precision"] = precision, ["Cache"] = cut, ["Hoist"] = hoist ? "true" : "false" };
        if (precision != "none")
        {
            metadata["CalibrationData"] = Path.ChangeExtension(protocol.Path, null) + "_calib.npz";
            metadata["Scheduler"] = protocol.Recipe.Scheduler!;
            metadata["Steps"] = $"{DiffusionProtocol.Steps}";
            metadata["GuidanceScale"] = $"{DiffusionProtocol.Guidance}";
            metadata["ScheduleRows"] = "0";
        }
        var folder = scratch.File($"{protocol.Name}-{string.Concat(cut.Where(char.IsLetterOrDigit))}-{precision}{(hoist ? "-hoisted" : "")}");
        var request = new BuildRequest(protocol.Name, protocol.Path, scratch.Path, folder, null, Quantisation.Threads, metadata, precision == "none" ? null : diffusion.Encoder);
        ModelBuilder.Build(request, new BuiltBlock.Silent(), CancellationToken.None);
        return new CachedEngine(QuantizedModel.Load(folder, new QuantizedModelOptions { Threads = Quantisation.Threads }), folder, diffusion);
    }

    public DiffusionPipeline Pipeline(CacheSchedule? schedule) => new(Model, _diffusion.Sampler) { Cache = schedule };

    /// <summary>Samples of labels 0 to 9 in turn, row i from noise of seed + i.</summary>
    public TrialLoop Loop(int rows, long seed) =>
        new(Model.Denoiser!, Model.Live!, Model.Cached, _diffusion.Sampler, _diffusion.Conditioning(rows), _diffusion.SampleShape, rows, seed, _diffusion.GoldenSteps, DiffusionProtocol.Guidance);

    public void Dispose() => Model.Dispose();
}
