namespace QuantSdk.Runtime.Tests;

[TestClass]
public sealed class FlowMatchEulerTests
{
    [TestMethod]
    public void Static_shift_follows_its_closed_form()
    {
        var sigmas = Sampler.FromJson(Config(""" "shift": 3 """)).Schedule(5).Sigmas;
        var last = Shift(0.001); // the table is shifted once, and every level again
        for (var i = 0; i < 5; i++)
            Assert.AreEqual(Shift(1 + i / 4.0 * (last - 1)), sigmas[i], 1e-6);
        Assert.AreEqual(0, sigmas[5]);

        static double Shift(double sigma) => 3 * sigma / (1 + 2 * sigma);
    }

    [TestMethod]
    [DataRow("exponential", 0.8)]
    [DataRow("linear", 1.7)]
    public void Dynamic_shift_follows_its_closed_form(string type, double mu)
    {
        var sigmas = Sampler.FromJson(Config($""" "use_dynamic_shifting": true, "time_shift_type": "{type}" """)).Schedule(5, new ScheduleOptions { Mu = mu }).Sigmas;
        var weight = type == "linear" ? mu : Math.Exp(mu);
        for (var i = 0; i < 5; i++)
        {
            var sigma = 1 + i / 4.0 * (0.001 - 1);
            Assert.AreEqual(weight / (weight + 1 / sigma - 1), sigmas[i], 1e-6);
        }
    }

    [TestMethod]
    public void Mu_is_interpolated_between_the_two_lengths()
    {
        var sampler = Sampler.FromJson(Config(""" "use_dynamic_shifting": true, "base_shift": 0.5, "max_shift": 1.15, "base_image_seq_len": 256, "max_image_seq_len": 4096 """));
        var middle = sampler.Schedule(4, new ScheduleOptions { ImageSequenceLength = 2176 }).Sigmas;
        CollectionAssert.AreEqual(sampler.Schedule(4, new ScheduleOptions { Mu = (0.5 + 1.15) / 2 }).Sigmas.ToArray(), middle.ToArray());
        Tensors.Refuses("QSDK7033", () => sampler.Schedule(4));
    }

    [TestMethod]
    public void The_last_level_can_be_fixed()
    {
        var sigmas = Sampler.FromJson(Config(""" "shift_terminal": 0.1 """)).Schedule(6).Sigmas;
        Assert.AreEqual(1, sigmas[0], 1e-6);
        Assert.AreEqual(0.1, sigmas[5], 1e-6);
        Assert.AreEqual(0.1 + 0.9 * 3 / 5, sigmas[2], 1e-6);
    }

    [TestMethod]
    public void Levels_can_be_spaced_as_karras_or_exponentially()
    {
        var karras = Sampler.FromJson(Config(""" "use_karras_sigmas": true """)).Schedule(5).Sigmas;
        var exponential = Sampler.FromJson(Config(""" "use_exponential_sigmas": true """)).Schedule(5).Sigmas;
        for (var i = 0; i < 5; i++)
        {
            Assert.AreEqual(Math.Pow(1 + i / 4.0 * (Math.Pow(0.001, 1 / 7.0) - 1), 7), karras[i], 1e-6);
            Assert.AreEqual(Math.Pow(0.001, i / 4.0), exponential[i], 1e-6);
        }
    }

    [TestMethod]
    public void Inverted_levels_rise_to_one()
    {
        var schedule = Sampler.FromJson(Config(""" "invert_sigmas": true """)).Schedule(4);
        var plain = Sampler.FromJson(Config(""" "shift": 1 """)).Schedule(4);
        for (var i = 0; i < 4; i++)
        {
            Assert.AreEqual(1 - plain.Sigmas[i], schedule.Sigmas[i], 1e-6);
            Assert.AreEqual(1000 * (1 - plain.Sigmas[i]), schedule.Timesteps[i], 1e-3);
        }
        Assert.AreEqual(1, schedule.Sigmas[4]);
    }

    [TestMethod]
    public void A_straight_flow_is_followed_exactly()
    {
        // v = noise − image is constant along the path: any number of steps leads to the image
        var schedule = Sampler.FromJson(Config(""" "shift": 3 """)).Schedule(9);
        float[] noise = [1.5f, -0.25f], image = [0.3f, 0.9f], sample = [.. noise];
        for (var i = 0; i < 9; i++)
            schedule.Step(i, [noise[0] - image[0], noise[1] - image[1]], sample);
        Assert.AreEqual(image[0], sample[0], 1e-5);
        Assert.AreEqual(image[1], sample[1], 1e-5);
    }

    /// <summary>x0 = x − σ·v is found again at each level, with fresh noise around it.</summary>
    [TestMethod]
    public void Stochastic_sampling_draws_the_noise_anew()
    {
        var schedule = Sampler.FromJson(Config(""" "stochastic_sampling": true """)).Schedule(2);
        float[] sample = [1.5f];
        schedule.Step(0, [0.7f], sample, 1, [-2f]);
        var (sigma, next) = (schedule.Sigmas[0], schedule.Sigmas[1]);
        Assert.AreEqual((1 - next) * (1.5f - sigma * 0.7f) + next * -2f, sample[0], 1e-6);
        Assert.IsFalse(schedule.NeedsNoise(1));
    }

    [TestMethod]
    [DataRow(""" "use_beta_sigmas": true, "use_karras_sigmas": true """)]
    [DataRow(""" "use_karras_sigmas": true, "use_exponential_sigmas": true """)]
    [DataRow(""" "shift": 0 """)]
    [DataRow(""" "shift_terminal": 1 """)]
    [DataRow(""" "time_shift_type": "square" """)]
    public void What_cannot_be_done_is_refused(string more) => Tensors.Refuses("QSDK7032", () => Sampler.FromJson(Config(more)));

    [TestMethod]
    public void Given_levels_must_fit_the_steps()
    {
        var sampler = Sampler.FromJson(Config(""" "shift": 1 """));
        Assert.AreEqual(0.5f, sampler.Schedule(2, new ScheduleOptions { Sigmas = [1f, 0.5f] }).Sigmas[1]);
        Tensors.Refuses("QSDK7033", () => sampler.Schedule(3, new ScheduleOptions { Sigmas = [1f, 0.5f] }));
        Tensors.Refuses("QSDK7033", () => sampler.Schedule(2, new ScheduleOptions { Sigmas = [1f, 0f] }));
        Tensors.Refuses("QSDK7033", () => sampler.Schedule(2, new ScheduleOptions { Mu = 1 }));
    }

    private static string Config(string more) => $$"""{ "_class_name": "FlowMatchEulerDiscreteScheduler", {{more}} }""";
}
