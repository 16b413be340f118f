using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using QuantSdk.Runtime;

namespace QuantSdk.Numerics;

/// <summary>
/// Integer codes of weights in blocks or by channel, in two steps: the grid, then the codes, so that another way of rounding can use the
/// same grid. Results do not depend on the number of threads.
/// </summary>
internal static unsafe class IntBlocks
{
    /// <summary>Smaller tensors are not worth a second thread.</summary>
    private const int ParallelFrom = 1 << 17;

    /// <param name="weights">Values in the order of <paramref name="dims"/>.</param>
    /// <param name="axis">Axis of the output channels.</param>
    /// <param name="tensor">Name of the weight, for messages.</param>
    /// <exception cref="QuantSdkException">QSDK3040 where a weight is NaN or infinite.</exception>
    public static IntGrid Grid(ReadOnlySpan<float> weights, IReadOnlyList<long> dims, int axis, IntFormat format, string tensor = "", int threads = 2) =>
        Grid(weights, IntBlockGeometry.Of(dims, axis, format.BlockSize), format, tensor, threads);

    /// <inheritdoc cref="Grid(ReadOnlySpan{float}, IReadOnlyList{long}, int, IntFormat, string, int)"/>
    public static IntGrid Grid(ReadOnlySpan<float> weights, IntBlockGeometry geometry, IntFormat format, string tensor = "", int threads = 2)
    {
        var scales = new float[geometry.Blocks];
        var zeroPoints = format.ZeroPoint ? new sbyte[geometry.Blocks] : null;
        var groups = (geometry.Blocks + IntBlockPanels.BlocksOf(geometry) - 1) / IntBlockPanels.BlocksOf(geometry);
        var finite = true;
        fixed (float* w = weights)
        {
            var source = w;
            Split(groups, weights.Length, threads, (from, to) =>
            {
                using var panels = new IntBlockPanels(geometry, format);
                for (var g = from; g < to; g++)
                {
                    if (!panels.Search(source, g, scales, zeroPoints))
                        finite = false;
                }
            });
        }
        if (!finite)
            throw new QuantSdkException("QSDK3040", $"The weight '{tensor}' holds NaN or infinity and has no integer codes. Repair the model, or leave the layer in float with ExcludeModules.", node: tensor);
        return new IntGrid(format, geometry, scales, zeroPoints);
    }

    /// <summary>Round-half-even codes: q = clamp(round(w/scale) + zero point).</summary>
    public static sbyte[] Encode(ReadOnlySpan<float> weights, IntGrid grid, int threads = 2)
    {
        var codes = new sbyte[weights.Length];
        Encode(weights, grid, codes, threads);
        return codes;
    }

    /// <inheritdoc cref="Encode(ReadOnlySpan{float}, IntGrid, int)"/>
    public static void Encode(ReadOnlySpan<float> weights, IntGrid grid, Span<sbyte> codes, int threads = 2)
    {
        var geometry = grid.Geometry;
        fixed (float* w = weights)
        fixed (sbyte* c = codes[..weights.Length])
        fixed (float* s = grid.Scales)
        fixed (sbyte* z = grid.ZeroPoints)
        {
            var (source, target, scales, zeros) = ((nint)w, (nint)c, (nint)s, (nint)z);
            Split(geometry.Rows, weights.Length, threads, (from, to) =>
            {
                for (var row = from; row < to; row++)
                {
                    var (start, length, scale) = geometry.Row(row);
                    var zero = zeros == 0 ? null : (sbyte*)zeros + scale;
                    if (geometry.Columns)
                        EncodeColumns((float*)source + start, (float*)scales + scale, zero, (sbyte*)target + start, length, grid.Low, grid.High);
                    else
                        EncodeRun((float*)source + start, ((float*)scales)[scale], zero is null ? 0 : *zero, (sbyte*)target + start, length, grid.Low, grid.High);
                }
            });
        }
    }

    /// <summary>scale·(q − zero point), in float as DequantizeLinear computes it.</summary>
    public static float[] Decode(ReadOnlySpan<sbyte> codes, IntGrid grid)
    {
        var values = new float[codes.Length];
        for (var row = 0; row < grid.Geometry.Rows; row++)
        {
            var (start, length, scale) = grid.Geometry.Row(row);
            for (var i = 0; i < length; i++)
            {
                var s = grid.Geometry.Columns ? scale + i : scale;
                values[start + i] = grid.Scales[s] * (codes[start + i] - (grid.ZeroPoints?[s] ?? 0));
            }
        }
        return values;
    }

    private static void Split(int count, int elements, int threads, Action<int, int> work)
    {
        if (elements < ParallelFrom || threads < 2 || count < 2)
        {
            work(0, count);
            return;
        }
        // More parts than threads: a thread that was held up does not hold up the rest.
        var parts = Math.Min(count, threads * 8);
        Parallel.For(0, parts, new ParallelOptions { MaxDegreeOfParallelism = threads }, p => work((int)((long)count * p / parts), (int)((long)count * (p + 1) / parts)));
    }

    private static void EncodeRun(float* weights, float scale, int zero, sbyte* codes, int length, int low, int high)
    {
        var (s, z, lo, hi) = (Vector512.Create(scale), Vector512.Create((float)zero), Vector512.Create((float)low), Vector512.Create((float)high));
        var i = 0;
        for (; i <= length - 16; i += 16)
            Codes(Vector512.Load(weights + i), s, z, lo, hi).Store(codes + i);
        for (; i < length; i++)
            codes[i] = Code(weights[i], scale, zero, low, high);
    }

    private static void EncodeColumns(float* weights, float* scales, sbyte* zeros, sbyte* codes, int length, int low, int high)
    {
        var (lo, hi) = (Vector512.Create((float)low), Vector512.Create((float)high));
        var i = 0;
        for (; i <= length - 16; i += 16)
        {
            var z = zeros is null ? Vector512<float>.Zero : Vector512.ConvertToSingle(Vector512.WidenLower(Vector256.WidenLower(Vector128.Load(zeros + i).ToVector256Unsafe()).ToVector512Unsafe()));
            Codes(Vector512.Load(weights + i), Vector512.Load(scales + i), z, lo, hi).Store(codes + i);
        }
        for (; i < length; i++)
            codes[i] = Code(weights[i], scales[i], zeros is null ? 0 : zeros[i], low, high);
    }

    private static Vector128<sbyte> Codes(Vector512<float> w, Vector512<float> scale, Vector512<float> zero, Vector512<float> low, Vector512<float> high)
    {
        var q = Vector512.ConvertToInt32(Vector512.Min(Vector512.Max(Vector512.Round(w / scale) + zero, low), high));
        var shorts = Vector256.Narrow(q.GetLower(), q.GetUpper());
        return Vector128.Narrow(shorts.GetLower(), shorts.GetUpper());
    }

    private static sbyte Code(float w, float scale, int zero, int low, int high) => (sbyte)Math.Clamp(MathF.Round(w / scale, MidpointRounding.ToEven) + zero, low, high);
}
