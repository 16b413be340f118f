using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace QuantSdk.Numerics;

/// <summary>
/// Finds the grids of sixteen blocks at once, one a lane: their elements are gathered into panels [element, 16] that stay in the cache
/// while every candidate is tried.
/// </summary>
internal sealed unsafe class IntBlockPanels : IDisposable
{
    private const int Lanes = 16;

    /// <summary>Bytes of weights gathered at once.</summary>
    private const int PanelBytes = 128 << 10;

    private static readonly float[] ClipRatios = [1, 0.95f, 0.9f, 0.85f, 0.8f, 0.75f, 0.7f, 0.65f, 0.6f, 0.55f, 0.5f];

    private readonly IntBlockGeometry _geometry;
    private readonly IntFormat _format;
    private readonly int _blocks;
    private readonly float* _values;
    private readonly float* _importance;

    public IntBlockPanels(IntBlockGeometry geometry, IntFormat format)
    {
        (_geometry, _format, _blocks) = (geometry, format, BlocksOf(geometry));
        var bytes = (nuint)_blocks * (nuint)Math.Max(1, geometry.Along) * sizeof(float);
        _values = (float*)NativeMemory.AlignedAlloc(bytes, 64);
        if (format.InputWeights is not null)
            _importance = (float*)NativeMemory.AlignedAlloc(bytes, 64);
    }

    /// <summary>Blocks of one <see cref="Search"/>: several panels where neighbours in memory belong to different blocks, so that whole cache lines are used.</summary>
    public static int BlocksOf(IntBlockGeometry geometry) =>
        geometry.Columns ? Lanes * Math.Clamp(PanelBytes / (Lanes * sizeof(float) * Math.Max(1, geometry.Along)), 1, 16) : Lanes;

    /// <summary>Fills in the grids of group <paramref name="group"/> of blocks; false where a weight is not finite.</summary>
    public bool Search(float* weights, int group, float[] scales, sbyte[]? zeroPoints)
    {
        var first = group * _blocks;
        var count = Math.Min(_blocks, _geometry.Blocks - first);
        Gather(weights, first, count);
        var finite = true;
        for (var lane = 0; lane < count; lane += Lanes)
        {
            var panel = _values + (lane * _geometry.Along);
            var (scale, zero) = Best(panel, _importance is null ? null : _importance + (lane * _geometry.Along), out var ok);
            finite &= ok;
            for (var i = 0; i < Math.Min(Lanes, count - lane); i++)
            {
                scales[first + lane + i] = scale[i];
                if (zeroPoints is not null)
                    zeroPoints[first + lane + i] = (sbyte)zero[i];
            }
        }
        return finite;
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree(_values);
        NativeMemory.AlignedFree(_importance);
    }

    private void Gather(float* weights, int first, int count)
    {
        var along = _geometry.Along;
        if (count % Lanes != 0 || !_geometry.Columns)
            NativeMemory.Clear(_values, (nuint)_blocks * (nuint)along * sizeof(float));
        for (var b = 0; b < count; b++)
        {
            var block = first + b;
            var lanes = Neighbours(block, count - b);
            var (start, length) = (_geometry.Start(block), _geometry.Length(block));
            if (lanes >= Lanes && b % Lanes == 0)
            {
                // A row of as many blocks as follow each other in memory.
                var panels = lanes / Lanes;
                for (var j = 0; j < along; j++)
                {
                    var source = weights + start + ((long)j * _geometry.Inner);
                    for (var p = 0; p < panels; p++)
                        (j < length ? Vector512.Load(source + (p * Lanes)) : Vector512<float>.Zero).Store(Panel(_values, b + (p * Lanes)) + (j * Lanes));
                }
                if (_importance is not null)
                {
                    for (var lane = 0; lane < panels * Lanes; lane++)
                        GatherImportance(block + lane, b + lane);
                }
                b += (panels * Lanes) - 1;
                continue;
            }
            var target = Panel(_values, b) + (b % Lanes);
            for (int j = 0, run = 0; j < length; run++)
            {
                var source = weights + start + ((long)run * _geometry.RunStride);
                for (var i = 0; i < _geometry.Run && j < length; i++, j++)
                    target[j * Lanes] = source[(long)i * _geometry.Step];
            }
            for (var j = length; j < along; j++)
                target[j * Lanes] = 0;
            if (_importance is not null)
                GatherImportance(block, b);
        }

        float* Panel(float* panels, int b) => panels + (b / Lanes * Lanes * along);

        void GatherImportance(int block, int b)
        {
            var target = Panel(_importance, b) + (b % Lanes);
            var (from, length) = (_geometry.First(block), _geometry.Length(block));
            for (var j = 0; j < along; j++)
                target[j * Lanes] = j < length ? _format.InputWeights![from + j] : 0;
        }
    }

    /// <summary>How many blocks from this one on lie side by side in memory, with the same length.</summary>
    private int Neighbours(int block, int most) => _geometry.Columns ? Math.Min(most, _geometry.Inner - (block % _geometry.Inner)) : 1;

    private (Vector512<float> Scale, Vector512<float> Zero) Best(float* panel, float* importance, out bool finite)
    {
        var (low, high, defect) = (Vector512<float>.Zero, Vector512<float>.Zero, Vector512<float>.Zero);
        var along = _geometry.Along;
        for (var j = 0; j < along; j++)
        {
            var w = Vector512.Load(panel + (j * Lanes));
            low = Vector512.Min(low, w);
            high = Vector512.Max(high, w);
            // NaN and infinity leave NaN here, everything else 0.
            defect += w - w;
        }
        finite = Vector512.EqualsAll(defect, Vector512<float>.Zero);
        return _format.ZeroPoint ? Asymmetric(panel, importance, low, high) : Symmetric(panel, importance, low, high);
    }

    private (Vector512<float> Scale, Vector512<float> Zero) Symmetric(float* panel, float* importance, Vector512<float> low, Vector512<float> high)
    {
        var amax = Vector512.Max(-low, high);
        var none = Vector512<float>.Zero;
        // −amax/2^(bits−1) puts the largest value, where it is positive, on the least code.
        var wide = amax / (1 << (_format.Bits - 1));
        var signed = _format.NegativeScales ? Vector512.ConditionalSelect(Vector512.GreaterThan(high, -low), -wide, wide) : wide;
        var best = Usable(amax / _format.High);
        if (_format.Bits == 8 && !_format.SearchClip)
            return (best, none);
        var least = Vector512.Create(float.PositiveInfinity);
        // Clipped, the grid with one step more on the side of the largest value leaves nothing to win for the other, but where steps are few.
        Span<Vector512<float>> candidates = stackalloc Vector512<float>[(2 * ClipRatios.Length) + 1];
        candidates[0] = best;
        var count = 1;
        foreach (var ratio in _format.SearchClip ? ClipRatios : ClipRatios.AsSpan(0, 1))
        {
            if (ratio != 1 && _format.Bits != 4)
                candidates[count++] = Usable(amax / _format.High * ratio);
            if (_format.Bits < 8)
                candidates[count++] = Usable(signed * ratio);
        }
        for (var i = 0; i < count; i += 2)
        {
            var (first, second) = (candidates[i], candidates[Math.Min(i + 1, count - 1)]);
            var (one, other) = Errors(panel, importance, first, none, second, none);
            Keep(first, one);
            Keep(second, other);
        }
        return (best, none);

        void Keep(Vector512<float> candidate, Vector512<float> error)
        {
            best = Vector512.ConditionalSelect(Vector512.LessThan(error, least), candidate, best);
            least = Vector512.Min(error, least);
        }
    }

    private (Vector512<float> Scale, Vector512<float> Zero) Asymmetric(float* panel, float* importance, Vector512<float> low, Vector512<float> high)
    {
        var (scale, zero) = Grid(1);
        if (!_format.SearchClip)
            return (scale, zero);
        var least = Vector512.Create(float.PositiveInfinity);
        for (var i = 0; i < ClipRatios.Length; i += 2)
        {
            var ((s, z), (t, y)) = (Grid(ClipRatios[i]), Grid(ClipRatios[Math.Min(i + 1, ClipRatios.Length - 1)]));
            var (one, other) = Errors(panel, importance, s, z, t, y);
            Keep(s, z, one);
            Keep(t, y, other);
        }
        return (scale, zero);

        void Keep(Vector512<float> s, Vector512<float> z, Vector512<float> error)
        {
            var better = Vector512.LessThan(error, least);
            (scale, zero, least) = (Vector512.ConditionalSelect(better, s, scale), Vector512.ConditionalSelect(better, z, zero), Vector512.Min(error, least));
        }

        (Vector512<float>, Vector512<float>) Grid(float ratio)
        {
            var s = Usable((high - low) / ((1 << _format.Bits) - 1) * ratio);
            var z = Vector512.Round(-low * ratio / s) + Vector512.Create((float)_format.Low);
            return (s, Vector512.Min(Vector512.Max(z, Vector512.Create((float)_format.Low)), Vector512.Create((float)_format.High)));
        }
    }

    /// <summary>Σ h·(w − scale·(q − zero point))² of each lane, of two candidates at once: one sum alone would wait for its own last addition.</summary>
    private (Vector512<float> First, Vector512<float> Second) Errors(float* panel, float* importance, Vector512<float> scale, Vector512<float> zero, Vector512<float> scale2, Vector512<float> zero2)
    {
        var (low, high, inverse, minus) = (Vector512.Create((float)_format.Low) - zero, Vector512.Create((float)_format.High) - zero, Vector512<float>.One / scale, -scale);
        var (low2, high2, inverse2, minus2) = (Vector512.Create((float)_format.Low) - zero2, Vector512.Create((float)_format.High) - zero2, Vector512<float>.One / scale2, -scale2);
        var (sum, sum2) = (Vector512<float>.Zero, Vector512<float>.Zero);
        var along = _geometry.Along;
        for (var j = 0; j < along; j++)
        {
            var w = Vector512.Load(panel + (j * Lanes));
            var d = Vector512.FusedMultiplyAdd(Vector512.Min(Vector512.Max(Vector512.Round(w * inverse), low), high), minus, w);
            var d2 = Vector512.FusedMultiplyAdd(Vector512.Min(Vector512.Max(Vector512.Round(w * inverse2), low2), high2), minus2, w);
            if (importance is null)
                (sum, sum2) = (Vector512.FusedMultiplyAdd(d, d, sum), Vector512.FusedMultiplyAdd(d2, d2, sum2));
            else
            {
                var h = Vector512.Load(importance + (j * Lanes));
                (sum, sum2) = (Vector512.FusedMultiplyAdd(d * d, h, sum), Vector512.FusedMultiplyAdd(d2 * d2, h, sum2));
            }
        }
        return (sum, sum2);
    }

    /// <summary>The scale as it is stored; 1 for a block of zeros.</summary>
    private Vector512<float> Usable(Vector512<float> scale)
    {
        var zero = Vector512.Equals(scale, Vector512<float>.Zero);
        var (least, most) = _format.Scales == ScaleType.Half ? (6.1035156e-5f, 65504f) : (Int8Weights.LeastScale, float.MaxValue);
        var size = Vector512.Min(Vector512.Max(Vector512.Abs(scale), Vector512.Create(least)), Vector512.Create(most));
        size = _format.Scales switch
        {
            ScaleType.Half => Map(size, s => (float)(Half)s),
            ScaleType.BFloat => Map(size, RoundToBFloat),
            _ => size,
        };
        return Vector512.ConditionalSelect(zero, Vector512<float>.One, Vector512.CopySign(size, scale));
    }

    private static float RoundToBFloat(float value)
    {
        var bits = BitConverter.SingleToUInt32Bits(value);
        return BitConverter.UInt32BitsToSingle((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000);
    }

    private static Vector512<float> Map(Vector512<float> v, Func<float, float> f)
    {
        for (var i = 0; i < Lanes; i++)
            v = v.WithElement(i, f(v[i]));
        return v;
    }
}
