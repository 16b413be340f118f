namespace QuantSdk.Calibration;

/// <summary>Second moments of what a layer reads.</summary>
/// <param name="Size">K, the length of its reduction axis.</param>
/// <param name="Products">[K, K]: Σ x·xᵀ.</param>
/// <param name="Sum">[K]: Σ x.</param>
/// <param name="Count">Positions summed over.</param>
internal sealed record Gram(int Size, float[] Products, double[] Sum, long Count)
{
    /// <summary>
    /// H of the layer's squared output error ΔwᵀHΔw for x/factor: E[x·xᵀ], or the covariance where a bias takes up the mean error.
    /// </summary>
    /// <param name="factors">Per element of the reduction axis; null: 1.</param>
    public double[] Hessian(float[]? factors, bool centred)
    {
        var h = new double[Size * Size];
        for (var i = 0; i < Size; i++)
        {
            for (var j = 0; j < Size; j++)
            {
                var product = Products[i * Size + j] / (double)Count;
                if (centred)
                    product -= Sum[i] / Count * (Sum[j] / Count);
                h[i * Size + j] = product / (factors is null ? 1 : (double)factors[i] * factors[j]);
            }
        }
        return h;
    }
}
