namespace QuantSdk.Numerics;

/// <summary>
/// A weight as a matrix of one row an output channel: row c holds the weights of channel c in the order of the other axes, which is the
/// order in which a product sums them up.
/// </summary>
internal readonly struct ReductionRows
{
    private readonly int _outer, _inner;

    /// <param name="axis">Axis of the output channels; null: the whole weight is one row.</param>
    public ReductionRows(IReadOnlyList<long> dims, int? axis)
    {
        checked
        {
            _outer = axis is { } a ? (int)dims.Take(a).Aggregate(1L, (x, y) => x * y) : 1;
            _inner = (int)dims.Skip(axis + 1 ?? 0).Aggregate(1L, (x, y) => x * y);
            Channels = axis is { } c ? (int)dims[c] : 1;
            Reduction = _outer * _inner;
        }
    }

    public int Channels { get; }

    public int Reduction { get; }

    /// <summary>True where the weight is stored in this order already.</summary>
    public bool InOrder => _outer == 1;

    public void Gather<T>(ReadOnlySpan<T> weights, Span<T> rows)
    {
        for (var (o, tile) = (0, 0); o < _outer; o = tile)
        {
            // Tiles keep both sides of the transposition in the cache.
            tile = Math.Min(_outer, o + 32);
            for (var c = 0; c < Channels; c++)
            {
                for (var k = o; k < tile; k++)
                {
                    var source = (k * Channels + c) * _inner;
                    if (_inner == 1)
                        rows[c * _outer + k] = weights[source];
                    else
                        weights.Slice(source, _inner).CopyTo(rows[(c * Reduction + k * _inner)..]);
                }
            }
        }
    }

    public void Scatter<T>(ReadOnlySpan<T> rows, Span<T> weights)
    {
        for (var (o, tile) = (0, 0); o < _outer; o = tile)
        {
            tile = Math.Min(_outer, o + 32);
            for (var c = 0; c < Channels; c++)
            {
                for (var k = o; k < tile; k++)
                {
                    var target = (k * Channels + c) * _inner;
                    if (_inner == 1)
                        weights[target] = rows[c * _outer + k];
                    else
                        rows.Slice(c * Reduction + k * _inner, _inner).CopyTo(weights[target..]);
                }
            }
        }
    }
}
