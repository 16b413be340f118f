using System.Numerics.Tensors;

namespace QuantSdk.Calibration;

/// <summary>Second moments of what a layer reads: Σ x·xᵀ and Σ x over sampled positions, the same positions of a row wherever it comes in the data.</summary>
internal sealed class GramObserver(Patches patches, int positionsPerRow)
{
    private const int PanelRows = 64;

    private readonly float[] _gram = new float[patches.Length * patches.Length];
    private readonly double[] _sum = new double[patches.Length];
    private readonly float[] _panel = new float[PanelRows * patches.Length];
    private int _filled;

    public long Count { get; private set; }

    public void Add(ReadOnlySpan<float> values, ReadOnlySpan<long> shape, int rows)
    {
        if (values.Length == 0 || shape.Length < 2 || values.Length % rows != 0)
            return;
        var length = values.Length / rows;
        // Rows are the first axis, or what a model has folded into it.
        var perRow = shape[0] == rows ? patches.Positions(shape) : patches.Kernel is null ? length / patches.Length : 0;
        for (var row = 0; row < rows && perRow > 0; row++)
        {
            var taken = Math.Min(positionsPerRow, perRow);
            for (var i = 0; i < taken; i++)
            {
                // Spread over the row, shifted from row to row by what is in it.
                var shift = (int)(BitConverter.SingleToUInt32Bits(values[row * length + length / 2]) % (uint)perRow);
                var position = (int)(((long)i * perRow / taken + shift) % perRow);
                patches.Read(values.Slice(row * length, length), shape, position, _panel.AsSpan(_filled * patches.Length, patches.Length));
                if (++_filled == PanelRows)
                    Flush();
            }
        }
    }

    public Gram Finish()
    {
        Flush();
        var k = patches.Length;
        for (var i = 0; i < k; i++)
        {
            for (var j = 0; j < i; j++)
                _gram[j * k + i] = _gram[i * k + j];
        }
        return new Gram(k, _gram, _sum, Count);
    }

    private void Flush()
    {
        var k = patches.Length;
        for (var p = 0; p < _filled; p++)
        {
            for (var i = 0; i < k; i++)
                _sum[i] += _panel[p * k + i];
        }
        for (var i = 0; i < k; i++)
        {
            var row = _gram.AsSpan(i * k, i + 1);
            for (var p = 0; p < _filled; p++)
            {
                var x = _panel[p * k + i];
                if (x != 0)
                    TensorPrimitives.MultiplyAdd(_panel.AsSpan(p * k, i + 1), x, row, row);
            }
        }
        Count += _filled;
        _filled = 0;
    }
}
