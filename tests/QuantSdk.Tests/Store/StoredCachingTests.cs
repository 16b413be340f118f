using QuantSdk.Engines;
using QuantSdk.Store;

namespace QuantSdk.Tests.Store;

/// <summary>A denoiser that is calibrated by sampling, cut by measurement, hoisted and searched for schedules, stage by stage from the store.</summary>
[TestClass]
public sealed class StoredCachingTests
{
    [TestMethod]
    public void Cut_heads_and_schedules_come_back_as_they_were_made()
    {
        using var temp = new TempFolder();
        var made = Build(temp, "stored", true, ("ScheduleRows", "0"));
        Assert.AreEqual("built", made.Report.Stages!["calibration"]);
        Assert.IsNotEmpty(made.Report.Cache!.Candidates!);
        var schedules = Build(temp, "stored", true, ("ScheduleRows", "1"));
        var alone = Build(temp, "alone", false, ("ScheduleRows", "1"));
        Assert.AreEqual("calibration:store cpu:store model:built plan:store quality:built", string.Join(' ', schedules.Report.Stages!.Select(s => $"{s.Key}:{s.Value}")));
        AssertSame(temp, alone, schedules);
        var hit = Build(temp, "stored", true, ("ScheduleRows", "1"), ("MinSqnr", "-100"));
        Assert.AreEqual("store", hit.Report.Stages!["model"]);
        AssertSame(temp, alone, hit);
    }

    private static void AssertSame(TempFolder temp, BuildResult alone, BuildResult stored)
    {
        foreach (var file in alone.Manifest.Variants.SelectMany(v => v.Files))
            CollectionAssert.AreEqual(File.ReadAllBytes(temp["alone/" + file.Path]), File.ReadAllBytes(temp["stored/" + file.Path]), file.Path);
        Assert.AreEqual(QuantSdkJson.Write(alone.Manifest with { RecipeHash = "" }), QuantSdkJson.Write(stored.Manifest with { RecipeHash = "" }));
        Assert.AreEqual(alone.PlanJson, stored.PlanJson);
        CollectionAssert.AreEqual(alone.Report.Hoisted!.Tensors.ToArray(), stored.Report.Hoisted!.Tensors.ToArray());
        CollectionAssert.AreEqual(alone.Report.Cache!.Candidates!.Select(c => c.Cut).ToArray(), stored.Report.Cache!.Candidates!.Select(c => c.Cut).ToArray());
    }

    private static BuildResult Build(TempFolder temp, string output, bool store, params (string Key, string Value)[] metadata)
    {
        var all = new Dictionary<string, string>
        {
            ["CalibrationData"] = Repository.Mmdit("transformer_calib.npz"), ["Scheduler"] = Repository.Mmdit("scheduler/scheduler_config.json"), ["Steps"] = "4", ["ConditionedBy"] = "encoder",
            ["Cache"] = "auto", ["Hoist"] = "true", ["Prepacked"] = "false",
        };
        foreach (var (key, value) in metadata)
            all[key] = value;
        var settings = store ? new StoreSettings(temp["store"], null, StoreMode.ReadWrite, long.MaxValue, false) : null;
        return ModelBuilder.Build(
            new BuildRequest("m", Repository.Mmdit("transformer.onnx"), temp.Path, temp[output], null, 2, all, Repository.Mmdit("prompt_encoder.onnx"), settings), new SilentLog(), default);
    }
}
