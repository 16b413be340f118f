using QuantSdk.Engines;
using QuantSdk.Runtime;

namespace QuantSdk.Tests.Caching.Schedules;

[TestClass]
public sealed class BuiltSchedulesTests
{
    [TestMethod]
    public void A_build_with_a_scheduler_searches_schedules_that_the_app_then_runs()
    {
        const int steps = 12;
        using var folder = new TempFolder();
        var metadata = new Dictionary<string, string>
        {
            ["Precision"] = "none", ["Cache"] = "blocks:1-4", ["Scheduler"] = Repository.Mmdit("scheduler/scheduler_config.json"), ["Steps"] = $"{steps}", ["GuidanceScale"] = "2",
            ["CalibrationData"] = Repository.Mmdit("transformer_calib.npz"), ["ScheduleRows"] = "6",
        };
        var request = new BuildRequest("m", Repository.Mmdit("transformer.onnx"), folder.Path, folder["engine"], null, 2, metadata, Repository.Mmdit("prompt_encoder.onnx"));
        var result = ModelBuilder.Build(request, new SilentLog(), default);
        var schedules = result.Manifest.Cache!.Schedules;
        CollectionAssert.AreEqual(new[] { 4, 3 }, schedules.Select(s => s.Full.Count).ToArray()); // every 3rd and every 5th
        Assert.IsTrue(schedules.All(s => s.Steps == steps && s.Full[0] == 0 && s.Error > 0));
        Assert.IsLessThan(schedules[1].Error, schedules[0].Error);
        Assert.AreSame(schedules, result.Report.Cache!.Schedules);
        // In float the difference is that of features up to two steps old.
        Assert.IsInRange(5, 60, result.Manifest.Cache.Quality!.Single().SqnrDb);
        using var model = QuantizedModel.Load(folder["engine"], new QuantizedModelOptions { Threads = 2 });
        CollectionAssert.AreEqual(schedules[0].Full.ToArray(), CacheSchedule.Built(3).FullSteps(steps, model.Manifest.Cache).ToArray());

        // What the build promises is what the app finds, on the samples of the calibration.
        using var encoder = ModelSession.Open(Repository.Mmdit("prompt_encoder.onnx"), new SessionSettings());
        var prompts = new Conditioning(Encode([0, 1, 2, 3, 4, 5]), Encode([10]));
        var latents = TorchNoise.Rows(0, 1, 2, 3, 4, 5).Normal(6, 1, 32, 32);
        var sampler = Sampler.FromConfig(metadata["Scheduler"]);
        var uncached = new DiffusionPipeline(model, sampler).Run(latents, prompts, steps, 2).AsSpan<float>();
        var cached = new DiffusionPipeline(model, sampler) { Cache = CacheSchedule.Built(3) }.Run(latents, prompts, steps, 2).AsSpan<float>();
        var error = System.Numerics.Tensors.TensorPrimitives.Distance(cached, uncached) / System.Numerics.Tensors.TensorPrimitives.Norm(uncached);
        Assert.AreEqual(schedules[0].Error, error, 2e-3 * error);

        IReadOnlyDictionary<string, ModelTensor> Encode(long[] labels) => encoder.Run(new Dictionary<string, ModelTensor> { ["label"] = ModelTensor.Create(labels, labels.Length) });
    }
}
