namespace QuantSdk.Onnx.Upgrading;

/// <summary>
/// What changed in meaning or form between opsets 7 and 25, from the changelog of the ONNX operators. Versions that only take more
/// types, allow negative axes or add an attribute whose default is what was before need nothing and are not listed.
/// </summary>
internal static class OpChanges
{
    private static readonly ILookup<string, OpChange> ByOp = All().ToLookup(c => c.Op, StringComparer.Ordinal);

    /// <summary>The first change of an operator after <paramref name="after"/> and not after <paramref name="last"/>, or null.</summary>
    public static OpChange? Next(string op, long after, long last) => ByOp[op].Where(c => c.Version > after && c.Version <= last).MinBy(c => c.Version);

    private static IEnumerable<OpChange> All()
    {
        foreach (var op in (string[])["Softmax", "LogSoftmax", "Hardmax"])
            yield return new(op, 13, SoftmaxAdapter.AxisIsNotFlattened);

        foreach (var op in (string[])["Squeeze", "Unsqueeze", "ReduceSum"])
            yield return new(op, 13, node => node.IntsToInput("axes", 1));
        foreach (var op in (string[])["ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSumSquare"])
            yield return new(op, 18, node => node.IntsToInput("axes", 1));

        yield return new("Slice", 10, FormAdapters.SliceInputs);
        yield return new("Split", 13, node => node.IntsToInput("split", 1));
        yield return new("Split", 18, FormAdapters.SplitCount);
        yield return new("Pad", 11, FormAdapters.PadInputs);
        yield return new("Clip", 11, FormAdapters.ClipInputs);
        yield return new("TopK", 10, FormAdapters.TopKInput);
        yield return new("DFT", 20, FormAdapters.DftAxis);
        yield return new("Scatter", 11, node => node.Node.OpType = "ScatterElements");

        yield return new("Dropout", 12, DropoutAdapter.RatioInput);
        yield return new("BatchNormalization", 9, NormalizationAdapters.NoSpatial);
        yield return new("BatchNormalization", 14, NormalizationAdapters.NoSavedStatistics);
        yield return new("GroupNormalization", 21, NormalizationAdapters.ScalePerChannel);

        yield return new("Upsample", 9, ResizeAdapters.UpsampleInputs);
        yield return new("Upsample", 10, ResizeAdapters.UpsampleIsResize);
        yield return new("Resize", 11, ResizeAdapters.Coordinates);
        yield return new("Resize", 13, ResizeAdapters.NoHalfPixelOfTensorFlow);
        yield return new("GridSample", 20, ResizeAdapters.GridSampleModes);
        yield return new("RoiAlign", 16, ResizeAdapters.RoiAlignCoordinates);

        yield return new("Scan", 9, node => throw node.Refusal("its batch axis and sequence lengths are gone"));
    }
}
