using QuantSdk.Planning;

namespace QuantSdk.Tests.Planning;

[TestClass]
public sealed class ErrorRoundingTests
{
    private const int Outputs = 5;
    private const int K = 24;
    private const float Scale = 0.25f;

    [TestMethod]
    public void Where_inputs_are_independent_it_is_rounding_to_nearest()
    {
        var weights = Weights();
        var identity = new double[K * K];
        for (var i = 0; i < K; i++)
            identity[i * K + i] = 3;

        CollectionAssert.AreEqual(Nearest(weights), Round(weights, identity));
    }

    [TestMethod]
    public void Where_inputs_are_correlated_the_output_error_is_less_than_half_of_nearest()
    {
        var weights = Weights();
        var hessian = Correlated();

        Assert.IsLessThan(0.5 * Error(weights, Nearest(weights), hessian), Error(weights, Round(weights, [.. hessian])!, hessian));
    }

    [TestMethod]
    public void The_last_column_takes_up_all_that_the_others_left()
    {
        // Two equal inputs: only the sum of the two weights matters. 0.4 + 0.4 steps round to 0 and 0; with the first at 0, the second takes 0.8, and is 1.
        double[] hessian = [1, 0.999, 0.999, 1];

        CollectionAssert.AreEqual(new sbyte[] { 0, 1 }, ErrorRounding.Round([0.1f, 0.1f], 1, 2, hessian, Grid, -8, 7));
    }

    [TestMethod]
    public void Inputs_that_are_never_active_leave_nothing_to_round_by() => Assert.IsNull(Round(Weights(), new double[K * K]));

    private static void Grid(int element, float[] scales, float[] zeros) => scales.AsSpan().Fill(Scale);

    private static sbyte[]? Round(float[] weights, double[] hessian) => ErrorRounding.Round(weights, Outputs, K, hessian, Grid, -8, 7);

    private static sbyte[] Nearest(float[] weights) => Array.ConvertAll(weights, w => (sbyte)Math.Clamp(MathF.Round(w / Scale, MidpointRounding.ToEven), -8, 7));

    private static float[] Weights()
    {
        var random = new Random(7);
        return [.. Enumerable.Range(0, Outputs * K).Select(_ => 2 * random.NextSingle() - 1)];
    }

    /// <summary>E[x·xᵀ] of inputs that share three causes.</summary>
    private static double[] Correlated()
    {
        var random = new Random(8);
        var causes = Enumerable.Range(0, 3).Select(_ => Enumerable.Range(0, K).Select(_ => random.NextDouble() - 0.5).ToArray()).ToArray();
        var hessian = new double[K * K];
        for (var i = 0; i < K; i++)
        {
            for (var j = 0; j < K; j++)
                hessian[i * K + j] = causes.Sum(c => c[i] * c[j]) + (i == j ? 0.01 : 0);
        }
        return hessian;
    }

    private static double Error(float[] weights, sbyte[] codes, double[] hessian)
    {
        double error = 0;
        for (var o = 0; o < Outputs; o++)
        {
            for (var i = 0; i < K; i++)
            {
                for (var j = 0; j < K; j++)
                    error += (weights[o * K + i] - Scale * codes[o * K + i]) * hessian[i * K + j] * (weights[o * K + j] - Scale * codes[o * K + j]);
            }
        }
        return error;
    }
}
