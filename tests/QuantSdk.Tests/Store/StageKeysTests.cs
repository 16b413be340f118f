using System.Reflection;
using QuantSdk.Engines;
using QuantSdk.Recipes;

namespace QuantSdk.Tests.Store;

/// <summary>A change reruns what reads it and everything to its right, and nothing to its left.</summary>
[TestClass]
public sealed class StageKeysTests
{
    private static readonly BuildPlatform s_platform = new("1.29", "x64:avx2,fma,avx512f,avx512_vnni");
    private static readonly InputContents s_inputs = new("model", "encoder", "rows", "", "scheduler", null, []);
    private static readonly Recipe s_recipe = new() { Name = "m", Weights = "int8", Scheduler = "scheduler.json", CalibrationData = ["rows.npz"], Targets = ["cpu", "tensorrt-onnx"] };

    /// <summary>Every member of a recipe with the first stage that reads it, and another value; a file is read by its content, which has a test of its own.</summary>
    private static readonly (string Member, string Stage, Recipe Changed)[] s_members =
    [
        ("Schema", "none", s_recipe),
        ("Name", "none", s_recipe with { Name = "other" }),
        ("Precision", "calibration", s_recipe with { Precision = "none" }),
        ("Weights", "calibration", s_recipe with { Weights = "int4" }),
        ("Activations", "calibration", s_recipe with { Activations = "float" }),
        ("BlockSize", "calibration", s_recipe with { BlockSize = 32 }),
        ("WeightZeroPoint", "plan", s_recipe with { WeightZeroPoint = true }),
        ("Rounding", "plan", s_recipe with { Rounding = "nearest" }),
        ("CalibrationData", "none", s_recipe with { CalibrationData = ["elsewhere/rows.npz"] }),
        ("ValidationData", "calibration", s_recipe with { ValidationData = ["held.npz"] }),
        ("Scheduler", "none", s_recipe with { Scheduler = "elsewhere/scheduler.json" }),
        ("Steps", "calibration", s_recipe with { Steps = 7 }),
        ("GuidanceScale", "calibration", s_recipe with { GuidanceScale = 7 }),
        ("Seed", "calibration", s_recipe with { Seed = 7 }),
        ("ConditionedBy", "none", s_recipe with { ConditionedBy = "text" }),
        ("SampleInput", "calibration", s_recipe with { SampleInput = "x" }),
        ("TimestepInput", "calibration", s_recipe with { TimestepInput = "t" }),
        ("TimestepScale", "calibration", s_recipe with { TimestepScale = 0.001f }),
        ("Calibrator", "calibration", s_recipe with { Calibrator = "max" }),
        ("Percentile", "calibration", s_recipe with { Percentile = 99 }),
        ("Momentum", "calibration", s_recipe with { Momentum = 0.5 }),
        ("Timesteps", "calibration", s_recipe with { Timesteps = "0-100" }),
        ("Collect", "calibration", s_recipe with { Collect = "mean-max" }),
        ("CalibrationBatch", "calibration", s_recipe with { CalibrationBatch = 3 }),
        ("SmoothQuant", "plan", s_recipe with { SmoothQuant = "off" }),
        ("ConcatSplit", "calibration", s_recipe with { ConcatSplit = false }),
        ("BiasCorrection", "plan", s_recipe with { BiasCorrection = false }),
        ("Level", "calibration", s_recipe with { Level = 2 }),
        ("OptimizeFor", "plan", s_recipe with { OptimizeFor = "size" }),
        ("Costs", "none", s_recipe with { Costs = "elsewhere/m.costs.json" }),
        ("ExcludeModules", "calibration", s_recipe with { ExcludeModules = ["a"] }),
        ("Only", "calibration", s_recipe with { Only = ["a"] }),
        ("Targets", "engine", s_recipe with { Targets = ["cpu"] }),
        ("HighPrecision", "engine", s_recipe with { HighPrecision = "fp16" }),
        ("TensorRt", "engine", s_recipe with { Targets = ["tensorrt", "cpu", "tensorrt-onnx"], TensorRt = new() }),
        ("Portable", "engine", s_recipe with { Portable = false }),
        ("Prepacked", "engine", s_recipe with { Prepacked = false }),
        ("Cache", "calibration", s_recipe with { Cache = "blocks:1-4" }),
        ("CacheSpeedup", "calibration", s_recipe with { CacheSpeedup = 1.5 }),
        ("CacheQuality", "calibration", s_recipe with { CacheQuality = 0.1 }),
        ("ScheduleRows", "quality", s_recipe with { ScheduleRows = 0 }),
        ("Hoist", "engine", s_recipe with { Hoist = true }),
        ("MinSqnr", "none", s_recipe with { MinSqnr = 20 }),
        ("MinCosine", "none", s_recipe with { MinCosine = 0.9 }),
        ("MaxSize", "none", s_recipe with { MaxSize = 20 }),
        ("MinSpeedup", "none", s_recipe with { MinSpeedup = 1.1 }),
        ("OnEngineFailure", "none", s_recipe with { OnEngineFailure = "fallback" }),
        ("OnGateFailure", "none", s_recipe with { OnGateFailure = "warn" }),
    ];

    [TestMethod]
    public void Every_member_of_a_recipe_is_in_the_keys_from_the_stage_that_reads_it_on()
    {
        CollectionAssert.AreEquivalent(typeof(Recipe).GetProperties(BindingFlags.Public | BindingFlags.Instance).Select(p => p.Name).ToArray(), s_members.Select(m => m.Member).ToArray(), "a member without a stage");
        foreach (var (member, stage, changed) in s_members)
            Assert.AreEqual(stage, FirstChanged(Of(s_recipe), Of(changed)), member);
    }

    [TestMethod]
    public void Contents_count_and_paths_do_not()
    {
        Assert.AreEqual("calibration", FirstChanged(Of(s_recipe), Of(s_recipe, s_inputs with { Model = "other" })));
        Assert.AreEqual("calibration", FirstChanged(Of(s_recipe), Of(s_recipe, s_inputs with { Conditioner = "other" })));
        Assert.AreEqual("calibration", FirstChanged(Of(s_recipe), Of(s_recipe, s_inputs with { Calibration = "other" })));
        Assert.AreEqual("calibration", FirstChanged(Of(s_recipe), Of(s_recipe, s_inputs with { Scheduler = "other" })));
        Assert.AreEqual("quality", FirstChanged(Of(s_recipe), Of(s_recipe, s_inputs with { Validation = "other" })));
        Assert.AreEqual("plan", FirstChanged(Of(s_recipe), Of(s_recipe, s_inputs with { Costs = "other" })));
        Assert.AreEqual("none", FirstChanged(Of(s_recipe), Of(s_recipe, s_inputs with { External = ["/elsewhere/model.data"] })));
    }

    [TestMethod]
    public void A_target_more_reruns_that_target_alone_and_another_machine_what_is_made_for_it()
    {
        var (both, cpu) = (Of(s_recipe), Of(s_recipe with { Targets = ["cpu"] }));
        Assert.AreEqual(both.Plan, cpu.Plan);
        Assert.AreEqual(both.Engines["cpu"], cpu.Engines["cpu"]);
        Assert.AreNotEqual(both.Quality, cpu.Quality);
        // int4 has TensorRT's blocks, and positive scales, where that is a target.
        var int4 = s_recipe with { Weights = "int4", Activations = "float" };
        Assert.AreEqual("plan", FirstChanged(Of(int4), Of(int4 with { Targets = ["cpu"] })));
        // Without a cpu its costs say nothing.
        var exported = s_recipe with { Targets = ["tensorrt-onnx"] };
        // A plan is for one GPU and one version of TensorRT; the graph that it is made of is not.
        var tensorRt = s_recipe with { Targets = ["tensorrt", "cpu", "tensorrt-onnx"], TensorRt = new() };
        var (here, there) = (Of(tensorRt), StageKeys.Of(tensorRt, s_inputs, s_platform with { TensorRt = "10.13.3 L4" }));
        Assert.AreEqual("tensorrt", string.Join(',', here.Engines.Where(e => there.Engines[e.Key] != e.Value).Select(e => e.Key)));
        Assert.AreEqual("tensorrt", string.Join(',', here.Engines.Where(e => Of(tensorRt with { TensorRt = new() { Workspace = 64 } }).Engines[e.Key] != e.Value).Select(e => e.Key)));
        // What is slower in int8 on a CPU says nothing of a GPU: the graph for TensorRT is the same with and without a cpu beside it.
        Assert.AreEqual(Of(exported).Engines["tensorrt-onnx"], both.Engines["tensorrt-onnx"]);
        Assert.AreEqual("quality", FirstChanged(Of(exported), StageKeys.Of(exported, s_inputs, s_platform with { Cpu = "arm64:neon" })));
        Assert.AreEqual("plan", FirstChanged(Of(s_recipe), StageKeys.Of(s_recipe, s_inputs, s_platform with { Cpu = "arm64:neon" })));
        Assert.AreEqual("calibration", FirstChanged(Of(s_recipe), StageKeys.Of(s_recipe, s_inputs, s_platform with { OnnxRuntime = "1.30" })));
        // What is chosen by quality is a function of the gates.
        var auto = s_recipe with { Precision = "auto", MinSqnr = 20 };
        Assert.AreEqual("engine", FirstChanged(Of(auto), Of(auto with { MinSqnr = 30 })));
    }

    private static StageKeys Of(Recipe recipe, InputContents? inputs = null) => StageKeys.Of(recipe, inputs ?? s_inputs, s_platform);

    /// <summary>The first stage with another key; every one to its right must have another as well.</summary>
    private static string FirstChanged(StageKeys a, StageKeys b)
    {
        (string Stage, bool Changed)[] stages =
        [
            ("calibration", a.Calibration != b.Calibration), ("plan", a.Plan != b.Plan), ("rounding", a.Rounding != b.Rounding),
            ("engine", a.Engines.Count != b.Engines.Count || a.Engines.Any(e => b.Engines.GetValueOrDefault(e.Key) != e.Value)), ("quality", a.Quality != b.Quality), ("model", a.Model != b.Model),
        ];
        var first = Array.FindIndex(stages, s => s.Changed);
        if (first >= 0)
            Assert.IsTrue(stages[first..].All(s => s.Changed), $"changed: {string.Join(", ", stages.Where(s => s.Changed).Select(s => s.Stage))}");
        // int8 has no rounding of its own: its key is the plan's.
        return first < 0 ? "none" : stages[first].Stage;
    }
}
