namespace QuantSdk.Runtime;

/// <summary>Arithmetic on dimensions.</summary>
internal static class TensorShape
{
    /// <summary>The number of elements; refuses negative dimensions and tensors larger than an array can be.</summary>
    public static int Count(ReadOnlySpan<long> shape, TensorType type)
    {
        var most = Array.MaxLength / type.Bytes;
        var count = 1L;
        foreach (var dimension in shape)
        {
            if (dimension < 0)
                throw new QuantSdkException("QSDK7022", $"The shape {Text(shape)} has a negative dimension.");
            if (count != 0 && dimension > most / count)
                throw new QuantSdkException("QSDK7022", $"A tensor {type.Name}{Text(shape)} is larger than {Array.MaxLength} bytes, the most that a tensor can have here.");
            count *= dimension;
        }
        return (int)count;
    }

    /// <summary>As <c>[2,4,64]</c>, with <c>?</c> for a dimension that is only known at run time.</summary>
    public static string Text(ReadOnlySpan<long> shape)
    {
        var parts = new string[shape.Length];
        for (var i = 0; i < parts.Length; i++)
            parts[i] = shape[i] < 0 ? "?" : shape[i].ToString(System.Globalization.CultureInfo.InvariantCulture);
        return $"[{string.Join(',', parts)}]";
    }

    public static string Text(IReadOnlyList<long> shape) => Text([.. shape]);

    /// <summary>Whether a concrete shape fits a declared one, in which −1 stands for any dimension.</summary>
    public static bool Fits(ReadOnlySpan<long> shape, ReadOnlySpan<long> declared)
    {
        if (shape.Length != declared.Length)
            return false;
        for (var i = 0; i < shape.Length; i++)
            if (shape[i] < 0 || declared[i] >= 0 && declared[i] != shape[i])
                return false;
        return true;
    }
}
