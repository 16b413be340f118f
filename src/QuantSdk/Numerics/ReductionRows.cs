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
        {
            for (var (o, tile) = (0, 0); o < _outer; o = tile)
            {
                // Tiles keep both sides of the transposition in the cache.
                tile = Math.Min(_outer, o + 32);
                for (var c = 0; c < _columns; c++)
                {
                    for (var k = o; k < tile; k++)
                    {
                        var (weight, row) = Positions(m, k, c);
                        if (_inner == 1)
                            rows[row] = weights[weight];
                        else
                            weights.Slice(weight, _inner).CopyTo(rows[row..]);
                    }
                }
            }
        }
    }

    /// <summary>The rows in the weight's own order.</summary>
    public void Scatter<T>(ReadOnlySpan<T> rows, Span<T> weights)
    {
        for (var m = 0; m < _matrices; m++)
        {
            for (var (o, tile) = (0, 0); o < _outer; o = tile)
            {
                tile = Math.Min(_outer, o + 32);
                for (var c = 0; c < _columns; c++)
                {
                    for (var k = o; k < tile; k++)
                    {
                        var (weight, row) = Positions(m, k, c);
                        if (_inner == 1)
                            weights[weight] = rows[row];
                        else
                            rows.Slice(row, _inner).CopyTo(weights[weight..]);
                    }
                }
            }
        }
    }

    private (int Weight, int Row) Positions(int matrix, int outer, int column) =>
        (((matrix * _outer + outer) * _columns + column) * _inner, (matrix * _columns + column) * Reduction + outer * _inner);
}
