using System.Numerics.Tensors;
using QuantSdk.Numerics;

namespace QuantSdk.Planning;

/// <summary>
/// Rounding that minimises the error of a layer's output, ΔwᵀHΔw, on a grid that is given: GPTQ (Frantar et al. 2022, algorithm 1). Columns are
/// rounded one after the other, and the error of each is made good by those that follow, along the rows of the Cholesky factor of H⁻¹.
/// </summary>
internal static class ErrorRounding
{
    /// <summary>λ = 0.01 · mean(diag H), as the paper has it.</summary>
    private const double Damping = 0.01;

    /// <param name="weights">[outputs, K], row-major.</param>
    /// <param name="hessian">[K, K], symmetric; overwritten.</param>
    /// <param name="grid">Gives (scale, zero point) of a column for each output.</param>
    /// <returns>[outputs, K] codes, or null where H has no Cholesky factor.</returns>
    public static sbyte[]? Round(ReadOnlySpan<float> weights, int outputs, int k, double[] hessian, Action<int, float[], float[]> grid, int low, int high)
    {
        double mean = 0;
        for (var i = 0; i < k; i++)
            mean += hessian[i * k + i] / k;
        if (!(mean > 0))
            return null;
        for (var i = 0; i < k; i++)
        {
            // A channel that is never active: any rounding is as good.
            if (hessian[i * k + i] <= 0)
                hessian[i * k + i] = mean;
            hessian[i * k + i] += Damping * mean;
        }
        if (InverseFactor(hessian, k) is not { } factor)
            return null;
        // Columns together: one column of all outputs is one vector.
        var columns = new float[k * outputs];
        for (var o = 0; o < outputs; o++)
        {
            for (var i = 0; i < k; i++)
                columns[i * outputs + o] = weights[o * k + i];
        }
        var codes = new sbyte[weights.Length];
        var (scales, zeros, error) = (new float[outputs], new float[outputs], new float[outputs]);
        for (var i = 0; i < k; i++)
        {
            grid(i, scales, zeros);
            var column = columns.AsSpan(i * outputs, outputs);
            for (var o = 0; o < outputs; o++)
            {
                var q = Math.Clamp(MathF.Round(column[o] / scales[o], MidpointRounding.ToEven) + zeros[o], low, high);
                codes[o * k + i] = (sbyte)q;
                error[o] = (column[o] - scales[o] * (q - zeros[o])) / (float)factor[i * k + i];
            }
            for (var j = i + 1; j < k; j++)
            {
                var share = (float)factor[i * k + j];
                if (share != 0)
                {
                    var later = columns.AsSpan(j * outputs, outputs);
                    TensorPrimitives.MultiplyAdd(error, -share, later, later);
                }
            }
        }
        return codes;
    }

    /// <summary>The upper U with UᵀU = H⁻¹, or null where H is not positive definite.</summary>
    private static double[]? InverseFactor(double[] h, int k)
    {
        // H = LLᵀ, H⁻¹ = L⁻ᵀL⁻¹; the reversed order of rows and columns turns a lower factor into an upper one:
        // with J the exchange matrix and JHJ = MMᵀ, H⁻¹ = (JM⁻ᵀJ)(JM⁻¹J), and U = JM⁻¹J is upper triangular.
        var m = new double[k * k];
        for (var i = 0; i < k; i++)
        {
            for (var j = 0; j <= i; j++)
            {
                var sum = h[(k - 1 - i) * k + (k - 1 - j)] - TensorPrimitives.Dot<double>(m.AsSpan(i * k, j), m.AsSpan(j * k, j));
                if (i == j)
                {
                    if (!(sum > 0))
                        return null;
                    m[i * k + i] = Math.Sqrt(sum);
                }
                else
                {
                    m[i * k + j] = sum / m[j * k + j];
                }
            }
        }
        // Rows of M⁻¹ by forward substitution: row i = (e_i − Σ_j<i M_ij · row j) / M_ii.
        var inverse = new double[k * k];
        for (var i = 0; i < k; i++)
        {
            var row = inverse.AsSpan(i * k, i + 1);
            for (var j = 0; j < i; j++)
                TensorPrimitives.MultiplyAdd(inverse.AsSpan(j * k, j + 1), -m[i * k + j], row[..(j + 1)], row[..(j + 1)]);
            row[i] += 1;
            TensorPrimitives.Divide(row, m[i * k + i], row);
        }
        var upper = new double[k * k];
        for (var i = 0; i < k; i++)
        {
            for (var j = 0; j <= i; j++)
                upper[(k - 1 - i) * k + (k - 1 - j)] = inverse[i * k + j];
        }
        return upper;
    }
}
