using System.Text.Json;

namespace QuantSdk.Runtime.Tests;

/// <summary>The scene of diffusers' own scheduler tests: sample = arange(768)/768 as (4,3,8,8), model(x, t) = x·t/(t+1).</summary>
[TestClass]
public sealed class DiffusersSceneTests
{
    private const string TestConfig = """ "_class_name": "DDIMScheduler", "num_train_timesteps": 1000, "clip_sample": true """;

    /// <summary>The sums that diffusers' test_scheduler_ddim.py asserts.</summary>
    [TestMethod]
    [DataRow("", 172.0067)]
    [DataRow(""", "prediction_type": "v_prediction" """, 52.5302)]
    [DataRow(""", "beta_start": 0.01, "set_alpha_to_one": true""", 149.8295)]
    [DataRow(""", "beta_start": 0.01, "set_alpha_to_one": false""", 149.0784)]
    public void Ddim_gives_the_sums_of_diffusers_own_tests(string more, double sum) =>
        Assert.AreEqual(sum, Loop(Sampler.FromJson($$"""{ {{TestConfig}} {{more}} }""").Schedule(10)).Sum(value => (double)Math.Abs(value)), 1e-2);

    /// <summary>Sums that the other files of diffusers' tests/schedulers assert, to as many digits; the loops start from the scene times init_noise_sigma.</summary>
    [TestMethod]
    [DataRow("DDPMScheduler", """ "clip_sample": true """, 1000, 258.9606)]
    [DataRow("DDPMScheduler", """ "clip_sample": true, "prediction_type": "v_prediction" """, 1000, 202.0296)]
    [DataRow("PNDMScheduler", """ "skip_prk_steps": false """, 10, 198.1318)]
    [DataRow("PNDMScheduler", """ "prediction_type": "v_prediction" """, 10, 67.3986)]
    [DataRow("PNDMScheduler", """ "set_alpha_to_one": true, "beta_start": 0.01 """, 10, 230.0399)]
    [DataRow("PNDMScheduler", """ "set_alpha_to_one": false, "beta_start": 0.01 """, 10, 186.9482)]
    [DataRow("LCMScheduler", """ "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear" """, 1, 18.7097)]
    [DataRow("LCMScheduler", """ "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear" """, 10, 197.7616)]
    public void Sums_of_diffusers_own_tests(string scheduler, string more, int steps, double sum) => Assert.AreEqual(
        sum, Loop(Sampler.FromJson($$"""{ "_class_name": "{{scheduler}}", "num_train_timesteps": 1000, {{more}} }""").Schedule(steps)).Sum(value => (double)Math.Abs(value)), 1e-2);

    /// <summary>The same for samplers that scale the model's input: those tests go on with the scaled sample, which no pipeline does.</summary>
    [TestMethod]
    [DataRow("EulerDiscreteScheduler", """ "timestep_spacing": "linspace" """, 10.0807)]
    [DataRow("EulerDiscreteScheduler", """ "use_karras_sigmas": true """, 124.52299499511719)]
    [DataRow("EulerAncestralDiscreteScheduler", """ "timestep_spacing": "linspace" """, 152.3192)]
    [DataRow("EulerAncestralDiscreteScheduler", """ "prediction_type": "v_prediction" """, 108.4439)]
    [DataRow("LMSDiscreteScheduler", """ "timestep_spacing": "linspace" """, 1006.388)]
    public void Sums_of_diffusers_own_tests_with_scaled_samples(string scheduler, string more, double sum) => Assert.AreEqual(
        sum, Loop(Sampler.FromJson($$"""{ "_class_name": "{{scheduler}}", "num_train_timesteps": 1100, {{more}} }""").Schedule(10), keepsScaled: true).Sum(value => (double)Math.Abs(value)), 1e-2);

    [TestMethod]
    [DataRow("DPMSolverMultistepScheduler", """ "lower_order_final": false """, 0.3301)]
    [DataRow("DPMSolverMultistepScheduler", """ "lower_order_final": false, "prediction_type": "v_prediction" """, 0.2251)]
    [DataRow("DPMSolverMultistepScheduler", """ "lower_order_final": false, "prediction_type": "v_prediction", "use_karras_sigmas": true """, 0.2096)]
    [DataRow("UniPCMultistepScheduler", """ "solver_type": "bh2" """, 0.2464)]
    [DataRow("UniPCMultistepScheduler", """ "use_karras_sigmas": true """, 0.2925)]
    [DataRow("UniPCMultistepScheduler", """ "prediction_type": "v_prediction" """, 0.1014)]
    [DataRow("UniPCMultistepScheduler", """ "prediction_type": "v_prediction", "use_karras_sigmas": true """, 0.1966)]
    public void Means_of_diffusers_own_tests(string scheduler, string more, double mean) => Assert.AreEqual(
        mean, Loop(Sampler.FromJson($$"""{ "_class_name": "{{scheduler}}", "final_sigmas_type": "sigma_min", {{more}} }""").Schedule(10)).Average(value => (double)Math.Abs(value)), 1e-3);

    [TestMethod]
    public void Ddim_with_the_settings_of_stable_diffusion_gives_the_recorded_run()
    {
        var golden = TestData.Json("samplers_extra.json").GetProperty("ddim_sd15_50");
        var schedule = Sampler.FromJson("""
            { "_class_name": "DDIMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
              "clip_sample": false, "set_alpha_to_one": false, "steps_offset": 1 }
            """).Schedule(50);
        CollectionAssert.AreEqual(Doubles(golden, "timesteps"), schedule.Timesteps.Select(timestep => (double)timestep).ToArray());
        var sample = Loop(schedule);
        Assert.AreEqual(golden.GetProperty("mean_abs").GetDouble(), sample.Average(value => (double)Math.Abs(value)), 1e-6);
        var first = Doubles(golden, "first8");
        for (var i = 0; i < first.Length; i++)
            Assert.AreEqual(first[i], sample[i], 1e-5);
    }

    /// <summary>Longer runs with the settings of real pipelines, made with tables in double; the noise is that of torch's seed 0.</summary>
    [TestMethod]
    [DynamicData(nameof(Runs))]
    public void Recorded_runs_of_real_pipelines(string name, string config, int steps, double? eta)
    {
        var golden = TestData.Json("samplers_extra.json").GetProperty(name);
        var schedule = Sampler.FromJson(config).Schedule(steps, new ScheduleOptions { Eta = eta });
        AssertClose(Doubles(golden, "timesteps"), schedule.Timesteps, 1e-6);
        if (golden.TryGetProperty("sigmas", out _))
            AssertClose(Doubles(golden, "sigmas"), schedule.Sigmas, 5e-6, least: 1); // in float32 σ of the first timesteps holds 1 − ᾱ to 4e-5
        var sample = Loop(schedule);
        var mean = golden.GetProperty("mean_abs").GetDouble();
        Assert.AreEqual(mean, sample.Average(value => (double)Math.Abs(value)), 5e-6 * mean);
        AssertClose(Doubles(golden, "first8"), sample[..8], 5e-6, least: 1);
        AssertClose(Doubles(golden, "last4"), sample[^4..], 5e-6, least: 1);
    }

    [TestMethod]
    public void UniPc_with_flow_and_karras_levels()
    {
        var schedule = Sampler.FromJson("""
            { "_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": true, "use_karras_sigmas": true, "prediction_type": "flow_prediction",
              "sigma_min": 0.01, "sigma_max": 200.0, "final_sigmas_type": "sigma_min" }
            """).Schedule(5);
        AssertClose([.. TestData.Json("samplers_extra.json").GetProperty("unipc_flow_karras_5").EnumerateArray().Select(value => value.GetDouble())], [.. schedule.Sigmas.Take(5)], 1e-6);
    }

    private static void AssertClose(double[] expected, IReadOnlyList<float> actual, double relative, double least = 1e-3)
    {
        Assert.HasCount(expected.Length, actual);
        for (var i = 0; i < expected.Length; i++)
            Assert.AreEqual(expected[i], actual[i], relative * Math.Max(least, Math.Abs(expected[i])), $"entry {i}");
    }

    [TestMethod]
    [DataRow("flow_sd3_shift3_28", """ "shift": 3.0 """, 28, null)]
    [DataRow("flow_flux_1024_28", """ "shift": 3.0, "use_dynamic_shifting": true """, 28, 4096)]
    [DataRow("flow_schnell_4", """ "shift": 1.0 """, 4, null)]
    public void Flow_matching_uses_the_noise_levels_of_real_pipelines(string name, string config, int steps, int? tokens)
    {
        var options = new ScheduleOptions
        {
            ImageSequenceLength = tokens,
            Sigmas = name.Contains("sd3") ? null : [.. Enumerable.Range(0, steps).Select(i => 1f - (float)i / steps)],
        };
        var schedule = Sampler.FromJson($$"""{ "_class_name": "FlowMatchEulerDiscreteScheduler", {{config}} }""").Schedule(steps, options);
        var golden = Doubles(TestData.Json("samplers_extra.json").GetProperty(name), "sigmas");
        Assert.HasCount(golden.Length, schedule.Sigmas);
        for (var i = 0; i < golden.Length; i++)
            Assert.AreEqual(golden[i], schedule.Sigmas[i], 1e-6);
    }

    public static IEnumerable<object?[]> Runs() => TestData.Json("samplers_extra_runs.json").EnumerateArray().Select(run => new object?[]
    {
        run.GetProperty("name").GetString(), run.GetProperty("config").GetRawText(), run.GetProperty("steps").GetInt32(), run.TryGetProperty("eta", out var eta) ? eta.GetDouble() : null,
    });

    private static double[] Doubles(JsonElement golden, string name) => [.. golden.GetProperty(name).EnumerateArray().Select(value => value.GetDouble())];

    /// <param name="keepsScaled">Whether the step goes on from the model's input instead of the sample.</param>
    private static float[] Loop(SamplerSchedule schedule, bool keepsScaled = false)
    {
        var sample = Scene();
        for (var i = 0; i < sample.Length; i++)
            sample[i] *= schedule.InitNoiseSigma;
        var noise = TorchNoise.Batch(0);
        var (input, output, fresh) = (new float[sample.Length], new float[sample.Length], new float[sample.Length]);
        for (var index = 0; index < schedule.Timesteps.Count; index++)
        {
            var timestep = schedule.Timesteps[index];
            schedule.ScaleInput(index, sample, input);
            if (keepsScaled)
                input.CopyTo(sample, 0);
            for (var i = 0; i < sample.Length; i++)
                output[i] = input[i] * timestep / (timestep + 1);
            if (schedule.NeedsNoise(index))
                noise.Normal(fresh, rows: 4);
            schedule.Step(index, output, sample, rows: 4, fresh);
        }
        return sample;
    }

    /// <summary>arange(768).reshape(3, 8, 8, 4) / 768, permuted to (4, 3, 8, 8).</summary>
    private static float[] Scene()
    {
        var sample = new float[768];
        for (var row = 0; row < 4; row++)
            for (var rest = 0; rest < 192; rest++)
                sample[row * 192 + rest] = (rest * 4 + row) / 768f;
        return sample;
    }
}
