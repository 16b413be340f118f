using System.Runtime.InteropServices;
using QuantSdk.Calibration;
using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Recipes;
using QuantSdk.Runtime;
using QuantSdk.Tests.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Calibration;

/// <summary>What the observers key by timestep, from rows of files and in denoising loops.</summary>
[TestClass]
public sealed class TimestepCalibrationTests
{
    private static readonly Recipe s_recipe = new() { Name = "test", Calibrator = "timestep" };

    [TestMethod]
    [DataRow(1)]
    [DataRow(3)]
    public void Rows_are_batched_by_their_timestep_and_seen_as_they_are(int batch)
    {
        using var folder = new TempFolder();
        using var observed = Scaled(folder, -1);
        var (x, t) = Rows(50, 8, seed: 3);
        var recipe = s_recipe with { CalibrationBatch = batch };
        var table = Calibrate(observed, RowSource.ByTimestep(Feed(observed, x, t, 8), observed.Session.Input("t")), recipe);
        Assert.AreEqual(50, table.Rows);
        // The rows of a timestep in their order, cut by hand, the product computed by hand.
        var low = new SortedDictionary<float, List<double>>();
        var high = new SortedDictionary<float, List<double>>();
        foreach (var step in t.Distinct())
        {
            foreach (var part in Enumerable.Range(0, 50).Where(row => t[row] == step).Chunk(batch))
            {
                var products = part.SelectMany(row => x[(row * 8)..(row * 8 + 8)].Select(v => v * step)).ToArray();
                (low.TryGetValue(step, out var l) ? l : low[step] = []).Add(Math.Min(0, products.Min()));
                (high.TryGetValue(step, out var h) ? h : high[step] = []).Add(Math.Max(0, products.Max()));
            }
        }
        var tensor = table["y"];
        CollectionAssert.AreEqual(low.Keys.ToArray(), tensor.Steps!.Select(s => s.Timestep).ToArray());
        foreach (var step in tensor.Steps!)
        {
            Assert.AreEqual(low[step.Timestep].Count, step.Batches);
            Assert.AreEqual(low[step.Timestep].Average(), step.Low, 1e-4);
            Assert.AreEqual(high[step.Timestep].Average(), step.High, 1e-4);
        }
        Assert.AreEqual(high.Values.Min(h => h.Average()), tensor.High, 1e-4);
    }

    [TestMethod]
    public void Neither_the_order_of_rows_nor_threads_change_a_bit()
    {
        using var folder = new TempFolder();
        using var observed = Scaled(folder, -1);
        // Wide enough that every batch is shared out among the threads.
        const int Width = 300_000;
        var (x, t) = Rows(12, Width, seed: 7);
        var recipe = s_recipe with { CalibrationBatch = 1 };
        var expected = QuantSdkJson.Write(Calibrate(observed, RowSource.ByTimestep(Feed(observed, x, t, Width), observed.Session.Input("t")), recipe, threads: 1));
        int[] order = [.. Enumerable.Range(0, 12)];
        new Random(1).Shuffle(order);
        float[] shuffledX = [.. order.SelectMany(row => x[(row * Width)..((row + 1) * Width)])], shuffledT = [.. order.Select(row => t[row])];
        Assert.AreEqual(expected, QuantSdkJson.Write(Calibrate(observed, RowSource.ByTimestep(Feed(observed, shuffledX, shuffledT, Width), observed.Session.Input("t")), recipe, threads: 2)));
    }

    [TestMethod]
    public void With_a_fixed_batch_no_timestep_is_mixed_and_no_row_lost()
    {
        using var folder = new TempFolder();
        using var observed = Scaled(folder, 4);
        float[] t = [5, 1, 5, 1, 5, 9, 5, 5];
        float[] x = [.. Enumerable.Range(1, 8).Select(i => (float)i)];
        var steps = Calibrate(observed, RowSource.ByTimestep(Feed(observed, x, t, 1), observed.Session.Input("t")), s_recipe with { Collect = "min-max" })["y"].Steps!;
        CollectionAssert.AreEqual(
            new[] { new StepRange(1, 0, 4, 4, 1), new StepRange(5, 0, 40, 40, 1), new StepRange(9, 0, 54, 54, 1) }, steps.ToArray());
    }

    [TestMethod]
    public void A_batch_that_is_run_in_parts_is_one_batch()
    {
        using var folder = new TempFolder();
        using var observed = Scaled(folder, -1);
        var (x, t) = Rows(40, 8, seed: 11);
        var source = RowSource.ByTimestep(Feed(observed, x, t, 8), observed.Session.Input("t"));
        var whole = QuantSdkJson.Write(Calibrate(observed, source, s_recipe, policy: (_, _) => new Batching(6, 6)));
        Assert.AreEqual(whole, QuantSdkJson.Write(Calibrate(observed, source, s_recipe, policy: (_, _) => new Batching(4, 6))));
        Assert.AreNotEqual(whole, QuantSdkJson.Write(Calibrate(observed, source, s_recipe, policy: (_, _) => new Batching(4, 4))));
    }

    [TestMethod]
    [DataRow("max", null, 200, 100, 100, DisplayName = "without averages all that fits is one batch")]
    [DataRow("ema", null, 100, 32, 32)]
    [DataRow("timestep", null, 64, 64, 64, DisplayName = "the rows of a step stay together")]
    [DataRow("timestep", null, 65, 32, 32, DisplayName = "too many rows of a step do not")]
    [DataRow("max", 7, 50, 7, 7)]
    [DataRow("ema", 7, 50, 7, 7)]
    public void Batch_sizes_come_from_the_recipe_and_else_from_a_fixed_rule(string calibrator, int? asked, int rows, int run, int calibrated)
    {
        using var folder = new TempFolder();
        using var observed = Scaled(folder, -1);
        // 200 rows of 200 000 floats are more than the budget of one run.
        var width = calibrator == "max" && asked is null ? 200_000 : 4;
        var (x, t) = Rows(rows, width, seed: 1);
        var batching = observed.Batches(s_recipe with { Calibrator = calibrator, CalibrationBatch = asked })(Feed(observed, x, t, width), null);
        Assert.AreEqual(new Batching(run, calibrated), batching);
    }

    /// <summary>The noise of a stochastic sampler's steps comes from the rows' seeds, so that a build is repeatable.</summary>
    [TestMethod]
    public void Sampling_with_a_stochastic_sampler_is_repeatable()
    {
        using var folder = new TempFolder();
        using var observed = ObservedModel.Open(OnnxFile.Load(Repository.Digits("unet.onnx")), ["sample", "noise_pred"], folder.Path, 2);
        var sampler = Sampler.FromJson("""{ "_class_name": "LCMScheduler" }""");
        var (first, second) = (Run(), Run());
        CollectionAssert.AreEqual(first.Steps!.ToArray(), second.Steps!.ToArray());
        Assert.HasCount(3, first.Steps!);

        TensorCalibration Run() => Calibrate(observed, Sampling(sampler, rows: 2, steps: 3, guidance: 1), s_recipe)["sample"];
    }

    [TestMethod]
    public void Sampling_keys_by_the_schedulers_timesteps()
    {
        using var folder = new TempFolder();
        var model = OnnxFile.Load(Repository.Digits("unet.onnx"));
        using var observed = ObservedModel.Open(model, ["sample", "noise_pred"], folder.Path, 2);
        var sampler = Sampler.FromConfig(Repository.Digits("scheduler/scheduler_config.json"));
        var source = Sampling(sampler, rows: 4, steps: 5, guidance: 2);
        float[] expected = [.. sampler.Schedule(5).Timesteps.Order()];
        CollectionAssert.AreEqual(expected, source.Timesteps.ToArray());
        var one = Calibrate(observed, source, s_recipe)["noise_pred"];
        CollectionAssert.AreEqual(expected, one.Steps!.Select(s => s.Timestep).ToArray());
        Assert.IsTrue(one.Steps!.All(s => s.Batches == 1), "both halves of guidance in one batch");
        Assert.AreEqual(one.Max, one.Steps!.Max(s => s.High));
        Assert.AreEqual(one.Min, one.Steps!.Min(s => s.Low));
        Assert.AreEqual(one.Steps!.Min(s => s.Amax), one.Amax);
        var three = Calibrate(observed, source, s_recipe with { CalibrationBatch = 3 })["noise_pred"];
        Assert.IsTrue(three.Steps!.All(s => s.Batches == 3), "8 rows a step: 3 + 3 + 2");
        for (var i = 0; i < 5; i++)
            Assert.IsLessThan(one.Steps![i].Amax, three.Steps![i].Amax, "a mean of maxima lies below the maximum");
    }

    [TestMethod]
    public void A_step_evaluated_twice_is_one_step()
    {
        using var folder = new TempFolder();
        using var observed = ObservedModel.Open(OnnxFile.Load(Repository.Digits("unet.onnx")), ["sample"], folder.Path, 2);
        var estimator = RangeEstimator.Create(s_recipe);
        var observers = new Observers(observed.Tensors, estimator, 2);
        var denoiser = new ObservedDenoiser(observed.Session, new DiffusionRoles("sample", "timestep", 1), observed.Batches(s_recipe), observers.Observe);
        using (var run = denoiser.Begin([2, 1, 32, 32], Conditioning(2).Batch(2, guided: false)))
        {
            // Heun's method: all steps but the last evaluate the model at their beginning and at their end, which the next begins with.
            foreach (var (i, timestep, value) in new[] { (0, 900f, 8f), (0, 500f, 4f), (1, 500f, 2f), (1, 100f, 1f) })
            {
                run.Sample.Fill(value);
                run.Predict(i, timestep, default);
            }
        }
        CollectionAssert.AreEqual(
            new[] { new StepRange(100, 0, 1, 1, 1), new StepRange(500, 0, 3, 3, 2), new StepRange(900, 0, 8, 8, 1) },
            observers.Finish("timestep", "unet")["sample"].Steps!.ToArray());
    }

    [TestMethod]
    public void Under_mse_the_range_of_the_sample_is_the_mean_of_its_steps()
    {
        using var folder = new TempFolder();
        using var observed = ObservedModel.Open(OnnxFile.Load(Repository.Digits("unet.onnx")), ["sample"], folder.Path, 2);
        var recipe = s_recipe with { Calibrator = "mse" };
        // 8, 3 (the larger of two) and 1.
        Assert.AreEqual(4f, Range(["sample"], [(900f, 8f), (500f, 2f), (500f, 3f), (100f, 1f)]).High);
        // What is no input has the range of all its values, as has an input of which no step is known.
        Assert.AreEqual(8f, Range([], [(900f, 8f), (500f, 2f), (500f, 3f), (100f, 1f)]).High);
        Assert.AreEqual(8f, Range(["sample"], [(null, 8f), (500f, 1f)]).High);

        TensorCalibration Range(string[] inputs, (float? Timestep, float Value)[] batches)
        {
            var observers = new Observers(observed.Tensors, RangeEstimator.Create(recipe), 2, inputs);
            using var binding = observed.Session.Bind(new Dictionary<string, long[]> { ["sample"] = [1, 1, 32, 32], ["timestep"] = [1], ["encoder_hidden_states"] = [1, 4, 64], ["text_embeds"] = [1, 64], ["time_ids"] = [1, 6] });
            for (var i = 0; i < batches.Length; i++)
            {
                binding.Input<float>("sample").Fill(batches[i].Value);
                observers.Observe(binding, 1, new BatchKey(i, batches[i].Timestep));
            }
            return observers.Finish("mse", "unet")["sample"];
        }
    }

    [TestMethod]
    public void A_timestep_scaled_for_the_model_is_the_key_that_rows_would_have()
    {
        var source = new SamplingSource(Sampler.FromConfig(Repository.Digits("scheduler/scheduler_config.json")), new DiffusionRoles("sample", "timestep", 0.001f), Conditioning(1), [1, 32, 32], 1, 4, 1, 0);
        CollectionAssert.AreEqual(Sampler.FromConfig(Repository.Digits("scheduler/scheduler_config.json")).Schedule(4).Timesteps.Select(t => (float)(t * (double)0.001f)).Order().ToArray(), source.Timesteps.ToArray());
    }

    [TestMethod]
    public void A_model_without_timesteps_and_a_selection_of_none_are_refused_before_anything_runs()
    {
        using var folder = new TempFolder();
        Assert.AreEqual("QSDK2010", Build("digits_cnn.onnx", new() { ["CalibrationData"] = "digits_calib.npz" }).Code);
        var none = Build("unet.onnx", new() { ["CalibrationData"] = "random", ["Scheduler"] = "scheduler/scheduler_config.json", ["Steps"] = "3", ["Timesteps"] = "2-300" });
        Assert.AreEqual("QSDK2011", none.Code);
        StringAssert.Contains(none.Message, string.Join(", ", Sampler.FromConfig(Repository.Digits("scheduler/scheduler_config.json")).Schedule(3).Timesteps.Order()));

        QuantSdkException Build(string model, Dictionary<string, string> metadata)
        {
            metadata["Calibrator"] = "timestep";
            return Assert.ThrowsExactly<QuantSdkException>(() => ModelBuilder.Build(
                new BuildRequest(model, Repository.Digits(model), Repository.Digits(""), folder["engine"], null, 2, metadata, null), new SilentLog(), default));
        }
    }

    /// <summary>y = x·t, a row of x for each t.</summary>
    private static ObservedModel Scaled(TempFolder folder, int rows)
    {
        var model = TestModels.Create(
            [TestModels.Input("x", DataType.Float, rows, -1), TestModels.Input("t", DataType.Float, rows, 1)], ["z"], [],
            Nodes.Create("Mul", "mul", ["x", "t"], ["y"]), Nodes.Create("Relu", "relu", ["y"], ["z"]));
        return ObservedModel.Open(TestModels.Reload(model, folder), ["y"], folder.Path, 2);
    }

    private static Feed Feed(ObservedModel observed, float[] x, float[] t, int width) => QuantSdk.Calibration.Feed.Fit(
        new Dictionary<string, NpyArray>
        {
            ["x"] = new(DataType.Float, [t.Length, width], MemoryMarshal.AsBytes(x.AsSpan()).ToArray(), "'x'"),
            ["t"] = new(DataType.Float, [t.Length, 1], MemoryMarshal.AsBytes(t.AsSpan()).ToArray(), "'t'"),
        }, observed.Session.Inputs, "scaled");

    private static (float[] X, float[] T) Rows(int rows, int width, int seed)
    {
        var random = new Random(seed);
        return (TestModels.Random(rows * width, seed), [.. Enumerable.Range(0, rows).Select(_ => (float)random.Next(1, 5) * 250)]);
    }

    private static SamplingSource Sampling(Sampler sampler, int rows, int steps, float guidance) =>
        new(sampler, new DiffusionRoles("sample", "timestep", 1), Conditioning(rows), [1, 32, 32], rows, steps, guidance, 0);

    private static Conditioning Conditioning(int rows)
    {
        using var encoder = ModelSession.Open(Repository.Digits("prompt_encoder.onnx"), new SessionSettings());
        return new Conditioning(Encode(3), Encode(10));

        Dictionary<string, ModelTensor> Encode(long label)
        {
            var outputs = encoder.Run(new Dictionary<string, ModelTensor> { ["label"] = ModelTensor.Create([.. Enumerable.Repeat(label, rows)], rows) });
            return outputs.Append(new("time_ids", ModelTensor.Create([.. Enumerable.Repeat((float[])[32, 32, 0, 0, 32, 32], rows).SelectMany(v => v)], rows, 6))).ToDictionary();
        }
    }

    private static CalibrationTable Calibrate(ObservedModel observed, CalibrationSource source, Recipe recipe, int threads = 2, BatchPolicy? policy = null)
    {
        var estimator = RangeEstimator.Create(recipe);
        estimator.Check(source, "test");
        var observers = new Observers(observed.Tensors, estimator, threads);
        source.Run(observed.Session, policy ?? observed.Batches(recipe), observers.Observe, null, default);
        return observers.Finish(recipe.Calibrator, "test");
    }
}
