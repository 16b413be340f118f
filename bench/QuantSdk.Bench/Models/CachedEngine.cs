using Microsoft.ML.OnnxRuntime;
using QuantSdk.Caching;
using QuantSdk.Caching.Schedules;
using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Onnx.Upgrading;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;

namespace QuantSdk.Bench;

/// <summary>A denoiser and its live part, both as engines.</summary>
internal sealed class CachedEngine : IDisposable
{
    private CachedEngine(ModelSession full, ModelSession live, DiffusionRoles roles, IReadOnlyList<TensorInfo> tensors)
    {
        (Full, Live, Tensors) = (full, live, tensors);
        Denoiser = new ModelDenoiser(full, roles);
    }

    public ModelSession Full { get; }

    public ModelSession Live { get; }

    public IReadOnlyList<TensorInfo> Tensors { get; }

    public ModelDenoiser Denoiser { get; }

    /// <summary>The float model, cut and optimised as a build does it.</summary>
    public static CachedEngine Float(ProtocolModel protocol, string cut, ScratchFolder scratch)
    {
        var model = Simplification.Simplify(Intake.Prepare(OnnxFile.Load(protocol.Path), protocol.Recipe));
        var cached = CachedModel.Mark(model, protocol.Diffusion!.Roles, CacheCut.Parse(cut));
        var full = FloatFusions.Apply(cached.Model).Proto;
        var (fullPath, livePath) = (Optimise(full, scratch.File("full.onnx")), Optimise(cached.Live(full), scratch.File("live.onnx")));
        var settings = new SessionSettings { Threads = Quantisation.Threads, Optimisation = GraphOptimizationLevel.ORT_DISABLE_ALL };
        var live = ModelSession.Open(livePath, settings);
        return new CachedEngine(ModelSession.Open(fullPath, settings), live, protocol.Diffusion.Roles, [.. cached.Tensors.Select(t => live.Input(t.Name).Info)]);
    }

    /// <summary>Samples of labels 0 to 9 in turn, row i from noise of seed + i.</summary>
    public CachedLoop Loop(DiffusionProtocol diffusion, int rows, long seed) =>
        new(Denoiser, Live, Tensors, diffusion.Sampler, diffusion.Conditioning(rows), diffusion.Noise(rows, seed), diffusion.GoldenSteps, DiffusionProtocol.Guidance);

    public void Dispose()
    {
        Denoiser.Dispose();
        Live.Dispose();
        Full.Dispose();
    }

    private static string Optimise(ModelProto model, string path)
    {
        OnnxFile.Save(model, path, Path.ChangeExtension(path, ".data"));
        var optimised = Path.ChangeExtension(path, ".optimised.onnx");
        OrtEngine.Optimise(path, optimised, Quantisation.Threads);
        return optimised;
    }
}
