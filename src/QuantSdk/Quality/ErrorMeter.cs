using QuantSdk.Runtime;

namespace QuantSdk.Quality;

/// <summary>
/// Error of one output against the float model's, over everything added:
/// SQNR = 10·log10(Σref² / Σ(ref − q)²) in dB, cosine = Σref·q / √(Σref²·Σq²).
/// </summary>
internal sealed class ErrorMeter(string output)
{
    /// <summary>What is reported where nothing differs; infinity has no JSON number.</summary>
    public const double Exact = 200;

    private double _signal, _error, _dot, _quantised;

    public void Add(ReadOnlySpan<float> reference, ReadOnlySpan<float> quantised)
    {
        for (var i = 0; i < reference.Length; i++)
        {
            double r = reference[i], q = quantised[i];
            _signal += r * r;
            _error += (r - q) * (r - q);
            _dot += r * q;
            _quantised += q * q;
        }
    }

    public OutputQuality Result() => new(
        output,
        _error <= 0 ? Exact : Math.Round(Math.Min(Exact, _signal <= 0 ? -Exact : 10 * Math.Log10(_signal / _error)), 3),
        Math.Round(_signal <= 0 && _quantised <= 0 ? 1 : _dot / Math.Max(double.Epsilon, Math.Sqrt(_signal * _quantised)), 7));
}
