namespace QuantSdk.Runtime;

/// <summary>The shapes that a plan takes.</summary>
internal static class TensorRtShapes
{
    /// <summary>
    /// Looks whether shapes lie in the first profile: ONNX Runtime makes one context of a plan, which has that one; other profiles are for servers that choose.
    /// Inputs that a profile does not name have one shape, which the graph tells.
    /// </summary>
    /// <exception cref="QuantSdkException">QSDK7062.</exception>
    public static void Check(IReadOnlyList<TensorRtProfile> profiles, IReadOnlyDictionary<string, long[]> shapes, string file)
    {
        if (profiles.Count == 0)
            return;
        foreach (var range in profiles[0].Inputs)
        {
            if (!shapes.TryGetValue(range.Input, out var shape) || Holds(range, shape))
                continue;
            var others = Enumerable.Range(1, profiles.Count - 1).Where(i => profiles[i].Inputs.Any(other => other.Input == range.Input && Holds(other, shape))).ToArray();
            throw new QuantSdkException("QSDK7062",
                $"'{file}': '{range.Input}' has the shape {TensorShape.Text(shape)}; the engine takes {TensorShape.Text(range.Min)} to {TensorShape.Text(range.Max)} and is fastest at {TensorShape.Text(range.Opt)}. " +
                (others.Length == 0 ? "Bind a shape within, or build the model with MinShapes and MaxShapes that hold it."
                : $"Profile {others[0]} would take it, and ONNX Runtime uses profile 0 alone: build the model with one profile that holds all shapes, or serve it with Triton."), file);
        }
    }

    private static bool Holds(ShapeRange range, ReadOnlySpan<long> shape)
    {
        if (shape.Length != range.Min.Count)
            return false;
        for (var i = 0; i < shape.Length; i++)
            if (shape[i] < range.Min[i] || shape[i] > range.Max[i])
                return false;
        return true;
    }
}
