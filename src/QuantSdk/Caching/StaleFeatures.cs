using System.Numerics.Tensors;
using QuantSdk.Calibration;
using QuantSdk.Onnx;
using QuantSdk.Runtime;

namespace QuantSdk.Caching;

/// <summary>What a cut costs in accuracy, seen along denoising loops, the mean over neighbouring steps.</summary>
/// <param name="Drift">
/// ‖c(t) − c(t−1)‖/‖c(t)‖ of the cached tensors; for a residual its change relative to the stream that it is added to, so that both kinds of
/// cut compare.
/// </param>
/// <param name="Error">‖live(x(t), c(t−1)) − full(x(t))‖/‖full(x(t))‖: what features that are one step old do to the model's output.</param>
internal readonly record struct Staleness(double Drift, double Error);

/// <summary>Runs the full model once, and then the live part of one cut after the other on what it would have cached one step before.</summary>
internal static class StaleFeatures
{
    /// <param name="model">The simplified float model.</param>
    /// <param name="trajectories">Denoising loops; of each step the first batch counts.</param>
    /// <param name="scratch">A folder for graphs.</param>
    /// <param name="progress">Told of cuts done, of all.</param>
    public static IReadOnlyList<Staleness> Measure(
        OnnxModel model, DiffusionRoles roles, IReadOnlyList<CacheCut> cuts, CalibrationSource trajectories, string scratch, int threads, Action<int, int>? progress, CancellationToken cancellation)
    {
        IReadOnlyList<CachedTensor>[] cached = [.. cuts.Select(c => Frontier.Find(model, roles, c))];
        var shapes = CachedShapes.Of(model, [.. cached.SelectMany(c => c).Select(t => t.Source)]);
        var seen = new SteppedFeatures(cached, model.Graph.Output[0].Name, trajectories.Timesteps.Count);
        using (var observed = ObservedModel.Open(model, seen.Tensors, scratch, threads))
            trajectories.Run(observed.Session, (feed, shape) => observed.BatchFor(feed, shape), (binding, _, key) => seen.See(observed.Session, binding, key.Timestep), null, cancellation);
        var drift = seen.Drift;
        var found = new List<Staleness>();
        foreach (var cut in cuts)
        {
            cancellation.ThrowIfCancellationRequested();
            var part = CachedModel.Mark(model, roles, cut, shapes);
            var path = Path.Combine(scratch, "cut.onnx");
            OnnxFile.Save(part.Live(part.Model.Proto), path, path + ".data");
            using (var live = ModelSession.Open(path, new SessionSettings { Threads = threads, Entries = new Dictionary<string, string> { ["session.force_spinning_stop"] = "1" } }))
                found.Add(new Staleness(drift[found.Count], Error(live, part.Tensors, seen.Kept)));
            File.Delete(path);
            File.Delete(path + ".data");
            progress?.Invoke(found.Count, cuts.Count);
        }
        return found;
    }

    private static double Error(ModelSession live, IReadOnlyList<CachedTensor> cached, IReadOnlyList<SteppedFeatures.Step> steps)
    {
        var error = 0.0;
        ModelBinding? binding = null;
        try
        {
            foreach (var step in steps)
            {
                binding ??= live.Bind(live.Inputs.ToDictionary(
                    i => i.Name, i => cached.FirstOrDefault(c => c.Name == i.Name) is { } own ? step.Before[own.Source].Shape : step.Inputs[i.Name].Dimensions.ToArray(), StringComparer.Ordinal));
                foreach (var tensor in cached)
                    SteppedFeatures.Of(step.Before, tensor).CopyTo(binding.Input<float>(tensor.Name));
                foreach (var input in live.Inputs.Where(i => cached.All(c => c.Name != i.Name)))
                    binding.SetInput(input.Name, step.Inputs[input.Name]);
                binding.Run();
                var size = TensorPrimitives.Norm<float>(step.Prediction);
                error += size > 0 ? TensorPrimitives.Distance(binding.OutputFloats(live.Outputs[0].Name), step.Prediction) / size : 0;
            }
        }
        finally
        {
            binding?.Dispose();
        }
        return steps.Count == 0 ? 0 : error / steps.Count;
    }
}
