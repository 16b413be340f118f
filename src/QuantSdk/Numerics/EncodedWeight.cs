namespace QuantSdk.Numerics;

/// <summary>A weight in few bits: its codes and what turns them into numbers again.</summary>
/// <param name="Dims">Shape of the weight.</param>
/// <param name="Axis">Axis of the output channels; null where the whole weight is one channel.</param>
/// <param name="Channels">Rows of the codes: output channels; of a stack of matrices in blocks, those of every matrix.</param>
/// <param name="Reduction">Columns of the codes: the weights of one output channel, in the order of the other axes.</param>
/// <param name="BlockSize">Weights of a row that share a scale; the last block of a row may be shorter.</param>
/// <param name="Codes">[Channels, Reduction] row by row: one a byte, or two 4-bit codes a byte, the first in the low nibble.</param>
/// <param name="BlockScales">[Channels, Blocks] codes of the block scales: E8M0 (mxfp8), E4M3 (nvfp4), int8 (nf4); empty where a block's scale is a float.</param>
/// <param name="Scales">fp8: one a block. nvfp4: the tensor's. nf4: the mean of the block maxima, then the scale of each 256 of them; or a maximum a block.</param>
internal sealed record EncodedWeight(IReadOnlyList<long> Dims, int? Axis, int Channels, int Reduction, int BlockSize, byte[] Codes, byte[] BlockScales, float[] Scales)
{
    /// <summary>Blocks of one channel.</summary>
    public int Blocks => (Reduction + BlockSize - 1) / BlockSize;

    /// <summary>What codes and scales take, over the number of weights.</summary>
    public double BitsPerWeight => 8.0 * (Codes.Length + BlockScales.Length + 4L * Scales.Length) / ((long)Channels * Reduction);

    /// <summary>Codes or values in rows to the order in which the weight is stored.</summary>
    public T[] InOwnOrder<T>(T[] rows)
    {
        var layout = new ReductionRows(Dims, Axis, Axis is { } a && Channels != Dims[a]);
        if (layout.InOrder)
            return rows;
        var weights = new T[rows.Length];
        layout.Scatter<T>(rows, weights);
        return weights;
    }
}
