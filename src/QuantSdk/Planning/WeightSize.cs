namespace QuantSdk.Planning;

/// <summary>Bytes that weights take.</summary>
internal static class WeightSize
{
    /// <summary>What a weight takes less than in 32-bit floats, scales and zero points included; those that are quantised once more (nf4) count in full.</summary>
    public static long Saved(WeightPlan plan, IReadOnlyList<long> dims)
    {
        var count = dims.Aggregate(1L, (a, b) => a * b);
        var bits = plan.Format switch
        {
            "float" => 32,
            "int4" or "nf4" or "nvfp4" => 4,
            "int2" => 2,
            _ => 8,
        };
        var channels = Math.Max(1, dims[plan.Axis]);
        var reduction = count / channels;
        var blocks = plan.Format switch
        {
            "float" => 0,
            "mxfp8" => channels * ((reduction + 31) / 32),
            "nvfp4" => channels * ((reduction + 15) / 16),
            _ => plan.BlockSize > 0 ? channels * ((reduction + plan.BlockSize - 1) / plan.BlockSize) : channels,
        };
        var scale = (plan.Format is "mxfp8" or "nvfp4" ? 1 : sizeof(float)) + (plan.ZeroPoint ? 1 : 0);
        return sizeof(float) * count - (count * bits + 7) / 8 - blocks * scale;
    }
}
