namespace QuantSdk.Runtime.Tests;

[TestClass]
public sealed class DdimTests
{
    private const string Plain = """ "_class_name": "DDIMScheduler", "clip_sample": false, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "set_alpha_to_one": true """;

    [TestMethod]
    [DataRow("leading", 0, 10)]
    [DataRow("linspace", 0, 10)]
    [DataRow("trailing", 0, 7)]
    [DataRow("leading", 1, 3)]
    [DataRow("linspace", 0, 1)]
    public void Timesteps_follow_the_three_rules(string spacing, int offset, int steps)
    {
        var schedule = Sampler.FromJson($$"""{ {{Plain}}, "timestep_spacing": "{{spacing}}", "steps_offset": {{offset}} }""").Schedule(steps);
        var expected = Enumerable.Range(0, steps).Select(i => spacing switch
        {
            "leading" => (double)(1000 / steps * i + offset),
            "linspace" => Math.Round(steps == 1 ? 0 : 999.0 * i / (steps - 1)),
            _ => Math.Round(1000 - (steps - 1 - i) * (1000.0 / steps)) - 1,
        }).Reverse().ToArray();
        CollectionAssert.AreEqual(expected, schedule.Timesteps.Select(timestep => (double)timestep).ToArray());
    }

    /// <summary>One step from the first timestep to a clean image, x0, exposes ᾱ: with ε = 0 the result is x / √ᾱ.</summary>
    [TestMethod]
    [DataRow("linear", 0.0001, 0.02)]
    [DataRow("scaled_linear", 0.00085, 0.012)]
    [DataRow("squaredcos_cap_v2", 0.0001, 0.02)]
    public void Betas_follow_their_closed_forms(string schedule, double start, double end)
    {
        var alpha = 1.0;
        for (var i = 0; i < 1000; i++)
        {
            var along = i / 999.0;
            alpha *= 1 - (schedule switch
            {
                "linear" => start + along * (end - start),
                "scaled_linear" => Math.Pow(Math.Sqrt(start) + along * (Math.Sqrt(end) - Math.Sqrt(start)), 2),
                _ => Math.Min(0.999, 1 - Bar((i + 1) / 1000.0) / Bar(i / 1000.0)),
            });
        }
        // trailing with one step starts at timestep 999 and ends at a clean image
        Assert.AreEqual(1 / Math.Sqrt(alpha), SignalOf($$"""{ "_class_name": "DDIMScheduler", "clip_sample": false, "timestep_spacing": "trailing", "beta_schedule": "{{schedule}}", "beta_start": {{start}}, "beta_end": {{end}} }"""), 3e-5 / Math.Sqrt(alpha));

        static double Bar(double t) => Math.Pow(Math.Cos((t + 0.008) / 1.008 * Math.PI / 2), 2);
    }

    [TestMethod]
    public void Trained_betas_take_the_place_of_a_schedule() => Assert.AreEqual(
        1 / Math.Sqrt(0.9 * 0.8),
        SignalOf("""{ "_class_name": "DDIMScheduler", "clip_sample": false, "timestep_spacing": "trailing", "num_train_timesteps": 2, "trained_betas": [0.1, 0.2] }"""), 1e-6);

    [TestMethod]
    public void Zero_terminal_snr_leaves_no_signal_at_the_end()
    {
        // v-prediction: x0 = √ᾱ·x − √(1−ᾱ)·v; with x = 1, v = 0 one step gives √ᾱ
        var sampler = """{ "_class_name": "DDIMScheduler", "clip_sample": false, "timestep_spacing": "trailing", "prediction_type": "v_prediction", "rescale_betas_zero_snr": SNR }""";
        Assert.AreEqual(0, SignalOf(sampler.Replace("SNR", "true")), 1e-7);
        Assert.IsGreaterThan(1e-3, SignalOf(sampler.Replace("SNR", "false")));
        Tensors.Refuses("QSDK7033", () => Sampler.FromJson(sampler.Replace("SNR", "true").Replace("v_prediction", "epsilon")).Schedule(1));
    }

    /// <summary>The three predictions describe one and the same denoiser, so that they take the same steps.</summary>
    [TestMethod]
    [DataRow("v_prediction")]
    [DataRow("sample")]
    public void Prediction_types_agree(string type)
    {
        const double Signal = 0.6, Noise = 0.8; // x = 0.6·x0 + 0.8·ε with x0 = 0.5, ε = −1.5
        const double X0 = 0.5, Epsilon = -1.5;
        var json = $$"""{ "_class_name": "DDIMScheduler", "clip_sample": false, "num_train_timesteps": 2, "trained_betas": [0.19, {{1 - Signal * Signal / 0.81:R}}], "timestep_spacing": "trailing", "prediction_type": "TYPE" }""";
        var output = type == "sample" ? X0 : Signal * Epsilon - Noise * X0;
        var expected = Math.Sqrt(0.81) * X0 + Math.Sqrt(0.19) * Epsilon;
        Assert.AreEqual(expected, OneOfTwoSteps(json.Replace("TYPE", "epsilon"), Epsilon), 1e-6);
        Assert.AreEqual(expected, OneOfTwoSteps(json.Replace("TYPE", type), output), 1e-6);

        static float OneOfTwoSteps(string json, double output)
        {
            float[] sample = [(float)(Signal * X0 + Noise * Epsilon)];
            Sampler.FromJson(json).Schedule(2).Step(0, [(float)output], sample);
            return sample[0];
        }
    }

    [TestMethod]
    public void Clipping_bounds_the_clean_sample_only()
    {
        // √ᾱ = 0.6: ε = 0 and x = 3 give x0 = 5, clipped to 2; the last step has no noise left
        float[] sample = [3, -3, 0.6f];
        Sampler.FromJson("""{ "_class_name": "DDIMScheduler", "clip_sample": true, "clip_sample_range": 2, "num_train_timesteps": 1, "trained_betas": [0.64], "timestep_spacing": "trailing" }""")
            .Schedule(1).Step(0, [0, 0, 0], sample);
        CollectionAssert.AreEqual(new[] { 2f, -2f, 1f }, sample.Select(value => MathF.Round(value, 5)).ToArray());
    }

    [TestMethod]
    public void Dynamic_thresholding_treats_each_row_by_itself()
    {
        var random = new Random(1);
        float[] sample = [.. Enumerable.Range(0, 200).Select(i => (float)(random.NextDouble() * 2 - 1) * (i < 100 ? 0.1f : 2))];
        var before = (float[])sample.Clone();
        Sampler.FromJson("""{ "_class_name": "DDIMScheduler", "thresholding": true, "dynamic_thresholding_ratio": 0.9, "sample_max_value": 4, "num_train_timesteps": 1, "trained_betas": [0.64], "timestep_spacing": "trailing" }""")
            .Schedule(1).Step(0, new float[200], sample, rows: 2);
        for (var row = 0; row < 2; row++)
        {
            double[] clean = [.. before.Skip(row * 100).Take(100).Select(value => value / 0.6)];
            var sorted = clean.Select(Math.Abs).Order().ToArray();
            var limit = Math.Clamp(sorted[89] + 0.1 * (sorted[90] - sorted[89]), 1, 4); // rank 0.9·99 = 89.1
            for (var i = 0; i < 100; i++)
                Assert.AreEqual(Math.Clamp(clean[i], -limit, limit) / limit, sample[row * 100 + i], 1e-5, $"row {row}, element {i}, limit {limit}");
        }
    }

    /// <summary>Data of N(0, s²): ε(x, t) = x·√(1−ᾱ)/(ᾱs² + 1−ᾱ) exactly, and the ODE maps x_T to x_T·s/√(ᾱs² + 1−ᾱ).</summary>
    [TestMethod]
    public void The_error_of_ddim_falls_with_the_first_power_of_the_step()
    {
        var coarse = ErrorWith(steps: 50);
        var fine = ErrorWith(steps: 200);
        var order = Math.Log(coarse / fine) / Math.Log(4);
        Assert.AreEqual(1.0, order, 0.15, $"errors {coarse:E2} and {fine:E2}");

        static double ErrorWith(int steps)
        {
            const double Variance = 0.25;
            var alphas = ScaledLinear();
            var schedule = Sampler.FromJson($$"""{ {{Plain}}, "timestep_spacing": "leading" }""").Schedule(steps);
            float[] sample = [1];
            for (var i = 0; i < steps; i++)
            {
                var alpha = alphas[(int)schedule.Timesteps[i]];
                schedule.Step(i, [(float)(sample[0] * Math.Sqrt(1 - alpha) / (alpha * Variance + 1 - alpha))], sample);
            }
            var start = alphas[(int)schedule.Timesteps[0]];
            return Math.Abs(sample[0] - Math.Sqrt(Variance / (start * Variance + 1 - start)));
        }
    }

    [TestMethod]
    public void Steps_out_of_range_are_refused()
    {
        var sampler = Sampler.FromJson($$"""{ {{Plain}}, "steps_offset": 1 }""");
        Tensors.Refuses("QSDK7033", () => sampler.Schedule(0));
        Tensors.Refuses("QSDK7033", () => sampler.Schedule(1001));
        Tensors.Refuses("QSDK7033", () => sampler.Schedule(1000)); // the offset leads beyond the table
        Tensors.Refuses("QSDK7033", () => sampler.Schedule(10, new ScheduleOptions { Mu = 1 }));
        Assert.ThrowsExactly<ArgumentOutOfRangeException>(() => sampler.Schedule(10).Step(10, [0f], [0f]));
        Assert.ThrowsExactly<ArgumentException>(() => sampler.Schedule(10).Step(0, [0f, 1f], [0f]));
        Assert.ThrowsExactly<ArgumentException>(() => sampler.Schedule(10).Step(0, [0f, 1f, 2f], new float[3], rows: 2));
    }

    private static double SignalOf(string json)
    {
        float[] sample = [1];
        var schedule = Sampler.FromJson(json).Schedule(1);
        schedule.Step(0, [0f], sample);
        return sample[0];
    }

    private static double[] ScaledLinear()
    {
        var product = 1.0;
        return [.. Enumerable.Range(0, 1000).Select(i => product *= 1 - Math.Pow(Math.Sqrt(0.00085) + i / 999.0 * (Math.Sqrt(0.012) - Math.Sqrt(0.00085)), 2))];
    }
}
