namespace QuantSdk.Numerics;

/// <summary>The type that scales are stored in: that of the values they multiply.</summary>
internal enum ScaleType
{
    Float,
    Half,
    BFloat,
}

/// <summary>Integer codes of weights, w ≈ scale·(q − zero point), and how their grid is looked for.</summary>
/// <param name="Bits">2, 4 or 8.</param>
/// <param name="BlockSize">Elements along the reduction axis that share a scale; 0: one scale an output channel.</param>
/// <param name="ZeroPoint">
/// False: symmetric. 8 bits: scale = amax/127, codes −127 … 127. Below: whichever makes the smaller squared error of amax/(2^(bits−1) − 1)
/// and (the value of largest magnitude)/−2^(bits−1), the grid with one step more on the side where it is needed, as the Q4_0 format of llama.cpp has it.
/// True: scale = (high − low)/(2^bits − 1) over a range that includes 0, zero point = round(−low/scale) − 2^(bits−1), so that 0 is exact.
/// </param>
internal sealed record IntFormat(int Bits, int BlockSize, bool ZeroPoint = false)
{
    /// <summary>
    /// Also tries to clip each block's range to 0.95, 0.90, … 0.50 of what it is (4 bits, symmetric: of the second grid's range alone), and keeps what makes the smallest squared error
    /// (the search of AWQ's clipping, on the weights alone where <see cref="InputWeights"/> is null).
    /// </summary>
    public bool SearchClip { get; init; }

    /// <summary>E[x²] of each element of the reduction axis (of I·kh·kw for a convolution by channel): the weights of the squared error. Null: all 1.</summary>
    public float[]? InputWeights { get; init; }

    /// <summary>Lets a symmetric scale be negative where the largest value is positive. TensorRT wants positive ones.</summary>
    public bool NegativeScales { get; init; } = true;

    /// <summary>Scales are rounded to this type before anything is encoded with them.</summary>
    public ScaleType Scales { get; init; }

    public int Low => Bits == 8 && !ZeroPoint ? -127 : -(1 << (Bits - 1));

    public int High => (1 << (Bits - 1)) - 1;
}
