namespace QuantSdk.Runtime;

/// <summary>What a diffusion model is asked for: the inputs beside the sample and the timestep.</summary>
public sealed class Conditioning
{
    /// <summary>Collects the inputs.</summary>
    /// <param name="positive">The inputs by name, each with one row per sample, or one row for all.</param>
    /// <param name="negative">
    /// The same inputs for the unconditional half of guidance, or null to run without guidance. What is not listed is taken from <paramref name="positive"/>.
    /// </param>
    public Conditioning(IReadOnlyDictionary<string, ModelTensor> positive, IReadOnlyDictionary<string, ModelTensor>? negative = null)
    {
        ArgumentNullException.ThrowIfNull(positive);
        (Positive, Negative) = (positive, negative);
    }

    /// <summary>For a model that takes nothing but the sample and the timestep.</summary>
    public static Conditioning None { get; } = new(new Dictionary<string, ModelTensor>());

    /// <summary>The inputs of the conditional rows.</summary>
    public IReadOnlyDictionary<string, ModelTensor> Positive { get; }

    /// <summary>The inputs of the unconditional rows, or null.</summary>
    public IReadOnlyDictionary<string, ModelTensor>? Negative { get; }

    /// <summary>One row for each row of the batch: the conditional ones, with guidance behind the unconditional ones.</summary>
    internal IReadOnlyDictionary<string, ModelTensor> Batch(int rows, bool guided)
    {
        if (guided && Negative is not { Count: > 0 })
            throw new QuantSdkException("QSDK7042",
                $"Guidance needs the unconditional rows: give Conditioning a negative ({string.Join(", ", Positive.Keys)}), or use guidanceScale 1.");
        if (Negative?.Keys.FirstOrDefault(name => !Positive.ContainsKey(name)) is { } unknown)
            throw new QuantSdkException("QSDK7041", $"The negative conditioning holds '{unknown}', the positive does not. It holds {(Positive.Count == 0 ? "nothing" : string.Join(", ", Positive.Keys))}.");
        return Positive.ToDictionary(input => input.Key, input => guided
            ? Rows(input.Key, rows, Negative!.GetValueOrDefault(input.Key) ?? input.Value, input.Value)
            : Rows(input.Key, rows, input.Value));
    }

    /// <summary>Stacks the parts, each brought to the given number of rows.</summary>
    private static ModelTensor Rows(string name, int rows, params ReadOnlySpan<ModelTensor> parts)
    {
        var first = parts[0];
        foreach (var part in parts)
        {
            if (part.ElementType != first.ElementType || part.Dimensions.Length == 0 || !part.Dimensions[1..].SequenceEqual(first.Dimensions[1..]))
                throw new QuantSdkException("QSDK7041", $"The conditioning '{name}' is {part}, its counterpart {first}: type and shape behind the rows must agree, and there must be rows.");
            if (part.Dimensions[0] != rows && part.Dimensions[0] != 1)
                throw new QuantSdkException("QSDK7041", $"The conditioning '{name}' is {part}; {rows} rows, one per sample, or one row for all are expected.");
        }
        long[] shape = [(long)rows * parts.Length, .. first.Dimensions[1..]];
        var bytes = new byte[TensorShape.Count(shape, first.ElementType) * first.ElementType.Bytes];
        var rest = bytes.AsSpan();
        foreach (var part in parts)
            for (var copies = part.Dimensions[0] == rows ? 1 : rows; copies > 0; copies--)
            {
                part.Bytes.CopyTo(rest);
                rest = rest[part.Bytes.Length..];
            }
        return ModelTensor.FromBytes(first.ElementType, shape, bytes);
    }
}
