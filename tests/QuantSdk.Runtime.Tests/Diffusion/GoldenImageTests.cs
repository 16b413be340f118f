namespace QuantSdk.Runtime.Tests;

/// <summary>Whole runs, from noise to images, against PyTorch in fp32.</summary>
[TestClass]
public sealed class GoldenImageTests
{
    private const int EmptyPrompt = 10, Rows = 10;

    [TestMethod]
    public void Thirty_ddim_steps_with_guidance_give_pytorchs_images()
    {
        using var folder = ModelFolder.Unet();
        using var unet = QuantizedModel.Load(folder.Path);
        var golden = TestData.Golden("golden_ddim30_cfg2.npz");
        var timeIds = TestData.Golden("golden_forward.npz")["time_ids"].FirstRows(1);
        var conditioning = new Conditioning(
            new Dictionary<string, ModelTensor>(Prompts("digits", Labels(golden))) { ["time_ids"] = timeIds },
            Prompts("digits", [EmptyPrompt]));
        var pipeline = new DiffusionPipeline(unet, Sampler.FromConfig(TestData.Path("digits", "scheduler", "scheduler_config.json")));
        var (progress, cancellationToken) = (new Progress<DiffusionProgress>(), CancellationToken.None);
        var latents = golden["latents"].FirstRows(Rows);
        var images = pipeline.Run(latents, conditioning, steps: 30, guidanceScale: 2f, progress, cancellationToken);
        AssertImages(golden, images, 1e-5);
    }

    [TestMethod]
    public void Twentyeight_flow_steps_with_guidance_give_pytorchs_images()
    {
        using var folder = ModelFolder.Transformer();
        using var transformer = QuantizedModel.Load(folder.Path);
        var golden = TestData.Golden("golden_flow28_cfg2.npz");
        var pipeline = new DiffusionPipeline(transformer, Sampler.FromConfig(TestData.Path("mmdit", "scheduler", "scheduler_config.json")));
        var conditioning = new Conditioning(Prompts("mmdit", Labels(golden)), Prompts("mmdit", [EmptyPrompt]));
        // Wider than the 1e-5 of the UNet, and the cause is not known: the distance stays with every graph optimisation off, and no change of
        // timesteps, noise levels or guidance explains it. The sampler's own exactness is the subject of GoldenSamplerTests.
        AssertImages(golden, pipeline.Run(golden["latents"].FirstRows(Rows), conditioning, steps: 28, guidanceScale: 2f), 4e-4);
    }

    [TestMethod]
    [DataRow("deepcache", 2), DataRow("deepcache", 3), DataRow("deepcache", 5), DataRow("blockcache", 2), DataRow("blockcache", 3)]
    public void Cached_steps_give_pytorchs_images(string cut, int interval)
    {
        const int images = 5; // of 20: the rows do not know of each other
        using var folder = cut == "deepcache" ? ModelFolder.DeepCachedUnet() : ModelFolder.BlockCachedUnet();
        using var unet = QuantizedModel.Load(folder.Path);
        var golden = TestData.Golden("golden_ddim30_cfg2.npz");
        var conditioning = new Conditioning(
            new Dictionary<string, ModelTensor>(Prompts("digits", Labels(golden, images))) { ["time_ids"] = TestData.Golden("golden_forward.npz")["time_ids"].FirstRows(1) },
            Prompts("digits", [EmptyPrompt]));
        var pipeline = new DiffusionPipeline(unet, Sampler.FromConfig(TestData.Path("digits", "scheduler", "scheduler_config.json"))) { Cache = CacheSchedule.Every(interval) };
        var result = pipeline.Run(golden["latents"].FirstRows(images), conditioning, steps: 30, guidanceScale: 2f);
        var expected = TestData.Golden("golden_cached_ddim30_cfg2.npz")[$"{cut}_{interval}"].FirstRows(images);
        var error = Tensors.RelativeError(result.AsSpan<float>(), expected.AsSpan<float>());
        Console.WriteLine($"relative image error {error:E2}");
        Assert.IsLessThan(1e-5, error);
    }

    private static void AssertImages(NpzFile golden, ModelTensor images, double tolerance)
    {
        Assert.AreEqual($"float[{Rows},1,32,32]", images.ToString());
        var error = Tensors.RelativeError(images.AsSpan<float>(), golden["images"].FirstRows(Rows).AsSpan<float>());
        Console.WriteLine($"relative image error {error:E2}");
        Assert.IsLessThan(tolerance, error);
    }

    private static long[] Labels(NpzFile golden, int rows = Rows) => [.. golden["label"].AsSpan<byte>()[..rows].ToArray().Select(label => (long)label)];

    private static Dictionary<string, ModelTensor> Prompts(string model, long[] labels)
    {
        using var session = ModelSession.Open(TestData.Path(model, "prompt_encoder.onnx"), new SessionSettings());
        return session.Run(new Dictionary<string, ModelTensor> { ["label"] = ModelTensor.Create(labels, labels.Length) }).ToDictionary();
    }
}
