namespace QuantSdk.Numerics;

/// <summary>
/// Which elements of a tensor share a scale. Scales lie in the order of DequantizeLinear: <see cref="ScaleDims"/> with
/// <see cref="Axis"/> and <see cref="BlockSize"/> are what that operator is given.
/// </summary>
/// <remarks>
/// Element j of the block b is at Start(b) + (j / Run)·RunStride + (j % Run)·Step. Three cases: blocks along an axis with
/// <c>inner</c> elements behind it (Step = inner, one run); the same with nothing behind it (Step = 1, one run); a channel with
/// elements before and behind it (Step = 1, many runs).
/// </remarks>
internal sealed record IntBlockGeometry
{
    private readonly int _outer;
    private readonly int _length;
    private readonly int _blocksAlong;

    private IntBlockGeometry(int outer, int length, int inner, int block, bool channels)
    {
        (_outer, _length, Inner, Channels) = (outer, length, inner, channels);
        // A channel is a block of everything before and behind it.
        Along = channels ? outer * inner : Math.Min(block, length);
        _blocksAlong = channels ? 1 : (length + Along - 1) / Math.Max(1, Along);
        Blocks = channels ? length : outer * _blocksAlong * inner;
    }

    public required long[] Dims { get; init; }

    /// <summary>The axis of DequantizeLinear: that of the blocks, or of the channels.</summary>
    public required int Axis { get; init; }

    /// <summary>DequantizeLinear's block_size; 0: one scale an element of <see cref="Axis"/>.</summary>
    public required int BlockSize { get; init; }

    public required long[] ScaleDims { get; init; }

    /// <summary>How many scales there are.</summary>
    public int Blocks { get; }

    /// <summary>Elements of the longest block.</summary>
    public int Along { get; }

    /// <summary>Elements behind the axis.</summary>
    public int Inner { get; }

    /// <summary>One scale for all that is before and behind an element of the axis.</summary>
    public bool Channels { get; }

    /// <summary>True where neighbours in memory belong to different blocks.</summary>
    public bool Columns => !Channels && Inner > 1;

    /// <param name="dims">Shape of the weight: a matrix, a stack of matrices, or a convolution's.</param>
    /// <param name="axis">Axis of the output channels.</param>
    /// <param name="blockSize">Elements along the reduction axis that share a scale; 0: one scale an output channel.</param>
    /// <remarks>
    /// The reduction axis is the other one of the last two, and the second of a convolution (of three or more dimensions with axis 0).
    /// A stack of matrices by channel has one scale a matrix and channel, which only a block as long as the axis can say.
    /// </remarks>
    public static IntBlockGeometry Of(IReadOnlyList<long> dims, int axis, int blockSize)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(blockSize);
        if (dims.Count < 2 || axis < 0 || axis >= dims.Count)
            throw new ArgumentException($"axis {axis} of [{string.Join(',', dims)}]", nameof(axis));
        int Product(int from, int to) => checked((int)dims.Skip(from).Take(to - from).Aggregate(1L, (a, b) => a * b));
        var reduction = axis == dims.Count - 1 ? dims.Count - 2 : axis == dims.Count - 2 ? dims.Count - 1 : axis == 0 ? 1 : axis + 1;
        var stack = dims.Count == 3 && axis > 0;
        if (blockSize == 0 && !stack)
        {
            var (outer, inner) = (Product(0, axis), Product(axis + 1, dims.Count));
            // With nothing on one side of it, a channel is a block along the other.
            var (o, length, i, channels) = inner == 1 ? (1, outer, (int)dims[axis], false) : outer == 1 ? ((int)dims[axis], inner, 1, false) : (outer, (int)dims[axis], inner, true);
            return new IntBlockGeometry(o, length, i, length, channels) { Dims = [.. dims], Axis = axis, BlockSize = 0, ScaleDims = [dims[axis]] };
        }
        var size = blockSize == 0 ? (int)dims[reduction] : (int)Math.Min(blockSize, dims[reduction]);
        var geometry = new IntBlockGeometry(Product(0, reduction), (int)dims[reduction], Product(reduction + 1, dims.Count), size, false)
        {
            Dims = [.. dims],
            Axis = reduction,
            BlockSize = size,
            ScaleDims = [.. dims],
        };
        geometry.ScaleDims[reduction] = geometry._blocksAlong;
        return geometry;
    }

    /// <summary>Position of a block's first element.</summary>
    public int Start(int block)
    {
        if (Channels)
            return block * Inner;
        var (row, i) = Math.DivRem(block, Inner);
        var (o, r) = Math.DivRem(row, _blocksAlong);
        return ((o * _length) + (r * Along)) * Inner + i;
    }

    /// <summary>Elements of a block: the last along the axis may be shorter.</summary>
    public int Length(int block) => Channels ? Along : Math.Min(Along, _length - First(block));

    /// <summary>Index along the reduction of a block's first element.</summary>
    public int First(int block) => Channels ? 0 : block / Inner % _blocksAlong * Along;

    /// <summary>Elements one after another before the next jump.</summary>
    public int Run => Channels ? Inner : Along;

    public int RunStride => Channels ? _length * Inner : 0;

    public int Step => Channels ? 1 : Inner;

    /// <summary>Rows of neighbours in memory that share a scale, or, with <see cref="Columns"/>, that have <see cref="Inner"/> scales in a row.</summary>
    public int Rows => Columns ? _outer * _length : Channels ? _outer * _length : Blocks;

    /// <summary>Where a row begins, how long it is and where its scales do.</summary>
    public (int Start, int Length, int Scale) Row(int row)
    {
        if (Channels)
            return (row * Inner, Inner, row % _length);
        if (!Columns)
            return (Start(row), Length(row), row);
        var (o, k) = Math.DivRem(row, _length);
        return (row * Inner, Inner, ((o * _blocksAlong) + (k / Along)) * Inner);
    }

    /// <summary>The scale of an element.</summary>
    public int ScaleIndex(int element)
    {
        var (row, i) = Math.DivRem(element, Inner);
        if (Channels)
            return row % _length;
        var (o, k) = Math.DivRem(row, _length);
        return (((o * _blocksAlong) + (k / Along)) * Inner) + i;
    }
}
