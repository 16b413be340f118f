namespace QuantSdk.Runtime.Tests;

[TestClass]
public sealed class ModelDenoiserTests
{
    private static readonly Sampler Ddim = Sampler.FromConfig(TestData.Path("digits", "scheduler", "scheduler_config.json"));

    [TestMethod]
    public void The_timestep_is_scaled_and_cast_to_the_models_type()
    {
        using var session = ModelSession.Open(TestData.Path("digits", "unet.onnx"), new SessionSettings());
        using var denoiser = new ModelDenoiser(session, ModelFolder.UnetRoles with { TimestepScale = 0.01f });
        using var run = denoiser.Begin([4, 1, 32, 32], Others());
        run.Predict(0, 958f, default);
        CollectionAssert.AreEqual(new[] { 10L }, run.Binding.Input<long>("timestep").ToArray()); // 9.58 rounded
    }

    [TestMethod]
    public void A_timestep_per_row_is_filled_for_every_row()
    {
        using var session = ModelSession.Open(TestData.Path("mmdit", "transformer.onnx"), new SessionSettings());
        using var denoiser = new ModelDenoiser(session, new DiffusionRoles("hidden_states", "timestep", 0.001f));
        using var run = denoiser.Begin([3, 1, 32, 32], new Dictionary<string, ModelTensor>
        {
            ["encoder_hidden_states"] = TorchRandom.Normal(0, 3, 4, 64), ["pooled_projections"] = TorchRandom.Normal(1, 3, 64),
        });
        Assert.AreEqual(3 * 1024, run.Predict(0, 500f, default).Length);
        CollectionAssert.AreEqual(new[] { 0.5f, 0.5f, 0.5f }, run.Binding.Input<float>("timestep").ToArray());
    }

    [TestMethod]
    public void Runs_of_one_shape_share_their_buffers()
    {
        using var session = ModelSession.Open(TestData.Path("digits", "unet.onnx"), new SessionSettings());
        using var denoiser = new ModelDenoiser(session, ModelFolder.UnetRoles);
        ModelBinding first, second;
        using (var run = denoiser.Begin([4, 1, 32, 32], Others()))
            first = run.Binding;
        using (var run = denoiser.Begin([4, 1, 32, 32], Others()))
        {
            Assert.AreSame(first, run.Binding);
            using var beside = denoiser.Begin([4, 1, 32, 32], Others());
            Assert.AreNotSame(first, beside.Binding);
            second = beside.Binding;
        }
        using (var run = denoiser.Begin([2, 1, 32, 32], Others(2)))
            Assert.AreNotSame(second, run.Binding);
    }

    [TestMethod]
    public void Steps_after_the_first_allocate_nothing()
    {
        using var folder = ModelFolder.Unet();
        using var unet = QuantizedModel.Load(folder.Path);
        var pipeline = new DiffusionPipeline(unet, Ddim);
        var conditioning = new Conditioning(Others(1), new Dictionary<string, ModelTensor> { ["text_embeds"] = TorchRandom.Normal(2, 1, 64) });
        var allocated = new List<long>(8);
        pipeline.Run(TorchRandom.Normal(0, 1, 1, 32, 32), conditioning, 8, 2f, new Meter(allocated));
        Assert.HasCount(8, allocated);
        Assert.AreEqual(allocated[1], allocated[^1]);
    }

    [TestMethod]
    public void Conditioning_that_does_not_fit_the_model_is_refused()
    {
        using var folder = ModelFolder.Unet();
        using var unet = QuantizedModel.Load(folder.Path);
        var pipeline = new DiffusionPipeline(unet, Ddim);
        var latents = TorchRandom.Normal(0, 4, 1, 32, 32);
        Tensors.Refuses("QSDK7020", () => pipeline.Run(latents, Conditioning.None, 2));
        Tensors.Refuses("QSDK7020", () => pipeline.Run(latents, new Conditioning(new Dictionary<string, ModelTensor>(Others()) { ["prompt"] = latents }), 2));
        Tensors.Refuses("QSDK7041", () => pipeline.Run(latents, new Conditioning(new Dictionary<string, ModelTensor>(Others()) { ["timestep"] = latents }), 2));
        Tensors.Refuses("QSDK7022", () => pipeline.Run(TorchRandom.Normal(0, 4, 1, 16, 16), new Conditioning(Others()), 2));
        Assert.AreEqual(4096, pipeline.Run(latents, new Conditioning(Others()), 2).Count);
    }

    [TestMethod]
    public void A_model_without_roles_is_no_denoiser()
    {
        using var folder = ModelFolder.Of(TestData.Path("digits", "digits_cnn.onnx"), null);
        using var cnn = QuantizedModel.Load(folder.Path);
        Assert.Contains("image", Tensors.Refuses("QSDK7040", () => new DiffusionPipeline(cnn, Ddim)).Message);
        folder.Write(folder.Read() with { Roles = new("image", "timestep", 1) });
        Assert.Contains("'timestep'", Tensors.Refuses("QSDK7040", () => QuantizedModel.Load(folder.Path)).Message);
    }

    private static Dictionary<string, ModelTensor> Others(int rows = 4) => new()
    {
        ["encoder_hidden_states"] = TorchRandom.Normal(5, rows, 4, 64),
        ["text_embeds"] = TorchRandom.Normal(6, rows, 64),
        ["time_ids"] = ModelTensor.Create(new float[rows * 6], rows, 6),
    };

    private sealed class Meter(List<long> allocated) : IProgress<DiffusionProgress>
    {
        public void Report(DiffusionProgress value) => allocated.Add(GC.GetAllocatedBytesForCurrentThread());
    }
}
