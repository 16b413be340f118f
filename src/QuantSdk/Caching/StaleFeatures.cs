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

/// <summary>Runs the live part of many cuts beside the full model, each on what it would have cached one step before.</summary>
internal sealed class StaleFeatures : IDisposable
{
    private readonly IReadOnlyList<Part> _parts;
    private readonly string[] _tensors;
    private readonly string _output;
    private readonly Dictionary<string, float[]> _before = new(StringComparer.Ordinal);
    private float? _timestep;
    private int _pairs;

    private StaleFeatures(IReadOnlyList<Part> parts, string output)
    {
        (_parts, _output) = (parts, output);
        _tensors = [.. parts.SelectMany(p => p.Cached).SelectMany(t => t.Base is null ? (string[])[t.Source] : [t.Source, t.Base]).Distinct(StringComparer.Ordinal)];
    }

    /// <param name="model">The simplified float model.</param>
    /// <param name="trajectories">Denoising loops; of each step the first batch counts.</param>
    /// <param name="scratch">A folder for graphs.</param>
    public static IReadOnlyList<Staleness> Measure(
        OnnxModel model, DiffusionRoles roles, IReadOnlyList<CacheCut> cuts, CalibrationSource trajectories, string scratch, int threads, Action<int, int>? progress, CancellationToken cancellation)
    {
        var shapes = CachedShapes.Of(model, [.. cuts.SelectMany(c => Frontier.Find(model, roles, c)).Select(t => t.Source)]);
        var parts = new List<Part>();
        try
        {
            foreach (var cut in cuts)
            {
                cancellation.ThrowIfCancellationRequested();
                var cached = CachedModel.Mark(model, roles, cut, shapes);
                var path = Path.Combine(scratch, $"cut{parts.Count}.onnx");
                OnnxFile.Save(cached.Live(cached.Model.Proto), path, path + ".data");
                parts.Add(new Part(cached.Tensors, ModelSession.Open(path, new SessionSettings { Threads = threads, Entries = new Dictionary<string, string> { ["session.force_spinning_stop"] = "1" } })));
            }
            using var measured = new StaleFeatures(parts, model.Graph.Output[0].Name);
            using var observed = ObservedModel.Open(model, measured._tensors, scratch, threads);
            trajectories.Run(observed.Session, (feed, shape) => observed.BatchFor(feed, shape), (binding, _, key) => measured.See(binding, key.Timestep), progress, cancellation);
            return [.. parts.Select(p => measured._pairs == 0 ? default : new Staleness(p.Drift / measured._pairs, p.Error / measured._pairs))];
        }
        finally
        {
            foreach (var part in parts)
                part.Dispose();
        }
    }

    public void Dispose()
    {
        foreach (var part in _parts)
            part.Dispose();
    }

    private void See(ModelBinding binding, float? timestep)
    {
        // Further batches of the same step are other rows.
        if (timestep is null || timestep == _timestep)
            return;
        if (_timestep is not null)
        {
            _pairs++;
            foreach (var part in _parts)
            {
                part.Drift += Drift(part, binding);
                part.Error += Error(part, binding);
            }
        }
        _timestep = timestep;
        foreach (var tensor in _tensors)
            _before[tensor] = binding.Values(tensor).ToArray();
    }

    private double Drift(Part part, ModelBinding binding)
    {
        double changed = 0, size = 0;
        foreach (var tensor in part.Cached)
        {
            var now = binding.Values(tensor.Source);
            var before = _before[tensor.Source];
            var baseNow = tensor.Base is null ? default : binding.Values(tensor.Base);
            var baseBefore = tensor.Base is null ? null : _before[tensor.Base];
            for (var k = 0; k < now.Length; k++)
            {
                var change = (double)now[k] - before[k] - (baseBefore is null ? 0 : (double)baseNow[k] - baseBefore[k]);
                changed += change * change;
                size += (double)now[k] * now[k];
            }
        }
        return size > 0 ? Math.Sqrt(changed / size) : 0;
    }

    private double Error(Part part, ModelBinding binding)
    {
        var live = part.Bind(binding);
        foreach (var tensor in part.Cached)
        {
            var value = _before[tensor.Source];
            if (tensor.Base is not null)
                value = [.. value.Zip(_before[tensor.Base], (s, b) => s - b)];
            value.CopyTo(live.Input<float>(tensor.Name));
        }
        live.Run();
        ReadOnlySpan<float> full = binding.OutputFloats(_output), stale = live.OutputFloats(_output);
        double error = 0, size = 0;
        for (var k = 0; k < full.Length; k++)
        {
            error += ((double)full[k] - stale[k]) * ((double)full[k] - stale[k]);
            size += (double)full[k] * full[k];
        }
        return size > 0 ? Math.Sqrt(error / size) : 0;
    }

    /// <summary>The live part of one cut, open, with what was added up.</summary>
    private sealed class Part(IReadOnlyList<CachedTensor> cached, ModelSession session) : IDisposable
    {
        private ModelBinding? _binding;

        public IReadOnlyList<CachedTensor> Cached => cached;

        public double Drift { get; set; }

        public double Error { get; set; }

        /// <summary>Bound to the shapes of a run of the full model, with its inputs filled in.</summary>
        public ModelBinding Bind(ModelBinding full)
        {
            var own = session.Inputs.Where(i => cached.All(c => c.Name != i.Name)).ToArray();
            _binding ??= session.Bind(own.Select(i => (i.Name, Shape: full.InputShape(i.Name).ToArray())).Concat(cached.Select(c => (c.Name, Shape: full.OutputShape(c.Source).ToArray()))).ToDictionary(i => i.Name, i => i.Shape, StringComparer.Ordinal));
            foreach (var input in own)
                full.InputBytes(input.Name).CopyTo(_binding.InputBytes(input.Name));
            return _binding;
        }

        public void Dispose()
        {
            _binding?.Dispose();
            _binding = null;
            session.Dispose();
        }
    }
}
