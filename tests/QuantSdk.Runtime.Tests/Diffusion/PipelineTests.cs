namespace QuantSdk.Runtime.Tests;

[TestClass]
public sealed class PipelineTests
{
    /// <summary>x ← x + (σ' − σ)·v over levels from 1 to 0: a constant v ends at x − v.</summary>
    private static readonly Sampler Flow = Sampler.FromJson("""{ "_class_name": "FlowMatchEulerDiscreteScheduler" }""");

    private static readonly ModelTensor Latents = TorchRandom.Normal(3, 2, 8);

    private static readonly Conditioning Guided = new(
        new Dictionary<string, ModelTensor> { ["text"] = ModelTensor.Create([1f, 2f], 2, 1), ["size"] = ModelTensor.Create([5f], 1, 1) },
        new Dictionary<string, ModelTensor> { ["text"] = ModelTensor.Create([-1f], 1, 1) });

    [TestMethod]
    public void Guidance_is_the_difference_of_the_halves_times_the_scale()
    {
        // unconditional rows (0, 1) say 2, conditional rows (2, 3) say 5
        var denoiser = new FakeDenoiser((row, _, _) => row < 2 ? 2 : 5);
        var images = new DiffusionPipeline(denoiser, Flow).Run(Latents, Guided, steps: 4, guidanceScale: 3f);
        for (var i = 0; i < images.Count; i++)
            Assert.AreEqual(Latents.AsSpan<float>()[i] - (2 + 3 * (5 - 2)), images.AsSpan<float>()[i], 1e-5);
        CollectionAssert.AreEqual(new long[] { 4, 8 }, denoiser.SampleShape.ToArray());
    }

    [TestMethod]
    public void Unconditional_rows_come_first_and_single_rows_are_repeated()
    {
        var denoiser = new FakeDenoiser((_, _, _) => 0);
        new DiffusionPipeline(denoiser, Flow).Run(Latents, Guided, steps: 1, guidanceScale: 2f);
        CollectionAssert.AreEqual(new[] { -1f, -1f, 1f, 2f }, denoiser.Conditioning["text"].AsSpan<float>().ToArray());
        CollectionAssert.AreEqual(new[] { 5f, 5f, 5f, 5f }, denoiser.Conditioning["size"].AsSpan<float>().ToArray());
    }

    [TestMethod]
    public void Without_guidance_nothing_is_doubled()
    {
        var denoiser = new FakeDenoiser((_, _, value) => value);
        new DiffusionPipeline(denoiser, Flow).Run(Latents, Guided, steps: 3, guidanceScale: 1f);
        CollectionAssert.AreEqual(new long[] { 2, 8 }, denoiser.SampleShape.ToArray());
        CollectionAssert.AreEqual(new[] { 1f, 2f }, denoiser.Conditioning["text"].AsSpan<float>().ToArray());
    }

    [TestMethod]
    public void Both_halves_see_the_same_sample()
    {
        // guidance of equal halves changes nothing
        var guided = new DiffusionPipeline(new FakeDenoiser((_, _, value) => value * 0.5f), Flow).Run(Latents, Guided, 5, 7f);
        var plain = new DiffusionPipeline(new FakeDenoiser((_, _, value) => value * 0.5f), Flow).Run(Latents, Guided, 5);
        Assert.IsTrue(guided.AsSpan<float>().SequenceEqual(plain.AsSpan<float>()));
    }

    [TestMethod]
    public void A_learned_variance_behind_the_prediction_is_left_out()
    {
        var images = new DiffusionPipeline(new FakeDenoiser((row, _, _) => row, rowFactor: 2), Flow).Run(Latents, Conditioning.None, steps: 2);
        for (var i = 0; i < images.Count; i++)
            Assert.AreEqual(Latents.AsSpan<float>()[i] - i / 8, images.AsSpan<float>()[i], 1e-6);
        Tensors.Refuses("QSDK7043", () => new DiffusionPipeline(new FakeDenoiser((_, _, _) => 0, rowFactor: 3), Flow).Run(Latents, Conditioning.None, 2));
    }

    [TestMethod]
    public void Steps_and_timesteps_are_handed_to_the_denoiser_and_reported()
    {
        var denoiser = new FakeDenoiser((_, _, _) => 0);
        var reports = new List<DiffusionProgress>();
        new DiffusionPipeline(denoiser, Flow).Run(Latents, Conditioning.None, steps: 3, progress: new Direct(reports.Add));
        CollectionAssert.AreEqual(new[] { (0, 1000f), (1, 500.5f), (2, 1f) }, denoiser.Steps.Select(step => (step.Step, MathF.Round(step.Timestep, 3))).ToArray());
        CollectionAssert.AreEqual(new[] { (1, 3), (2, 3), (3, 3) }, reports.Select(report => (report.Step, report.Steps)).ToArray());
        Assert.AreEqual(1, denoiser.Disposed);
    }

    [TestMethod]
    public void Cancellation_stops_before_the_next_step()
    {
        using var cancellation = new CancellationTokenSource();
        var denoiser = new FakeDenoiser((_, _, _) => 0) { OnStep = step => { if (step == 1) cancellation.Cancel(); } };
        Assert.ThrowsExactly<OperationCanceledException>(() => new DiffusionPipeline(denoiser, Flow).Run(Latents, Conditioning.None, 5, cancellationToken: cancellation.Token));
        Assert.HasCount(2, denoiser.Steps);
        Assert.AreEqual(1, denoiser.Disposed);
    }

    [TestMethod]
    public void Requests_that_cannot_be_met_are_refused()
    {
        var pipeline = new DiffusionPipeline(new FakeDenoiser((_, _, _) => 0), Flow);
        Tensors.Refuses("QSDK7042", () => pipeline.Run(Latents, new Conditioning(Guided.Positive), 2, 2f));
        Tensors.Refuses("QSDK7042", () => pipeline.Run(Latents, Guided, 2, float.NaN));
        Tensors.Refuses("QSDK7043", () => pipeline.Run(ModelTensor.Create([1L, 2L], 2, 1), Conditioning.None, 2));
        Tensors.Refuses("QSDK7043", () => pipeline.Run(ModelTensor.Create([1f], 1), Conditioning.None, 2));
        Tensors.Refuses("QSDK7033", () => pipeline.Run(Latents, Conditioning.None, 0));
        Tensors.Refuses("QSDK7041", () => pipeline.Run(TorchRandom.Normal(0, 3, 8), Guided, 2)); // two rows of text for three samples
        Tensors.Refuses("QSDK7041", () => pipeline.Run(Latents, new Conditioning(Guided.Positive, new Dictionary<string, ModelTensor> { ["txt"] = Latents }), 2, 2f));
        Tensors.Refuses("QSDK7041", () => pipeline.Run(Latents, new Conditioning(Guided.Positive, new Dictionary<string, ModelTensor> { ["text"] = Latents }), 2, 2f));
    }

    private sealed class Direct(Action<DiffusionProgress> report) : IProgress<DiffusionProgress>
    {
        public void Report(DiffusionProgress value) => report(value);
    }
}
