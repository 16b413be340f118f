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

    private static double[] Doubles(JsonElement golden, string name) => [.. golden.GetProperty(name).EnumerateArray().Select(value => value.GetDouble())];

    private static float[] Loop(SamplerSchedule schedule)
    {
        var sample = Scene();
        var output = new float[sample.Length];
        for (var step = 0; step < schedule.Timesteps.Count; step++)
        {
            var timestep = schedule.Timesteps[step];
            for (var i = 0; i < sample.Length; i++)
                output[i] = sample[i] * timestep / (timestep + 1);
            schedule.Step(step, output, sample, rows: 4);
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
