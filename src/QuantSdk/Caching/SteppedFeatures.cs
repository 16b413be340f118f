using System.Numerics.Tensors;
using QuantSdk.Runtime;

namespace QuantSdk.Caching;

/// <summary>
/// What a denoising loop of the full model leaves for cuts to be tried on: the drift of what each caches from step to step, and some steps with the features of
/// the step before. Of each step the first batch counts.
/// </summary>
/// <param name="cuts">The cached tensors of each cut.</param>
/// <param name="output">The model's prediction.</param>
/// <param name="steps">The number of steps to come, or 0 where it is not known.</param>
internal sealed class SteppedFeatures(IReadOnlyList<IReadOnlyList<CachedTensor>> cuts, string output, int steps)
{
    /// <summary>Steps that are kept, spread evenly, as far as their tensors take no more than so many bytes; one in any case.</summary>
    private const int MostKept = 16;

    private const long ByteBudget = 1L << 30;

    private readonly string[] _tensors = [.. cuts.SelectMany(c => c).SelectMany(t => t.Base is null ? (string[])[t.Source] : [t.Source, t.Base]).Distinct(StringComparer.Ordinal)];
    private readonly double[] _drift = new double[cuts.Count];
    private readonly List<Step> _kept = [];
    private Dictionary<string, Values> _before = [];
    private float? _timestep;
    private int _pairs;
    private long _bytes;

    /// <summary>A step, with what the step before would have cached.</summary>
    /// <param name="Inputs">The model's inputs.</param>
    /// <param name="Prediction">The full model's.</param>
    /// <param name="Before">The tensors of the step before.</param>
    public sealed record Step(IReadOnlyDictionary<string, ModelTensor> Inputs, float[] Prediction, IReadOnlyDictionary<string, Values> Before);

    /// <summary>A float tensor.</summary>
    public sealed record Values(long[] Shape, float[] Data)
    {
        public static Values Of(ModelBinding binding, string tensor) => new(binding.Shape(tensor).ToArray(), binding.Values(tensor).ToArray());
    }

    /// <summary>The tensors to be observed.</summary>
    public IReadOnlyList<string> Tensors => _tensors;

    public IReadOnlyList<Step> Kept => _kept;

    /// <summary><see cref="Staleness.Drift"/> of each cut.</summary>
    public IReadOnlyList<double> Drift => [.. _drift.Select(d => _pairs == 0 ? 0 : d / _pairs)];

    public void See(ModelSession session, ModelBinding binding, float? timestep)
    {
        // Further batches of the same step are other rows.
        if (timestep is null || timestep == _timestep)
            return;
        var now = _tensors.ToDictionary(t => t, t => Values.Of(binding, t), StringComparer.Ordinal);
        if (_timestep is not null)
        {
            for (var i = 0; i < cuts.Count; i++)
                _drift[i] += DriftOf(cuts[i], now);
            var every = Math.Max(1, (steps + MostKept - 2) / MostKept);
            var bytes = now.Values.Sum(v => (long)v.Data.Length) * sizeof(float);
            if (_pairs % every == 0 && (_kept.Count == 0 || _bytes + bytes <= ByteBudget))
            {
                _kept.Add(new Step(session.Inputs.ToDictionary(i => i.Name, i => ModelTensor.FromBytes(i.Type, binding.InputShape(i.Name), binding.InputBytes(i.Name)), StringComparer.Ordinal), binding.OutputFloats(output).ToArray(), _before));
                _bytes += bytes;
            }
            _pairs++;
        }
        (_timestep, _before) = (timestep, now);
    }

    /// <summary>‖c(t) − c(t−1)‖/‖s(t)‖ over the cached tensors of a cut, s the stream that a residual is added to, else c.</summary>
    private double DriftOf(IReadOnlyList<CachedTensor> cut, Dictionary<string, Values> now)
    {
        double changed = 0, size = 0;
        foreach (var tensor in cut)
        {
            var change = new float[now[tensor.Source].Data.Length];
            TensorPrimitives.Subtract(Of(now, tensor), Of(_before, tensor), change);
            changed += SquaredNorm(change);
            size += SquaredNorm(now[tensor.Source].Data);
        }
        return size > 0 ? Math.Sqrt(changed / size) : 0;
    }

    /// <summary>What a cut caches: the tensor, or what was added to its base.</summary>
    public static float[] Of(IReadOnlyDictionary<string, Values> values, CachedTensor tensor)
    {
        if (tensor.Base is null)
            return values[tensor.Source].Data;
        var residual = new float[values[tensor.Source].Data.Length];
        TensorPrimitives.Subtract(values[tensor.Source].Data, values[tensor.Base].Data, residual);
        return residual;
    }

    /// <summary>In double: millions of squares are summed.</summary>
    private static double SquaredNorm(ReadOnlySpan<float> values)
    {
        const int Chunk = 4096;
        var sum = 0.0;
        for (; values.Length > Chunk; values = values[Chunk..])
            sum += TensorPrimitives.SumOfSquares(values[..Chunk]);
        return sum + TensorPrimitives.SumOfSquares(values);
    }
}
