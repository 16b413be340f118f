using QuantSdk.Calibration;
using QuantSdk.Onnx;
using QuantSdk.Runtime;

namespace QuantSdk.Caching;

/// <summary>
/// How much cached tensors change from step to step: the mean of ‖c(t) − c(t−1)‖/‖c(t)‖ over neighbouring steps of denoising loops. For a
/// residual the change is the residual's, relative to the stream that it is added to, so that both kinds of cut compare.
/// </summary>
internal sealed class Drift
{
    private readonly IReadOnlyList<IReadOnlyList<CachedTensor>> _cuts;
    private readonly Dictionary<string, float[]> _before = new(StringComparer.Ordinal);
    private readonly double[] _sums;
    private float? _timestep;
    private int _pairs;

    private Drift(IReadOnlyList<IReadOnlyList<CachedTensor>> cuts) => (_cuts, _sums) = (cuts, new double[cuts.Count]);

    /// <param name="model">The simplified float model.</param>
    /// <param name="cuts">The cached tensors of each cut.</param>
    /// <param name="trajectories">Denoising loops; of each step the first batch counts.</param>
    /// <param name="scratch">A folder for the model with its extra outputs.</param>
    public static IReadOnlyList<double> Measure(
        OnnxModel model, IReadOnlyList<IReadOnlyList<CachedTensor>> cuts, CalibrationSource trajectories, string scratch, int threads, Action<int, int>? progress, CancellationToken cancellation)
    {
        var drift = new Drift(cuts);
        string[] tensors = [.. cuts.SelectMany(c => c).SelectMany(t => t.Base is null ? (string[])[t.Source] : [t.Source, t.Base]).Distinct(StringComparer.Ordinal)];
        using var observed = ObservedModel.Open(model, tensors, scratch, threads);
        trajectories.Run(observed.Session, (feed, shapes) => observed.BatchFor(feed, shapes), (binding, _, key) => drift.See(binding, tensors, key.Timestep), progress, cancellation);
        return [.. drift._sums.Select(s => drift._pairs == 0 ? 0 : s / drift._pairs)];
    }

    private void See(ModelBinding binding, IReadOnlyList<string> tensors, float? timestep)
    {
        // Further batches of the same step are other rows.
        if (timestep is null || timestep == _timestep)
            return;
        if (_timestep is not null)
        {
            _pairs++;
            for (var i = 0; i < _cuts.Count; i++)
            {
                double changed = 0, size = 0;
                foreach (var tensor in _cuts[i])
                {
                    ReadOnlySpan<float> now = binding.Values(tensor.Source), before = _before[tensor.Source];
                    var baseNow = tensor.Base is null ? default : binding.Values(tensor.Base);
                    var baseBefore = tensor.Base is null ? default : (ReadOnlySpan<float>)_before[tensor.Base];
                    for (var k = 0; k < now.Length; k++)
                    {
                        var change = (double)now[k] - before[k];
                        if (tensor.Base is not null)
                            change -= (double)baseNow[k] - baseBefore[k];
                        changed += change * change;
                        size += (double)now[k] * now[k];
                    }
                }
                _sums[i] += size > 0 ? Math.Sqrt(changed / size) : 0;
            }
        }
        _timestep = timestep;
        foreach (var tensor in tensors)
            _before[tensor] = binding.Values(tensor).ToArray();
    }
}
