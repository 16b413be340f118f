namespace QuantSdk.Numerics;

/// <summary>
/// A weight as a matrix of one row an output channel: row c holds the weights of channel c in the order of the other axes. Of a stack of
/// matrices [E, K, N] with blocks, every matrix has its own N rows of K.
/// </summary>
internal readonly struct ReductionRows
{
    private readonly int _matrices, _outer, _columns, _inner;

    /// <param name="axis">Axis of the output channels; null: the whole weight is one row.</param>
    /// <param name="inBlocks">False where a row has one scale: then it may run through all matrices of a stack.</param>
    public ReductionRows(IReadOnlyList<long> dims, int? axis, bool inBlocks)
    {
        int Product(int from, int to) => checked((int)dims.Skip(from).Take(to - from).Aggregate(1L, (x, y) => x * y));
        // Only a stack of matrices has its output channels last and more than two axes.
        var stack = inBlocks && axis == dims.Count - 1 && dims.Count > 2 ? dims.Count - 2 : 0;
        _matrices = Product(0, stack);
        _outer = Product(stack, axis ?? 0);
        _columns = axis is { } a ? (int)dims[a] : 1;
        _inner = Product(axis + 1 ?? 0, dims.Count);
        (Channels, Reduction) = checked((_matrices * _columns, _outer * _inner));
    }

    public int Channels { get; }

    public int Reduction { get; }

    /// <summary>True where the weight is stored in this order already.</summary>
    public bool InOrder => _outer == 1 || _columns == 1;

    /// <summary>The weights in rows.</summary>
    public void Gather<T>(ReadOnlySpan<T> weights, Span<T> rows)
    {
        for (var m = 0; m < _matrices; m++)
            Turn(weights.Slice(m * _columns * Reduction, _columns * Reduction), rows[(m * _columns * Reduction)..], _outer, _columns, _inner);
    }

    /// <summary>The rows in the weight's own order.</summary>
    public void Scatter<T>(ReadOnlySpan<T> rows, Span<T> weights)
    {
        for (var m = 0; m < _matrices; m++)
            Turn(rows.Slice(m * _columns * Reduction, _columns * Reduction), weights[(m * _columns * Reduction)..], _columns, _outer, _inner);
    }

    /// <summary>[rows, columns, inner] to [columns, rows, inner].</summary>
    private static void Turn<T>(ReadOnlySpan<T> source, Span<T> target, int rows, int columns, int inner)
    {
        // Whole cache lines of both sides, whatever their distance: a power of two would put a column into one set of the cache.
        const int Tile = 16;
        var tile = new T[Tile * Tile];
        for (var r = 0; r < rows; r += Tile)
        {
            var height = Math.Min(Tile, rows - r);
            for (var c = 0; c < columns; c += Tile)
            {
                var width = Math.Min(Tile, columns - c);
                if (inner > 1)
                {
                    for (var i = 0; i < height * width; i++)
                        source.Slice(((r + i / width) * columns + c + i % width) * inner, inner).CopyTo(target[(((c + i % width) * rows + r + i / width) * inner)..]);
                    continue;
                }
                for (var i = 0; i < height; i++)
                    source.Slice((r + i) * columns + c, width).CopyTo(tile.AsSpan(i * Tile));
                for (var j = 0; j < width; j++)
                {
                    var column = target.Slice((c + j) * rows + r, height);
                    for (var i = 0; i < column.Length; i++)
                        column[i] = tile[i * Tile + j];
                }
            }
        }
    }
}
