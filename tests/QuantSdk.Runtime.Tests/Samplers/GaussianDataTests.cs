using System.Globalization;

namespace QuantSdk.Runtime.Tests;

/// <summary>
/// Data of N(0, s²): the exact prediction is known, ε(x, t) = x·√(1−ᾱ)/(ᾱs² + 1−ᾱ), and so is where the probability flow leads. No other
/// implementation is needed to see the order of a sampler, and of a stochastic one that it draws from the right distribution.
/// </summary>
[TestClass]
public sealed class GaussianDataTests
{
    private const double Variance = 0.25;

    private static readonly double[] Alphas = ScaledLinear();

    /// <summary>Noise levels fall evenly in log σ and end at the least of the table, so that no step is longer than the others and none jumps to σ = 0.</summary>
    private const string Even = """ "use_exponential_sigmas": true, "final_sigmas_type": "sigma_min" """;

    [TestMethod]
    [DataRow("DPMSolverMultistepScheduler", """ "solver_order": 1, "lower_order_final": false """, 1.0)]
    [DataRow("DPMSolverMultistepScheduler", """ "solver_order": 2, "lower_order_final": false """, 2.0)]
    [DataRow("DPMSolverMultistepScheduler", """ "solver_order": 2, "solver_type": "heun", "lower_order_final": false """, 2.0)]
    [DataRow("DPMSolverMultistepScheduler", """ "solver_order": 2, "algorithm_type": "dpmsolver", "lower_order_final": false """, 2.0)]
    [DataRow("DPMSolverMultistepScheduler", """ "solver_order": 3, "lower_order_final": false """, 2.0)]
    [DataRow("UniPCMultistepScheduler", """ "solver_order": 1, "lower_order_final": false """, 2.0)]
    [DataRow("UniPCMultistepScheduler", """ "solver_order": 2, "lower_order_final": false """, 3.0)]
    [DataRow("UniPCMultistepScheduler", """ "solver_order": 2, "solver_type": "bh1", "lower_order_final": false """, 3.0)]
    [DataRow("DEISMultistepScheduler", """ "solver_order": 1 """, 1.0)]
    [DataRow("DEISMultistepScheduler", """ "solver_order": 2 """, 2.0)]
    [DataRow("DEISMultistepScheduler", """ "solver_order": 3 """, 3.0, 10)] // its weights are differences of float32 numbers: with 40 steps their noise shows
    [DataRow("EulerDiscreteScheduler", "", 1.0)]
    public void The_error_falls_with_the_order_of_the_sampler(string scheduler, string more, double order, int steps = 20)
    {
        var json = $$"""{ "_class_name": "{{scheduler}}", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", {{Even}}{{(more == "" ? "" : ", ")}}{{more}} }""";
        var (coarse, fine) = (Error(json, steps), Error(json, 2 * steps));
        Assert.AreEqual(order, Math.Log2(coarse / fine), 0.45, $"errors {coarse:E2} and {fine:E2}");
    }

    /// <summary>
    /// diffusers weighs the second difference of order 3 half as much as the expansion asks for, so that its error falls with the second power,
    /// too, only from a lower start.
    /// </summary>
    [TestMethod]
    public void The_third_order_of_diffusers_is_a_better_second()
    {
        const string Json = """{ "_class_name": "DPMSolverMultistepScheduler", "lower_order_final": false, "use_exponential_sigmas": true, "final_sigmas_type": "sigma_min", "solver_order": ORDER }""";
        Assert.IsLessThan(0.6, Error(Json.Replace("ORDER", "3"), 40) / Error(Json.Replace("ORDER", "2"), 40));
    }

    private static double Error(string json, int steps)
    {
        var schedule = Sampler.FromJson(json).Schedule(steps);
        var scales = schedule.InitNoiseSigma > 1; // x = image + σ·noise instead of a mixture of variance 1
        var start = (double)schedule.Sigmas[0];
        double[] sample = [scales ? start : 1];
        var (input, end) = (new double[1], (double)schedule.Sigmas[^1]);
        for (var i = 0; i < steps; i++)
        {
            schedule.ScaleInput<double>(i, sample, input);
            var sigma = (double)schedule.Sigmas[i];
            var alpha = 1 / (1 + sigma * sigma);
            schedule.StepInDouble(i, [input[0] * Math.Sqrt(1 - alpha) / (alpha * Variance + 1 - alpha)], sample, 1, default);
        }
        // along the flow x/√(s² + σ²) stays as it is, for x = image + σ·noise
        var exact = (scales ? start : Math.Sqrt(1 + start * start)) * Math.Sqrt((Variance + end * end) / (Variance + start * start));
        var reached = scales ? sample[0] : sample[0] * Math.Sqrt(1 + end * end);
        return Math.Abs(reached - exact) / exact;
    }

    /// <summary>Samplers that end at the image: the variance of many samples is that of the data, up to the error of the steps.</summary>
    [TestMethod]
    [DataRow("DDPMScheduler", """ "clip_sample": false """, 1000, 0.03)]
    [DataRow("DDIMScheduler", """ "clip_sample": false """, 250, 0.03)]
    [DataRow("EulerAncestralDiscreteScheduler", """ "timestep_spacing": "trailing" """, 500, 0.04)]
    [DataRow("HeunDiscreteScheduler", """ "use_karras_sigmas": true """, 60, 0.02)]
    [DataRow("LMSDiscreteScheduler", """ "use_karras_sigmas": true """, 40, 0.02)]
    [DataRow("PNDMScheduler", """ "skip_prk_steps": true """, 50, 0.04)]
    [DataRow("PNDMScheduler", """ "skip_prk_steps": false """, 50, 0.04)]
    [DataRow("DPMSolverMultistepScheduler", """ "algorithm_type": "sde-dpmsolver++" """, 100, 0.04)]
    [DataRow("DPMSolverMultistepScheduler", """ "algorithm_type": "sde-dpmsolver++", "solver_type": "heun", "use_karras_sigmas": true """, 60, 0.04)]
    [DataRow("DPMSolverMultistepScheduler", """ "algorithm_type": "sde-dpmsolver++", "solver_order": 3, "use_karras_sigmas": true """, 120, 0.04)]
    [DataRow("DPMSolverMultistepScheduler", """ "algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min", "use_karras_sigmas": true """, 60, 0.04)]
    [DataRow("DPMSolverMultistepScheduler", """ "algorithm_type": "sde-dpmsolver", "solver_type": "heun", "final_sigmas_type": "sigma_min", "use_karras_sigmas": true """, 60, 0.04)]
    [DataRow("UniPCMultistepScheduler", """ "use_karras_sigmas": true """, 20, 0.02)]
    public void Samples_have_the_variance_of_the_data(string scheduler, string more, int steps, double tolerance)
    {
        const int Count = 1 << 15;
        var schedule = Sampler.FromJson($$"""{ "_class_name": "{{scheduler}}", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", {{more}} }""").Schedule(steps);
        var noise = TorchNoise.Batch(11);
        var (sample, input, output, fresh) = (new float[Count], new float[Count], new float[Count], new float[Count]);
        noise.Normal(sample, 1);
        for (var i = 0; i < Count; i++)
            sample[i] *= schedule.InitNoiseSigma;
        for (var index = 0; index < schedule.Timesteps.Count; index++)
        {
            schedule.ScaleInput(index, sample, input);
            var alpha = schedule.Sigmas.Count > 0 && schedule.Sigmas[index] is var sigma ? 1 / (1 + (double)sigma * sigma) : Alphas[(int)schedule.Timesteps[index]];
            var slope = (float)(Math.Sqrt(1 - alpha) / (alpha * Variance + 1 - alpha));
            for (var i = 0; i < Count; i++)
                output[i] = slope * input[i];
            if (schedule.NeedsNoise(index))
                noise.Normal(fresh, 1);
            schedule.Step(index, output, sample, 1, fresh);
        }
        var variance = sample.Average(value => (double)value * value);
        Assert.AreEqual(Variance, variance, tolerance * Variance, variance.ToString(CultureInfo.InvariantCulture));
    }

    private static double[] ScaledLinear()
    {
        var product = 1.0;
        return [.. Enumerable.Range(0, 1000).Select(i => product *= 1 - Math.Pow(Math.Sqrt(0.00085) + i / 999.0 * (Math.Sqrt(0.012) - Math.Sqrt(0.00085)), 2))];
    }
}
