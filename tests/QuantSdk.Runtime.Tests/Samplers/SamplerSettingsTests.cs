namespace QuantSdk.Runtime.Tests;

/// <summary>Settings that no recorded run exercises, each against its closed form or against another sampler that must then agree.</summary>
[TestClass]
public sealed class SamplerSettingsTests
{
    private const string Sd = """ "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear" """;

    [TestMethod]
    [DataRow("fixed_small")]
    [DataRow("fixed_small_log")]
    [DataRow("fixed_large")]
    public void The_noise_of_ddpm_has_the_variance_asked_for(string type)
    {
        const double First = 0.7, Second = 0.4; // ᾱ of timesteps 0 and 1
        var json = $$"""{ "_class_name": "DDPMScheduler", "clip_sample": false, "num_train_timesteps": 2, "trained_betas": [{{1 - First:R}}, {{1 - Second / First:R}}], "variance_type": "{{type}}" }""";
        var schedule = Sampler.FromJson(json).Schedule(2);
        float[] with = [0.3f], without = [0.3f];
        schedule.Step(0, [0.1f], with, 1, [1f]);
        schedule.Step(0, [0.1f], without, 1, [0f]);
        var beta = 1 - Second / First;
        Assert.AreEqual(type == "fixed_large" ? Math.Sqrt(beta) : Math.Sqrt((1 - First) / (1 - Second) * beta), with[0] - without[0], 1e-6);
        Assert.IsFalse(schedule.NeedsNoise(1));
    }

    /// <summary>Without corrector and of order 1, UniPC and DPM-Solver++ take the steps of DDIM; so do DEIS and DPM-Solver of order 1.</summary>
    [TestMethod]
    [DataRow("UniPCMultistepScheduler", """ "solver_order": 1, "disable_corrector": [0, 1, 2, 3, 4, 5, 6, 7, 8] """)]
    [DataRow("DPMSolverMultistepScheduler", """ "solver_order": 1 """)]
    [DataRow("DPMSolverMultistepScheduler", """ "solver_order": 1, "algorithm_type": "dpmsolver" """)]
    [DataRow("DEISMultistepScheduler", """ "solver_order": 1 """)]
    [DataRow("UniPCMultistepScheduler", """ "solver_order": 1, "predict_x0": false, "disable_corrector": [0, 1, 2, 3, 4, 5, 6, 7, 8] """)]
    public void First_order_is_ddim(string scheduler, string more)
    {
        var schedule = Sampler.FromJson($$"""{ "_class_name": "{{scheduler}}", {{Sd}}, "final_sigmas_type": "sigma_min", {{more}} }""").Schedule(9);
        float[] sample = [1.2f, -0.4f];
        double[] expected = [1.2f, -0.4f];
        for (var i = 0; i < 9; i++)
        {
            double sigma = schedule.Sigmas[i], next = schedule.Sigmas[i + 1];
            for (var k = 0; k < 2; k++) // x/α follows ε from σ to σ'
                expected[k] = (expected[k] * Math.Sqrt(1 + sigma * sigma) + (next - sigma) * Epsilon(expected[k])) / Math.Sqrt(1 + next * next);
            schedule.Step(i, [(float)Epsilon(sample[0]), (float)Epsilon(sample[1])], sample);
        }
        for (var k = 0; k < 2; k++)
            Assert.AreEqual(expected[k], sample[k], 5e-6);

        static double Epsilon(double x) => 0.3 * x + 0.1 * Math.Sin(3 * x);
    }

    /// <summary>The stochastic solvers keep image and noise apart: with exact predictions and any noise, only noise of the right size is left.</summary>
    [TestMethod]
    [DataRow("sde-dpmsolver++", "midpoint", 2)]
    [DataRow("sde-dpmsolver++", "heun", 2)]
    [DataRow("sde-dpmsolver++", "midpoint", 3)]
    public void With_one_clean_image_the_noise_of_a_stochastic_solver_adds_up(string algorithm, string solver, int order)
    {
        var schedule = Sampler.FromJson($$"""
            { "_class_name": "DPMSolverMultistepScheduler", {{Sd}}, "prediction_type": "sample", "algorithm_type": "{{algorithm}}", "solver_type": "{{solver}}",
              "solver_order": {{order}}, "final_sigmas_type": "sigma_min", "lower_order_final": false }
            """).Schedule(20);
        // image 0: x is linear in the noises, so that its variance is the sum of the squares of the factors
        var variance = 0.0;
        for (var source = -1; source < 20; source++)
        {
            float[] sample = [source < 0 ? (float)Share(schedule.Sigmas[0]) : 0];
            for (var i = 0; i < 20; i++)
                schedule.Step(i, [0f], sample, 1, [i == source ? 1f : 0f]);
            variance += (double)sample[0] * sample[0];
        }
        Assert.AreEqual(Math.Pow(Share(schedule.Sigmas[20]), 2), variance, 1e-6);

        static double Share(double sigma) => sigma / Math.Sqrt(1 + sigma * sigma);
    }

    [TestMethod]
    public void Clipping_lambda_cuts_off_the_noisiest_timesteps()
    {
        const string Json = """{ "_class_name": "DPMSolverMultistepScheduler", "beta_schedule": "squaredcos_cap_v2", "lambda_min_clipped": LAMBDA }""";
        var clipped = Sampler.FromJson(Json.Replace("LAMBDA", "-5.1")).Schedule(10);
        Assert.IsGreaterThan(999 - 10, Sampler.FromJson(Json.Replace("LAMBDA", "-Infinity")).Schedule(10).Timesteps[0]);
        Assert.IsLessThanOrEqualTo(5.1, Math.Log(clipped.Sigmas[0]));
        Assert.IsGreaterThan(5.0, Math.Log(clipped.Sigmas[0])); // not more than needed
    }

    [TestMethod]
    public void Noise_levels_follow_the_rule_asked_for()
    {
        var lu = Sampler.FromJson("""{ "_class_name": "DPMSolverMultistepScheduler", "use_lu_lambdas": true }""").Schedule(8).Sigmas;
        for (var i = 1; i < 7; i++)
            Assert.AreEqual(Math.Log(lu[0] / (double)lu[7]) / 7, Math.Log(lu[i] / (double)lu[i + 1]), 1e-5);
        var karras = Sampler.FromJson("""{ "_class_name": "EulerDiscreteScheduler", "use_karras_sigmas": true, "sigma_min": 0.1, "sigma_max": 20.0, "final_sigmas_type": "sigma_min" }""").Schedule(5);
        for (var i = 0; i < 5; i++)
            Assert.AreEqual(Math.Pow(Math.Pow(20, 1 / 7.0) + i / 4.0 * (Math.Pow(0.1, 1 / 7.0) - Math.Pow(20, 1 / 7.0)), 7), karras.Sigmas[i], 2e-5);
        Assert.AreEqual(Math.Sqrt(0.0001 / 0.9999), karras.Sigmas[5], 1e-5);
        var flow = Sampler.FromJson("""{ "_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": true, "prediction_type": "flow_prediction", "flow_shift": 3 }""").Schedule(4);
        for (var i = 0; i < 4; i++)
        {
            var sigma = 0.999 * (4 - i) / 4;
            Assert.AreEqual(3 * sigma / (1 + 2 * sigma), flow.Sigmas[i], 1e-6);
        }
        var shifted = Sampler.FromJson("""{ "_class_name": "DPMSolverMultistepScheduler", "use_flow_sigmas": true, "use_dynamic_shifting": true, "prediction_type": "flow_prediction" }""");
        CollectionAssert.AreEqual(flow.Sigmas.ToArray(), shifted.Schedule(4, new ScheduleOptions { Mu = Math.Log(3) }).Sigmas.ToArray());
    }

    /// <summary>The share of Beta(0.6, 0.6) below each level is that of the step: integrated with t = sin²u, in which the density has no poles.</summary>
    [TestMethod]
    [DataRow("EulerDiscreteScheduler")]
    [DataRow("DPMSolverMultistepScheduler")]
    public void Beta_levels_are_quantiles(string scheduler)
    {
        var sigmas = Sampler.FromJson($$"""{ "_class_name": "{{scheduler}}", {{Sd}}, "use_beta_sigmas": true }""").Schedule(9).Sigmas;
        double most = sigmas[0], least = sigmas[8], whole = Integral(1);
        for (var i = 0; i < 9; i++)
            Assert.AreEqual(1 - i / 8.0, Integral((sigmas[i] - least) / (most - least)) / whole, 2e-4, $"level {i}");

        static double Integral(double x)
        {
            const int Count = 20000;
            var end = Math.Asin(Math.Sqrt(x));
            return Enumerable.Range(0, Count).Sum(k => Math.Pow(Math.Sin((k + 0.5) * end / Count) * Math.Cos((k + 0.5) * end / Count), 0.2)) * 2 * end / Count;
        }
    }

    [TestMethod]
    public void Continuous_timesteps_are_a_quarter_of_log_sigma()
    {
        var schedule = Sampler.FromJson($$"""{ "_class_name": "EulerDiscreteScheduler", {{Sd}}, "timestep_type": "continuous", "prediction_type": "v_prediction" }""").Schedule(5);
        for (var i = 0; i < 5; i++)
            Assert.AreEqual(0.25 * Math.Log(schedule.Sigmas[i]), schedule.Timesteps[i], 1e-6);
    }

    /// <summary>A straight flow is followed exactly by solvers of any order.</summary>
    [TestMethod]
    [DataRow("UniPCMultistepScheduler", 3)]
    [DataRow("DPMSolverMultistepScheduler", 3)]
    [DataRow("DEISMultistepScheduler", 1)]
    public void A_straight_flow_is_followed(string scheduler, int order)
    {
        var schedule = Sampler.FromJson($$"""{ "_class_name": "{{scheduler}}", "use_flow_sigmas": true, "prediction_type": "flow_prediction", "solver_order": {{order}}, "flow_shift": 3 }""").Schedule(9);
        double image = 0.3, noise = 1.5, first = schedule.Sigmas[0], last = schedule.Sigmas[9];
        double[] sample = [(1 - first) * image + first * noise];
        for (var i = 0; i < 9; i++)
            schedule.StepInDouble(i, [noise - image], sample, 1, default);
        Assert.AreEqual((1 - last) * image + last * noise, sample[0], scheduler.StartsWith("DEIS") ? 2e-4 : 1e-5); // DEIS divides by α = 0.001 at the start, and λ is float32
    }
}
