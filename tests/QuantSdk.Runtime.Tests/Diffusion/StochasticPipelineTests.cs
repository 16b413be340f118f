namespace QuantSdk.Runtime.Tests;

/// <summary>Noise of the steps, starts from an image, samplers that evaluate twice a step, rescaled guidance.</summary>
[TestClass]
public sealed class StochasticPipelineTests
{
    private const string Sd = """ "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear" """;

    [TestMethod]
    public void A_row_is_drawn_from_its_own_seed_in_any_batch()
    {
        var sampler = Create("EulerAncestralDiscreteScheduler");
        float[] Row(long[] seeds, int row)
        {
            var noise = TorchNoise.Rows(seeds);
            var latents = noise.Normal(seeds.Length, 24);
            return Make(sampler, latents, new() { Steps = 4, Noise = noise }).AsSpan<float>().Slice(row * 24, 24).ToArray();
        }
        CollectionAssert.AreEqual(Row([7], 0), Row([5, 7, 9], 1));
        CollectionAssert.AreNotEqual(Row([7], 0), Row([8], 0));
    }

    /// <summary>LCM with x0 = 0 for any sample: each sample is what its own step drew, so that the order of draws can be seen.</summary>
    [TestMethod]
    public void Noise_goes_on_where_the_latents_ended()
    {
        var schedule = Create("LCMScheduler", """ "prediction_type": "sample" """).Schedule(3);
        var generator = new TorchGenerator(3);
        var draws = Enumerable.Range(0, 3).Select(_ => { var values = new float[20]; generator.Normal(values); return values; }).ToArray();
        var seen = new List<float[]>();
        var noise = TorchNoise.Rows(3);
        var latents = noise.Normal(1, 20);
        new DiffusionPipeline(new Watcher(seen.Add), Create("LCMScheduler", """ "prediction_type": "sample" """))
            .Run(latents, Conditioning.None, new DiffusionOptions { Steps = 3, Noise = noise });
        for (var step = 0; step < 3; step++)
        {
            // √(1−ᾱ) of the step, exposed by a step from nothing with noise 1
            float[] scale = [0];
            if (step > 0)
                schedule.Step(step - 1, [0f], scale, 1, [1f]);
            for (var i = 0; i < 20; i++)
                Assert.AreEqual(step == 0 ? draws[0][i] : scale[0] * draws[step][i], seen[step][i], 1e-3, $"step {step}, element {i}");
        }
    }

    [TestMethod]
    public void A_stochastic_sampler_asks_for_noise()
    {
        var latents = TorchRandom.Normal(1, 2, 8);
        Tensors.Refuses("QSDK7070", () => Make(Create("EulerAncestralDiscreteScheduler"), latents, new() { Steps = 2 }));
        Tensors.Refuses("QSDK7070", () => Make(Create("EulerAncestralDiscreteScheduler"), latents, new() { Steps = 2, Noise = TorchNoise.Rows(1, 2, 3) }));
        Make(Create("EulerAncestralDiscreteScheduler"), latents, new() { Steps = 1 }); // its only step ends without noise
        var ddim = new DiffusionPipeline(new FakeDenoiser((_, _, value) => value), Create("DDIMScheduler")) { ScheduleOptions = new() { Eta = 1 } };
        Tensors.Refuses("QSDK7070", () => ddim.Run(latents, Conditioning.None, 2));
        ddim.Run(latents, Conditioning.None, new DiffusionOptions { Steps = 2, Noise = TorchNoise.Batch(4) });
    }

    /// <summary>A denoiser that knows the image leads back to it from wherever the run starts.</summary>
    [TestMethod]
    [DataRow("DDIMScheduler", """ "clip_sample": false """)]
    [DataRow("DDPMScheduler", """ "clip_sample": false """)]
    [DataRow("DPMSolverMultistepScheduler", """ "solver_order": 3 """)]
    [DataRow("DPMSolverMultistepScheduler", """ "use_flow_sigmas": true """)]
    [DataRow("DEISMultistepScheduler", """ "solver_order": 3 """)]
    [DataRow("UniPCMultistepScheduler", """ "solver_order": 3 """)]
    [DataRow("LCMScheduler", """ "clip_sample": false """)]
    [DataRow("TCDScheduler", """ "clip_sample": false """)]
    [DataRow("HeunDiscreteScheduler", """ "clip_sample": false """)]
    [DataRow("LMSDiscreteScheduler", """ "steps_offset": 0 """)]
    public void A_run_from_an_image_comes_back_to_it(string scheduler, string more)
    {
        var sampler = Create(scheduler, more + """, "prediction_type": "sample" """);
        float[] image = [.. Enumerable.Range(0, 16).Select(i => 0.1f * i - 0.7f)];
        foreach (var strength in new[] { 0.25, 0.6, 1 })
        {
            var evaluations = 0;
            var noise = TorchNoise.Rows(2);
            var result = new DiffusionPipeline(new FakeDenoiser((_, _, _) => image[evaluations++ % 16]), sampler).Run(
                noise.Normal(1, 16), Conditioning.None, new DiffusionOptions { Steps = 20, Image = ModelTensor.Create(image, 1, 16), Strength = strength, Noise = noise });
            Assert.AreEqual((int)(20 * strength) * (scheduler.StartsWith("Heun") ? 2 : 1) - (scheduler.StartsWith("Heun") ? 1 : 0), evaluations / 16);
            for (var i = 0; i < 16; i++)
                Assert.AreEqual(image[i], result.AsSpan<float>()[i], scheduler[..3] is "DEI" or "TCD" ? 0.1 : 2e-3, $"{strength}, element {i}"); // those two end at the least noise level
        }
    }

    /// <summary>What is mixed at the start is what an exact ε finds at each step: x = a·image + b·noise all the way, in the coordinates of the sampler.</summary>
    [TestMethod]
    [DataRow("DDIMScheduler", """ "clip_sample": false """)]
    [DataRow("PNDMScheduler", """ "skip_prk_steps": true, "set_alpha_to_one": true """)]
    [DataRow("PNDMScheduler", """ "skip_prk_steps": false, "set_alpha_to_one": true """)]
    [DataRow("EulerDiscreteScheduler", """ "timestep_spacing": "leading" """)]
    [DataRow("HeunDiscreteScheduler", """ "timestep_spacing": "trailing" """)]
    [DataRow("LMSDiscreteScheduler", """ "use_karras_sigmas": true """)]
    [DataRow("DPMSolverMultistepScheduler", """ "solver_order": 2 """)]
    [DataRow("UniPCMultistepScheduler", """ "solver_order": 2 """)]
    public void The_start_is_on_the_path_of_the_sampler(string scheduler, string more)
    {
        float[] image = [0.4f, -1.2f], noise = [1.1f, 0.3f];
        var schedule = Create(scheduler, more).Schedule(20, new ScheduleOptions { StartStep = 8 });
        var sample = new float[2];
        schedule.AddNoise(image, noise, sample);
        for (var i = 0; i < schedule.Timesteps.Count; i++)
            schedule.Step(i, noise, sample); // ε is constant along the path
        for (var i = 0; i < 2; i++)
            Assert.AreEqual(image[i], sample[i], 2e-3, $"element {i}");
    }

    [TestMethod]
    public void An_image_that_does_not_fit_is_refused()
    {
        var latents = TorchRandom.Normal(1, 2, 8);
        var sampler = Create("DDIMScheduler");
        Tensors.Refuses("QSDK7071", () => Make(sampler, latents, new() { Steps = 4, Image = TorchRandom.Normal(1, 1, 8) }));
        Tensors.Refuses("QSDK7071", () => Make(sampler, latents, new() { Steps = 4, Image = latents, Strength = 0.2 }));
        Tensors.Refuses("QSDK7071", () => Make(sampler, latents, new() { Steps = 4, Image = latents, Strength = 1.5 }));
        Tensors.Refuses("QSDK7071", () => Make(sampler, latents, new() { Steps = 4, Image = latents, Strength = double.NaN }));
        Tensors.Refuses("QSDK7071", () => Make(sampler, latents, new() { Steps = 4, Strength = 0.5 }));
        Tensors.Refuses("QSDK7042", () => Make(sampler, latents, new() { Steps = 4, GuidanceRescale = 1.1f }));
    }

    [TestMethod]
    public void Two_evaluations_of_a_step_share_its_number_and_progress()
    {
        var denoiser = new FakeDenoiser((_, _, _) => 0);
        var reports = new List<(int, int)>();
        new DiffusionPipeline(denoiser, Create("HeunDiscreteScheduler")).Run(
            TorchRandom.Normal(1, 1, 8), Conditioning.None, 3, progress: new Direct(report => reports.Add((report.Step, report.Steps))));
        CollectionAssert.AreEqual(new[] { 0, 0, 1, 1, 2 }, denoiser.Steps.Select(step => step.Step).ToArray());
        CollectionAssert.AreEqual(new[] { (1, 3), (2, 3), (3, 3) }, reports);

        CollectionAssert.AreEqual(new[] { 0, 1, 2, 3 }, Create("PNDMScheduler", """ "skip_prk_steps": true """).Schedule(3).Steps.ToArray());
        CollectionAssert.AreEqual(new[] { 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 4 }, Create("PNDMScheduler").Schedule(7, new ScheduleOptions { StartStep = 2 }).Steps.ToArray());
    }

    /// <summary>With φ = 1 the guided prediction has the deviation of the conditional one, per row; with φ between, the mean of both.</summary>
    [TestMethod]
    [DataRow(0f)]
    [DataRow(0.7f)]
    [DataRow(1f)]
    public void Rescaled_guidance_keeps_the_deviation(float phi)
    {
        const float Scale = 5;
        var flow = Sampler.FromJson("""{ "_class_name": "FlowMatchEulerDiscreteScheduler" }""");
        var latents = TorchRandom.Normal(3, 2, 32);
        // rows 0 and 1 are unconditional; the prediction is a multiple of the sample, different in each row
        float[] factors = [0.2f, -0.1f, 0.5f, 0.4f];
        var conditioning = new Conditioning(
            new Dictionary<string, ModelTensor> { ["text"] = ModelTensor.Create([1f], 1, 1) }, new Dictionary<string, ModelTensor> { ["text"] = ModelTensor.Create([0f], 1, 1) });
        var result = new DiffusionPipeline(new FakeDenoiser((row, _, value) => factors[row] * value), flow)
            .Run(latents, conditioning, new DiffusionOptions { Steps = 1, GuidanceScale = Scale, GuidanceRescale = phi });
        for (var row = 0; row < 2; row++)
        {
            var guided = factors[row] + Scale * (factors[row + 2] - factors[row]);
            var expected = phi * guided * (factors[row + 2] / Math.Abs(guided)) + (1 - phi) * guided;
            for (var i = 0; i < 32; i++)
                Assert.AreEqual(latents.AsSpan<float>()[row * 32 + i] * (1 - expected), result.AsSpan<float>()[row * 32 + i], 1e-5, $"row {row}, element {i}");
        }
    }

    private static Sampler Create(string scheduler, string more = """ "steps_offset": 0 """) => Sampler.FromJson($$"""{ "_class_name": "{{scheduler}}", {{Sd}}, {{more}} }""");

    private static ModelTensor Make(Sampler sampler, ModelTensor latents, DiffusionOptions options) =>
        new DiffusionPipeline(new FakeDenoiser((_, _, value) => 0.3f * value), sampler).Run(latents, Conditioning.None, options);

    private sealed class Direct(Action<DiffusionProgress> report) : IProgress<DiffusionProgress>
    {
        public void Report(DiffusionProgress value) => report(value);
    }

    /// <summary>Predicts 0 and shows each input.</summary>
    private sealed class Watcher(Action<float[]> seen) : IDenoiser
    {
        public IDenoiserRun Begin(IReadOnlyList<long> sampleShape, IReadOnlyDictionary<string, ModelTensor> conditioning) =>
            new Run(seen, new float[sampleShape.Aggregate(1L, (product, dimension) => product * dimension)]);

        private sealed class Run(Action<float[]> seen, float[] sample) : IDenoiserRun
        {
            private readonly float[] _prediction = new float[sample.Length];

            public Span<float> Sample => sample;

            public ReadOnlySpan<float> Predict(int step, float timestep, CancellationToken cancellationToken)
            {
                seen([.. sample]);
                return _prediction;
            }

            public void Dispose()
            {
            }
        }
    }
}
