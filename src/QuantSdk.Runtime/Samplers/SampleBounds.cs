using System.Numerics;
using System.Numerics.Tensors;

namespace QuantSdk.Runtime;

/// <summary>How the predicted clean sample is kept in range: not at all, clipped, or by dynamic thresholding (Saharia et al. 2022, §2.3).</summary>
/// <param name="Clip">The largest magnitude when clipping, or null.</param>
/// <param name="Threshold">The quantile and the largest threshold of dynamic thresholding, or null. It takes the place of clipping.</param>
internal sealed record SampleBounds(float? Clip, (float Quantile, float Most)? Threshold)
{
    public static SampleBounds None { get; } = new(null, null);

    public bool Any => Clip is not null || Threshold is not null;

    public static SampleBounds Read(SamplerConfig config, bool clipByDefault)
    {
        var clip = (float)config.Double("clip_sample_range", 1);
        var quantile = (float)config.Double("dynamic_thresholding_ratio", 0.995);
        var most = (float)config.Double("sample_max_value", 1);
        if (clip <= 0)
            throw config.Unusable($"'clip_sample_range' is {clip}; a number above 0 is expected.");
        if (quantile is < 0 or > 1)
            throw config.Unusable($"'dynamic_thresholding_ratio' is {quantile}; a number between 0 and 1 is expected.");
        if (most < 1)
            throw config.Unusable($"'sample_max_value' is {most}; a number of 1 or more is expected.");
        return new(
            config.Bool("clip_sample", clipByDefault) ? clip : null,
            config.Bool("thresholding", false) ? (quantile, most) : null);
    }

    /// <summary>For classes that know clip_sample alone, off by default.</summary>
    public static SampleBounds ReadClip(SamplerConfig config) => Read(config, clipByDefault: false) with { Threshold = null };

    /// <summary>For classes that know dynamic thresholding alone.</summary>
    public static SampleBounds ReadThreshold(SamplerConfig config) => Read(config, clipByDefault: false) with { Clip = null };

    /// <summary>Bounds one row in place.</summary>
    /// <param name="row">A predicted clean sample.</param>
    /// <param name="scratch">As long as the row; overwritten when thresholding.</param>
    public void Apply<T>(Span<T> row, Span<T> scratch)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        if (Threshold is { } threshold)
        {
            TensorPrimitives.Abs(row, scratch);
            var limit = T.Clamp(Quantile(scratch, threshold.Quantile), T.One, T.CreateTruncating(threshold.Most));
            Clamp(row, limit);
            TensorPrimitives.Divide(row, limit, row);
        }
        else if (Clip is { } clip)
            Clamp(row, T.CreateTruncating(clip));
    }

    private static void Clamp<T>(Span<T> values, T limit)
        where T : unmanaged, IFloatingPointIeee754<T> => TensorPrimitives.Clamp(values, -limit, limit, values);

    /// <summary>Linear interpolation between the two nearest ranks, as torch.quantile does. Reorders the values.</summary>
    private static T Quantile<T>(Span<T> values, float quantile)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        values.Sort();
        var rank = (double)quantile * (values.Length - 1);
        var below = (int)rank;
        var above = Math.Min(below + 1, values.Length - 1);
        return values[below] + T.CreateTruncating(rank - below) * (values[above] - values[below]);
    }
}
