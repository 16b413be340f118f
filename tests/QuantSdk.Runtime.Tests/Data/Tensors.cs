namespace QuantSdk.Runtime.Tests;

/// <summary>Small arithmetic on tensors and spans.</summary>
internal static class Tensors
{
    public static ModelTensor FirstRows(this ModelTensor tensor, int rows) =>
        ModelTensor.Create(tensor.AsSpan<float>()[..(tensor.Count / (int)tensor.Shape[0] * rows)], [rows, .. tensor.Shape.Skip(1)]);

    /// <summary>‖a − b‖ / ‖b‖.</summary>
    public static double RelativeError(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        Assert.AreEqual(b.Length, a.Length);
        double difference = 0, norm = 0;
        for (var i = 0; i < a.Length; i++)
        {
            difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
            norm += (double)b[i] * b[i];
        }
        return Math.Sqrt(difference / norm);
    }

    public static double LargestDifference(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        Assert.AreEqual(b.Length, a.Length);
        var largest = 0.0;
        for (var i = 0; i < a.Length; i++)
            largest = Math.Max(largest, Math.Abs((double)a[i] - b[i]));
        return largest;
    }

    public static QuantSdkException Refuses(string code, Action action)
    {
        var error = Assert.ThrowsExactly<QuantSdkException>(action);
        Assert.AreEqual(code, error.Code, error.Message);
        return error;
    }
}
