using System.Runtime.CompilerServices;

namespace QuantSdk.Runtime.Tests;

[TestClass]
public sealed class CachedDenoiserTests
{
    private const int Steps = 8, Rows = 2, Length = 3;

    /// <summary>x ← x + (σ′ − σ)·v over levels from 1 to 1/8 and 0; the model is given timesteps over 1000.</summary>
    private static readonly Sampler Flow = Sampler.FromJson("""{ "_class_name": "FlowMatchEulerDiscreteScheduler" }""");

    private static readonly ModelTensor Latents = TorchRandom.Normal(3, Rows, Length), Text = TorchRandom.Normal(4, Rows, Length), Other = TorchRandom.Normal(5, Rows, Length);

    [TestMethod]
    [DataRow(false, 0.0, 1e-6)]
    [DataRow(false, 0.4, 1e-6)]
    [DataRow(false, 1.0, 1e-6)]
    [DataRow(true, 0.0, 5e-3)]
    [DataRow(true, 1.0, 5e-3)]
    public void Live_steps_read_the_last_full_steps_features(bool half, double extrapolation, double tolerance)
    {
        using var folder = ModelFolder.CachedTiny(half);
        using var model = QuantizedModel.Load(folder.Path);
        var schedule = CacheSchedule.Explicit(0, 2, 5);
        var images = new DiffusionPipeline(model, Flow) { Cache = extrapolation > 0 ? schedule.Extrapolated(extrapolation) : schedule }.Run(Latents, Prompt(Text, half), Steps).AsSpan<float>();
        Assert.IsLessThan(tolerance, Tensors.RelativeError(images, Reference(Latents, Text, [0, 2, 5], extrapolation)));
        Assert.IsGreaterThan(0.01, Tensors.RelativeError(images, Reference(Latents, Text, [.. Enumerable.Range(0, Steps)], 0)), "caching must be seen in the result");
        Assert.IsGreaterThan(0.01, Tensors.RelativeError(images, Reference(Latents, Text, [0, 2, 5], extrapolation > 0 ? 0 : 1)), "so must extrapolation");
    }

    [TestMethod]
    public void Every_step_full_is_the_uncached_run_bit_for_bit()
    {
        using var folder = ModelFolder.BlockCachedUnet();
        using var unet = QuantizedModel.Load(folder.Path);
        using var plain = ModelFolder.Unet();
        using var uncut = QuantizedModel.Load(plain.Path);
        var sampler = Sampler.FromConfig(TestData.Path("digits", "scheduler", "scheduler_config.json"));
        var prompt = new Conditioning(new Dictionary<string, ModelTensor>
        {
            ["encoder_hidden_states"] = TorchRandom.Normal(5, 1, 4, 64), ["text_embeds"] = TorchRandom.Normal(6, 1, 64), ["time_ids"] = ModelTensor.Create(new float[6], 1, 6),
        });
        var latents = TorchRandom.Normal(0, 1, 1, 32, 32);
        var once = new DiffusionPipeline(unet, sampler) { Cache = CacheSchedule.Every(1) }.Run(latents, prompt, 3).AsSpan<float>();
        Assert.IsTrue(once.SequenceEqual(new DiffusionPipeline(unet, sampler).Run(latents, prompt, 3).AsSpan<float>()));
        Assert.IsTrue(once.SequenceEqual(new DiffusionPipeline(uncut, sampler).Run(latents, prompt, 3).AsSpan<float>()));
        // Live on its own step's features is exact, too: full and live differ in what they compute, not in how.
        using var run = unet.CachedDenoiser(new CachePlan([false, false], false))!.Begin([1, 1, 32, 32], prompt.Batch(1, guided: false));
        latents.AsSpan<float>().CopyTo(run.Sample);
        var full = run.Predict(0, 500, default).ToArray();
        Assert.IsTrue(run.WasFull);
        Assert.IsTrue(full.AsSpan().SequenceEqual(run.Predict(1, 500, default)));
        Assert.IsFalse(run.WasFull);
    }

    [TestMethod]
    public void The_live_part_reads_the_full_models_memory()
    {
        using var folder = ModelFolder.CachedTiny();
        using var model = QuantizedModel.Load(folder.Path);
        var denoiser = model.CachedDenoiser(new CachePlan([true, false, false], false))!;
        ModelBinding full, live;
        using (var run = denoiser.Begin([Rows, Length], Inputs(Text)))
        {
            run.Predict(0, 0.5f, default);
            run.Predict(1, 0.5f, default);
            (full, live) = (run.Binding, run.Binding.Borrower(model.Live!));
            Assert.IsTrue(Unsafe.AreSame(in full.Output<float>(TinyOnnx.Deep)[0], in live.Input<float>(TinyOnnx.Deep)[0]));
            Assert.IsTrue(Unsafe.AreSame(in run.Sample[0], in live.Input<float>("sample")[0]));
            var allocated = GC.GetAllocatedBytesForCurrentThread();
            run.Predict(2, 0.5f, default);
            Assert.IsLessThan(1000, GC.GetAllocatedBytesForCurrentThread() - allocated);
        }
        using (var again = denoiser.Begin([Rows, Length], Inputs(Other)))
        {
            Assert.AreSame(full, again.Binding, "buffers of one shape are used again");
            Assert.AreSame(live, again.Binding.Borrower(model.Live!));
        }
        using var longer = denoiser.Begin([Rows, 5], Inputs(TorchRandom.Normal(4, Rows, 5)));
        longer.Predict(0, 0.5f, default);
        Assert.AreNotSame(live, longer.Binding.Borrower(model.Live!));
        Tensors.Refuses("QSDK7024", () => live.Run()); // went with the binding whose memory it read
    }

    [TestMethod]
    public void Another_prompt_shape_or_run_starts_fresh()
    {
        using var folder = ModelFolder.CachedTiny();
        using var model = QuantizedModel.Load(folder.Path);
        var pipeline = new DiffusionPipeline(model, Flow) { Cache = CacheSchedule.Every(3).Extrapolated() };
        int[] full = [0, 3, 6];
        pipeline.Run(Latents, Prompt(Text), Steps);
        AssertIs(Reference(Latents, Other, full, 1), pipeline.Run(Latents, Prompt(Other), Steps));
        var (more, moreText) = (TorchRandom.Normal(8, 5, Length), TorchRandom.Normal(9, 5, Length));
        AssertIs(Reference(more, moreText, full, 1), pipeline.Run(more, Prompt(moreText), Steps));
        AssertIs(Reference(Latents, Text, full, 1), pipeline.Run(Latents, Prompt(Text), Steps));
        // A run that was broken off leaves nothing behind either.
        using var cancellation = new CancellationTokenSource();
        var broken = new Direct(progress =>
        {
            if (progress.Step == 5)
                cancellation.Cancel();
        });
        Assert.ThrowsExactly<OperationCanceledException>(() => pipeline.Run(Latents, Prompt(Text), Steps, 1, broken, cancellation.Token));
        AssertIs(Reference(Latents, Other, full, 1), pipeline.Run(Latents, Prompt(Other), Steps));
    }

    [TestMethod]
    public void The_first_evaluation_is_full_wherever_a_run_begins()
    {
        using var folder = ModelFolder.CachedTiny();
        using var model = QuantizedModel.Load(folder.Path);
        using var run = model.CachedDenoiser(new CachePlan([true, false, false, true], false))!.Begin([Rows, Length], Inputs(Text));
        CollectionAssert.AreEqual(new[] { true, false, true }, new[] { 1, 2, 3 }.Select(step => { run.Predict(step, 0.5f, default); return run.WasFull; }).ToArray());
    }

    [TestMethod]
    public void Evaluations_of_one_step_are_full_or_live_together()
    {
        using var folder = ModelFolder.CachedTiny();
        using var model = QuantizedModel.Load(folder.Path);
        var plan = CachePlan.Of(CacheSchedule.Every(2).Extrapolated(), 4, null);
        CollectionAssert.AreEqual(new[] { true, false, true, false }, plan.Full.ToArray());
        using var run = model.CachedDenoiser(plan)!.Begin([1, 1], new Dictionary<string, ModelTensor> { ["text"] = ModelTensor.Create([1f], 1, 1) });
        var full = new List<bool>();
        var predictions = new List<float>();
        // Two evaluations a step, the last has one: Heun.
        for (var evaluation = 0; evaluation < 7; evaluation++)
        {
            run.Sample[0] = 10 * (evaluation + 1);
            predictions.Add(run.Predict(evaluation / 2, 0, default)[0]); // at timestep 0 the prediction is the feature
            full.Add(run.WasFull);
        }
        CollectionAssert.AreEqual(new[] { true, true, false, false, true, true, false }, full);
        // The line goes through the last evaluations of steps 0 and 2: 20 and 60, half as far again is 80.
        CollectionAssert.AreEqual(new[] { 10f, 20, 20, 20, 50, 60, 80 }, predictions);
    }

    [TestMethod]
    public void Progress_tells_full_from_live_and_how_long_each_took()
    {
        using var folder = ModelFolder.CachedTiny();
        using var model = QuantizedModel.Load(folder.Path);
        var reports = new List<DiffusionProgress>();
        new DiffusionPipeline(model, Flow) { Cache = CacheSchedule.Every(3) }.Run(Latents, Prompt(Text), Steps, progress: new Direct(reports.Add));
        CollectionAssert.AreEqual(new[] { 1, 4, 7 }, reports.Where(report => report.Full).Select(report => report.Step).ToArray());
        Assert.HasCount(Steps, reports);
        Assert.IsTrue(reports.All(report => report.Duration > TimeSpan.Zero));
        Assert.IsLessThanOrEqualTo(reports[^1].Elapsed, reports.Aggregate(TimeSpan.Zero, (sum, report) => sum + report.Duration));
    }

    [TestMethod]
    public void Guidance_runs_both_halves_on_their_own_features()
    {
        using var folder = ModelFolder.CachedTiny();
        using var model = QuantizedModel.Load(folder.Path);
        var guided = new DiffusionPipeline(model, Flow) { Cache = CacheSchedule.Every(3) }
            .Run(Latents, new Conditioning(Inputs(Text), Inputs(Other)), Steps, 2f);
        // The tiny model is linear in its text: guiding the prediction is guiding the text.
        var text = ModelTensor.Create([.. Other.AsSpan<float>().ToArray().Zip(Text.AsSpan<float>().ToArray(), (u, c) => u + 2 * (c - u))], Rows, Length);
        AssertIs(Reference(Latents, text, [0, 3, 6], 0), guided);
    }

    [TestMethod]
    public void Caching_without_a_live_part_is_refused()
    {
        using var folder = ModelFolder.Of(TestData.Path("digits", "unet.onnx"), ModelFolder.UnetRoles);
        using var unet = QuantizedModel.Load(folder.Path);
        Assert.Contains("built without Cache", Tensors.Refuses("QSDK7051", () => new DiffusionPipeline(unet, Flow) { Cache = CacheSchedule.Every(2) }.Run(Latents, Conditioning.None, 2)).Message);
        Tensors.Refuses("QSDK7051", () => new DiffusionPipeline(new FakeDenoiser((_, _, _) => 0), Flow) { Cache = CacheSchedule.Every(2) }.Run(Latents, Conditioning.None, 2));
        using var tiny = ModelFolder.CachedTiny();
        using var model = QuantizedModel.Load(tiny.Path);
        Tensors.Refuses("QSDK7051", () => new DiffusionPipeline(model, Flow) { Cache = CacheSchedule.Built() }.Run(Latents, Prompt(Text), Steps));
    }

    [TestMethod]
    public void A_built_schedule_is_the_manifests()
    {
        using var folder = ModelFolder.CachedTiny();
        folder.Write(folder.Read() with { Cache = new CacheInfo("tensor:deep", [new(Steps, [0, 1, 6], 0.1)]) });
        using var model = QuantizedModel.Load(folder.Path);
        AssertIs(Reference(Latents, Text, [0, 1, 6], 0), new DiffusionPipeline(model, Flow) { Cache = CacheSchedule.Built() }.Run(Latents, Prompt(Text), Steps));
    }

    [TestMethod]
    public void A_built_schedule_extrapolates_as_the_build_found_best_unless_told_otherwise()
    {
        using var folder = ModelFolder.CachedTiny();
        folder.Write(folder.Read() with { Cache = new CacheInfo("tensor:deep", [new(Steps, [0, 1, 6], 0.1, 0.5), new(Steps, [0, 2], 0.1)]) });
        using var model = QuantizedModel.Load(folder.Path);
        foreach (var (schedule, full, strength) in ((CacheSchedule, int[], double)[])
            [(CacheSchedule.Built(3), [0, 1, 6], 0.5), (CacheSchedule.Built(3).Extrapolated(0), [0, 1, 6], 0), (CacheSchedule.Built(3).Extrapolated(), [0, 1, 6], 1), (CacheSchedule.Built(4), [0, 2], 0)])
            AssertIs(Reference(Latents, Text, full, strength), new DiffusionPipeline(model, Flow) { Cache = schedule }.Run(Latents, Prompt(Text), Steps));
    }

    [TestMethod]
    public void The_cached_tensors_are_no_outputs_of_the_model()
    {
        using var folder = ModelFolder.CachedTiny();
        using var model = QuantizedModel.Load(folder.Path);
        Assert.AreEqual("y", string.Join(' ', model.Outputs.Select(output => output.Name)));
        CollectionAssert.AreEqual(new[] { "y" }, model.Run(new Dictionary<string, ModelTensor>(Inputs(Text)) { ["sample"] = Latents, ["timestep"] = ModelTensor.Create([0f], 1) }).Keys.ToArray());
    }

    [TestMethod]
    public void The_live_part_is_verified_as_the_model_is()
    {
        using var folder = ModelFolder.CachedTiny();
        var manifest = folder.Read();
        var variant = manifest.Variants[0];
        Change(cache => cache with { Live = "cpu/none.onnx" });
        Tensors.Refuses("QSDK7003", () => QuantizedModel.Load(folder.Path));
        Change(cache => cache with { Live = "../live.onnx" });
        Tensors.Refuses("QSDK7005", () => QuantizedModel.Load(folder.Path));
        Change(cache => cache with { Tensors = [new TensorInfo("deeper", "float", [])] });
        Tensors.Refuses("QSDK7010", () => QuantizedModel.Load(folder.Path));
        Change(cache => cache with { Optimised = new OptimisedModel("cpu/live.optimised.onnx", "1", "none") }); // of another time: not looked at
        QuantizedModel.Load(folder.Path).Dispose();
        Change(cache => cache);
        var bytes = File.ReadAllBytes(folder.File("cpu/live.onnx"));
        bytes[^3] ^= 1;
        File.WriteAllBytes(folder.File("cpu/live.onnx"), bytes);
        Assert.AreEqual(folder.File("cpu/live.onnx"), Tensors.Refuses("QSDK7007", () => QuantizedModel.Load(folder.Path)).File);
        // The whole model in the live part's place lacks the features among its inputs.
        File.Copy(folder.File("cpu/model.onnx"), folder.File("cpu/live.onnx"), overwrite: true);
        folder.Change(_ => variant with { Files = [folder.Describe("cpu/model.onnx"), folder.Describe("cpu/model.data"), folder.Describe("cpu/live.onnx")] });
        Assert.Contains("inputs of the live part", Tensors.Refuses("QSDK7010", () => QuantizedModel.Load(folder.Path)).Message);

        void Change(Func<CachedVariant, CachedVariant> change) => folder.Change(_ => variant with { Cache = change(variant.Cache!) });
    }

    [TestMethod]
    public void An_optimised_model_runs_with_an_optimised_live_part_or_not_at_all()
    {
        var here = (Version: ModelSession.OnnxRuntimeVersion, Cpu: CpuFeatures.Current);
        var optimised = new OptimisedModel("cpu/model.optimised.onnx", here.Version, here.Cpu);
        Assert.IsTrue(Select(new OptimisedModel("cpu/live.optimised.onnx", here.Version, here.Cpu)).Optimised);
        Assert.IsFalse(Select(null).Optimised);
        Assert.IsFalse(Select(new OptimisedModel("cpu/live.optimised.onnx", here.Version, "another")).Optimised);

        ModelSelection Select(OptimisedModel? live)
        {
            using var folder = ModelFolder.CachedTiny();
            folder.Change(variant => variant with { Optimised = optimised, Cache = variant.Cache! with { Optimised = live } });
            return VariantSelector.Select(folder.Read(), "manifest.json", here.Version, here.Cpu, _ => default).Selection;
        }
    }

    private static Dictionary<string, ModelTensor> Inputs(ModelTensor text) => new() { ["text"] = text };

    private static Conditioning Prompt(ModelTensor text, bool half = false) =>
        new(Inputs(half ? ModelTensor.Create(Array.ConvertAll(text.AsSpan<float>().ToArray(), value => (Half)value), [.. text.Shape]) : text));

    private static void AssertIs(float[] expected, ModelTensor actual) => Assert.IsLessThan(1e-6, Tensors.RelativeError(actual.AsSpan<float>(), expected));

    /// <summary>The tiny model, the sampler and the cache in scalar arithmetic; σ = 1, … 1/8, 0 are timesteps over 1000.</summary>
    private static float[] Reference(ModelTensor latents, ModelTensor text, int[] full, double strength)
    {
        var schedule = Flow.Schedule(Steps);
        return [.. latents.AsSpan<float>().ToArray().Select((start, i) =>
        {
            double x = start, last = 0, before = 0;
            for (var step = 0; step < Steps; step++)
            {
                var sofar = full.Where(f => f <= step).ToArray();
                if (sofar[^1] == step)
                    (before, last) = (last, x * text.AsSpan<float>()[i]);
                var deep = last;
                if (sofar.Length > 1)
                    deep += strength * (last - before) * (step - sofar[^1]) / (sofar[^1] - sofar[^2]);
                var v = deep - schedule.Timesteps[step] * 0.001 * x;
                x += ((double)schedule.Sigmas[step + 1] - schedule.Sigmas[step]) * v;
            }
            return (float)x;
        })];
    }

    private sealed class Direct(Action<DiffusionProgress> report) : IProgress<DiffusionProgress>
    {
        public void Report(DiffusionProgress value) => report(value);
    }
}
