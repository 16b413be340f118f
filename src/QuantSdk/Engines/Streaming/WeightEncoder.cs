using System.Collections.Concurrent;
using System.Runtime.ExceptionServices;
using QuantSdk.Numerics;

namespace QuantSdk.Engines.Streaming;

/// <summary>
/// Encodes a weight slab by slab: each thread reads a few rows, finds their grid, encodes and packs them, so that a tensor of any size
/// needs the memory of its codes and of one slab a thread.
/// </summary>
/// <param name="slabElements">Elements of a slab: 16 MB of floats, small enough to stay in the cache from the search to the codes.</param>
internal sealed class WeightEncoder(int threads, long slabElements = 4 << 20)
{
    /// <summary>Slabs begin at whole bytes, whatever the bits and the order.</summary>
    private const long Granularity = 4;

    private readonly ConcurrentBag<Buffers> _buffers = [];

    public void Encode(StreamedWeight weight, TensorBytes source, WeightBuffer result, CancellationToken cancellation)
    {
        result.Reset(weight);
        var slabs = Slabs(weight);
        var options = new ParallelOptions { MaxDegreeOfParallelism = threads, CancellationToken = cancellation };
        try
        {
            Parallel.ForEach(slabs, options, slab =>
            {
                if (!_buffers.TryTake(out var buffers))
                    buffers = new Buffers();
                Encode(weight, source, result, slab, buffers, slabs.Count == 1 ? threads : 1);
                _buffers.Add(buffers);
            });
        }
        catch (AggregateException e)
        {
            ExceptionDispatchInfo.Throw(e.InnerExceptions[0]);
        }
    }

    /// <summary>Rows and columns of the source seen as a matrix [first axis, all others].</summary>
    private readonly record struct Slab(long Row, long Rows, long Column, long Columns);

    private List<Slab> Slabs(StreamedWeight weight)
    {
        long rows = weight.Source.Dims[0], columns = weight.Source.Dims.Skip(1).Aggregate(1L, (a, b) => a * b);
        var whole = new List<Slab> { new(0, rows, 0, columns) };
        if (rows * columns <= slabElements)
            return whole;
        var byRow = weight.Axis == 0 || (weight.Source.Dims.Count == 2 && weight.Format.BlockSize > 0);
        if (byRow)
        {
            // Blocks of the rows' own axis are not cut; transposed, a slab's rows become pieces of every row.
            var unit = weight.Axis == 0 ? Granularity : weight.Format.BlockSize * Granularity;
            if (weight.Transposed && rows % Granularity != 0)
                return whole;
            var step = Math.Max(1, slabElements / columns / unit) * unit;
            return [.. Steps(rows, step).Select(s => new Slab(s.From, s.Count, 0, columns))];
        }
        if (weight.Source.Dims.Count > 2 || weight.Transposed || columns % Granularity != 0)
            return whole;
        var width = Math.Max(1, slabElements / rows / 64) * 64;
        return [.. Steps(columns, width).Select(s => new Slab(0, rows, s.From, s.Count))];
    }

    private static IEnumerable<(long From, long Count)> Steps(long count, long step)
    {
        for (long from = 0; from < count; from += step)
            yield return (from, Math.Min(step, count - from));
    }

    private static void Encode(StreamedWeight weight, TensorBytes source, WeightBuffer result, Slab slab, Buffers buffers, int threads)
    {
        var elements = checked((int)(slab.Rows * slab.Columns));
        var values = Buffers.Of(ref buffers.Values, elements);
        var columns = weight.Source.Dims.Skip(1).Aggregate(1L, (a, b) => a * b);
        if (slab.Columns == columns)
            source.ReadFloats(slab.Row * columns, values);
        else
        {
            for (var r = 0; r < slab.Rows; r++)
                source.ReadFloats(((slab.Row + r) * columns) + slab.Column, values.Slice((int)(r * slab.Columns), (int)slab.Columns));
        }
        long[] dims = slab.Columns == columns ? [slab.Rows, .. weight.Source.Dims.Skip(1)] : [slab.Rows, slab.Columns];
        var grid = IntBlocks.Grid(values, dims, weight.Axis, weight.Format, weight.Name, threads);
        var codes = Buffers.Of(ref buffers.Codes, elements);
        IntBlocks.Encode(values, grid, codes, threads);
        if (weight.Transposed)
            StoreTransposed(weight, result, slab, grid, codes, buffers);
        else
            Store(weight, result, slab, grid, codes, columns);
    }

    private static void Store(StreamedWeight weight, WeightBuffer result, Slab slab, IntGrid grid, ReadOnlySpan<sbyte> codes, long columns)
    {
        if (slab.Columns == columns)
            IntPacking.Pack(codes, result.Bits, false, result.Codes(slab.Row * columns * result.Bits / 8, IntPacking.Bytes(codes.Length, result.Bits)));
        else
        {
            var width = (int)slab.Columns;
            for (var r = 0; r < slab.Rows; r++)
                IntPacking.Pack(codes.Slice(r * width, width), result.Bits, false, result.Codes(((r * columns) + slab.Column) * result.Bits / 8, IntPacking.Bytes(width, result.Bits)));
        }
        // Scales lie in the order of the rows, or of the columns where each has one.
        var first = slab.Columns != columns ? slab.Column
            : weight.Axis == 0 ? slab.Row * (grid.Scales.Length / slab.Rows)
            : weight.Format.BlockSize > 0 ? slab.Row / Math.Min(weight.Format.BlockSize, weight.Source.Dims[0]) * columns
            : 0;
        grid.Scales.CopyTo(result.Scales[(int)first..]);
        grid.ZeroPoints?.CopyTo(result.ZeroPoints[(int)first..]);
    }

    /// <summary>Codes [n, k] to [k, n], scales [n, block] to [block, n].</summary>
    private static void StoreTransposed(StreamedWeight weight, WeightBuffer result, Slab slab, IntGrid grid, ReadOnlySpan<sbyte> codes, Buffers buffers)
    {
        int rows = (int)slab.Rows, columns = (int)slab.Columns;
        var turned = Buffers.Of(ref buffers.Turned, codes.Length);
        Transpose(codes, rows, columns, turned);
        var total = weight.Source.Dims[0];
        if (rows == total)
            IntPacking.Pack(turned, result.Bits, false, result.Codes(0, IntPacking.Bytes(turned.Length, result.Bits)));
        else
        {
            for (var k = 0; k < columns; k++)
                IntPacking.Pack(turned.Slice(k * rows, rows), result.Bits, false, result.Codes(((k * total) + slab.Row) * result.Bits / 8, IntPacking.Bytes(rows, result.Bits)));
        }
        var blocks = grid.Scales.Length / rows;
        for (var n = 0; n < rows; n++)
        {
            for (var b = 0; b < blocks; b++)
            {
                var to = (int)((b * total) + slab.Row + n);
                result.Scales[to] = grid.Scales[(n * blocks) + b];
                if (grid.ZeroPoints is { } zeros)
                    result.ZeroPoints[to] = zeros[(n * blocks) + b];
            }
        }
    }

    private static void Transpose(ReadOnlySpan<sbyte> source, int rows, int columns, Span<sbyte> target)
    {
        const int Tile = 64;
        for (var r = 0; r < rows; r += Tile)
        {
            var lastRow = Math.Min(rows, r + Tile);
            for (var c = 0; c < columns; c += Tile)
            {
                var lastColumn = Math.Min(columns, c + Tile);
                for (var j = c; j < lastColumn; j++)
                {
                    var row = target.Slice(j * rows, rows);
                    for (var i = r; i < lastRow; i++)
                        row[i] = source[(i * columns) + j];
                }
            }
        }
    }

    /// <summary>What one thread works in.</summary>
    private sealed class Buffers
    {
        public float[] Values = [];
        public sbyte[] Codes = [];
        public sbyte[] Turned = [];

        public static Span<T> Of<T>(ref T[] buffer, int length)
        {
            if (buffer.Length < length)
                buffer = GC.AllocateUninitializedArray<T>(length);
            return buffer.AsSpan(0, length);
        }
    }
}
