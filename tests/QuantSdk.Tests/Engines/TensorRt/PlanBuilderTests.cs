using System.Text.Json;
using QuantSdk.Engines.TensorRt;
using QuantSdk.Onnx;
using QuantSdk.Runtime;
using QuantSdk.TrtExecStandIn;

namespace QuantSdk.Tests.Engines.TensorRt;

[TestClass]
public sealed class PlanBuilderTests
{
    public static IEnumerable<object[]> Families => StandInVersion.All.Select(v => (object[])[v.Family]);

    [TestMethod]
    [DynamicData(nameof(Families))]
    public void A_plan_of_each_version(string family)
    {
        using var plan = new PlanCase(family);
        plan.Options = plan.Options with { MeasureEngine = true, LayerInfo = true, BuilderOptimizationLevel = 4, Workspace = 4096 };
        var built = plan.Build();
        var version = StandInVersion.Of(family);
        Assert.AreEqual($"{version.Release}.{version.Build}", built.Version.ToString());
        Assert.AreEqual(("9.0", "NVIDIA H100 80GB HBM3"), (built.ComputeCapability, built.Gpu));
        Assert.AreEqual("model.plan", string.Join(' ', plan.Left()));
        Assert.AreEqual(new FileInfo(plan.Request.Plan).Length, built.Bytes);
        var range = built.Profiles.Single().Inputs.Single();
        Assert.AreEqual("sample 1,4,64,64 1,4,64,64 8,4,64,64", $"{range.Input} {string.Join(',', range.Min)} {string.Join(',', range.Opt)} {string.Join(',', range.Max)}");
        Assert.AreEqual(23.8436, built.Performance!.Throughput);
        Assert.HasCount(2, plan.Runs);
        CollectionAssert.Contains(plan.Runs[0].Arguments.ToArray(), "--onnx=" + plan.Request.Model);
        Assert.AreEqual(version.Major < 11, plan.Runs[1].Arguments.Contains("--noDataTransfers"));
        Assert.AreEqual("QSDK4050 unet: trtexec: example warning from the library", string.Join("\n", plan.Log.Warnings.Select(w => $"{w.Code} {w.Message}")));
        StringAssert.Contains(File.ReadAllText(plan["obj/unet.trtexec.log"]), "&&&& PASSED TensorRT.trtexec");
        using var layers = JsonDocument.Parse(File.ReadAllText(plan["obj/unet.layers.json"]));
        Assert.AreEqual(JsonValueKind.Object, layers.RootElement.GetProperty("Layers")[0].ValueKind, "layers without details");
        CollectionAssert.AreEqual((int[])[1, 2, 3, 4], plan.Log.Done.ToArray());
        Assert.Contains($"--saveEngine={plan.Request.Plan}", built.Arguments);
    }

    /// <summary>What trtexec makes of names that its grammar has signs for, through a process and against the model's own inputs.</summary>
    [TestMethod]
    public void Names_with_signs_and_several_profiles_reach_trtexec_as_they_are()
    {
        using var plan = new PlanCase(model: TrtModels.Model([("x:0", TensorProto.Types.DataType.Float, ["n", 3]), ("a b=c\"$(x)", TensorProto.Types.DataType.Float, ["n", "m"])]));
        plan.Options = plan.Options with { MinShapes = ["x:0:1x3,a*:1x1", "x:0:4x3,a*:4x1"], OptShapes = ["x:0:2x3,a*:2x1", "x:0:4x3,a*:4x5"], MaxShapes = ["x:0:3x3,a*:3x1", "x:0:9x3,a*:9x9"] };
        Assert.HasCount(2, plan.Build().Profiles);
        var log = File.ReadAllText(plan["obj/unet.trtexec.log"]);
        StringAssert.Contains(log, "Set shape of input tensor x:0 for optimization profile 1 to: MIN=4x3 OPT=4x3 MAX=9x3");
        StringAssert.Contains(log, "Set shape of input tensor a b=c\"$(x) for optimization profile 1 to: MIN=4x1 OPT=4x5 MAX=9x9");
    }

    [TestMethod]
    public void Plans_of_one_model_are_equal_and_the_timing_cache_is_shared()
    {
        using var plan = new PlanCase();
        plan.Build();
        var first = File.ReadAllBytes(plan.Request.Plan);
        plan.Build();
        CollectionAssert.AreEqual(first, File.ReadAllBytes(plan.Request.Plan));
        var cache = Directory.GetFiles(plan["cache"]).Single();
        Assert.AreEqual("10.13.3-unknown.timing", Path.GetFileName(cache));
        Assert.HasCount(3, File.ReadAllLines(cache), "the tag and a kernel of each run");
    }

    [TestMethod]
    public void A_damaged_timing_cache_is_made_anew()
    {
        using var plan = new PlanCase();
        var cache = PlanBuilder.TimingCache(plan["cache"], plan.TrtExec.Version, GpuIdentity.Of(0));
        Directory.CreateDirectory(plan["cache"]);
        File.WriteAllText(cache, "no timing cache");
        plan.Build();
        Assert.HasCount(2, plan.Runs);
        Assert.IsTrue(plan.Log.Warnings.Any(w => w.Code == "QSDK4052"));
        StringAssert.StartsWith(File.ReadAllText(cache), "stand-in timing cache");
    }

    [TestMethod]
    public void One_trtexec_at_a_time_on_a_GPU_unless_more_are_allowed()
    {
        foreach (var parallelism in (int[])[1, 2])
        {
            using var plan = new PlanCase(failure: "hang");
            plan.Settings = plan.Settings with { Parallelism = parallelism };
            var second = plan.Request with { Name = "vae", Plan = Path.Combine(plan.Out, "vae.plan") };
            var tasks = new[] { Task.Run(() => plan.Build()), Task.Run(() => PlanBuilder.Build(plan.TrtExec, plan.Settings, plan.Options, second, plan.Log, default)) };
            if (parallelism == 1)
                WaitUntil(() => plan.Log.Notices.Any(n => n.Contains("waits for another", StringComparison.Ordinal)) && plan.Runs.Count == 1);
            else
                WaitUntil(() => plan.Runs.Count == 2);
            File.WriteAllText(StandInTrtExec.Release(plan.Bin), "");
            Task.WaitAll(tasks);
            var runs = plan.Runs.OrderBy(r => r.Start).ToArray();
            Assert.HasCount(2, runs);
            Assert.AreEqual(parallelism == 1, runs[0].End < runs[1].Start, $"{runs[0]} {runs[1]}");
            Assert.HasCount(0, Directory.GetFiles(plan["locks"]));
        }
    }

    [TestMethod]
    public void A_cancelled_build_leaves_no_process_and_no_file()
    {
        using var plan = new PlanCase(failure: "hang");
        using var cancellation = new CancellationTokenSource();
        var task = Task.Run(() => plan.Build(cancellation.Token));
        WaitUntil(() => plan.Runs.Count == 1);
        var process = plan.Runs[0].Process;
        var child = 0;
        WaitUntil(() => (child = ChildOf(process)) > 0);
        cancellation.Cancel();
        Assert.ThrowsExactly<AggregateException>(task.Wait).Handle(e => e is OperationCanceledException);
        WaitUntil(() => !IsAlive(process) && !IsAlive(child));
        Assert.HasCount(0, plan.Left());
        Assert.HasCount(0, Directory.GetFiles(plan["locks"]));
    }

    [TestMethod]
    public void Waiting_for_the_GPU_can_be_cancelled()
    {
        using var plan = new PlanCase(failure: "hang");
        using var cancellation = new CancellationTokenSource();
        var first = Task.Run(() => plan.Build());
        WaitUntil(() => plan.Runs.Count == 1);
        var second = Task.Run(() => plan.Build(cancellation.Token));
        WaitUntil(() => plan.Log.Notices.Any(n => n.Contains("waits for", StringComparison.Ordinal)));
        cancellation.Cancel();
        Assert.ThrowsExactly<AggregateException>(second.Wait).Handle(e => e is OperationCanceledException);
        File.WriteAllText(StandInTrtExec.Release(plan.Bin), "");
        first.Wait();
        Assert.HasCount(1, plan.Runs);
    }

    [TestMethod]
    public void Both_pipes_are_read_however_much_comes()
    {
        using var plan = new PlanCase(failure: "flood");
        plan.Build();
        var warning = plan.Log.Warnings.Single(w => w.Message.Contains("5000 times", StringComparison.Ordinal));
        Assert.AreEqual("QSDK4050", warning.Code);
    }

    [TestMethod]
    public void A_child_that_keeps_the_pipes_open_is_not_waited_for()
    {
        using var plan = new PlanCase(failure: "leaves-child");
        plan.Build();
        Assert.HasCount(1, plan.Left());
    }

    [TestMethod]
    public void Many_kinds_of_warnings_are_counted()
    {
        using var plan = new PlanCase(failure: "many-warnings");
        plan.Build();
        Assert.HasCount(13, plan.Log.Warnings);
        StringAssert.Contains(plan.Log.Warnings.Last().Message, "19 more kinds");
    }

    [TestMethod]
    public void An_engine_without_weights_is_measured_where_trtexec_can_put_them_in()
    {
        foreach (var (family, flag, measured) in ((string, string, bool)[])[("9.3", "--weightless", false), ("10.13", "--stripWeights", false), ("10.16", "--stripWeights", true)])
        {
            using var plan = new PlanCase(family);
            plan.Options = plan.Options with { StripWeights = true, MeasureEngine = true };
            var built = plan.Build();
            CollectionAssert.Contains(plan.Runs[0].Arguments.ToArray(), flag);
            Assert.AreEqual(measured, built.Performance is not null, family);
            Assert.AreEqual(measured, plan.Log.Warnings.All(w => w.Code != "QSDK4054"), family);
        }
    }

    [TestMethod]
    public void A_newer_trtexec_than_is_known_is_told_the_same_with_a_warning()
    {
        using var plan = new PlanCase("11.1");
        var newer = plan.TrtExec with { Version = new TensorRtVersion(11, 4, 0) };
        // The stand-in's plan is of 11.1.
        var thrown = Assert.ThrowsExactly<QuantSdkException>(() => PlanBuilder.Build(newer, plan.Settings, plan.Options, plan.Request, plan.Log, default));
        Assert.AreEqual("QSDK4044", thrown.Code);
        Assert.AreEqual("QSDK4055", plan.Log.Warnings.First().Code);
    }

    internal static void WaitUntil(Func<bool> condition)
    {
        for (var i = 0; i < 1500 && !condition(); i++)
            Thread.Sleep(20);
        Assert.IsTrue(condition(), "it did not happen within 30 s");
    }

    private static int ChildOf(int process)
    {
        var children = $"/proc/{process}/task";
        return Directory.Exists(children) ? Directory.GetDirectories(children).Select(t => File.ReadAllText(Path.Combine(t, "children")).Trim()).Where(c => c.Length > 0).Select(c => int.Parse(c.Split(' ')[0], System.Globalization.CultureInfo.InvariantCulture)).FirstOrDefault() : 0;
    }

    /// <summary>A process that nobody has waited for yet is a zombie, which is as good as gone.</summary>
    private static bool IsAlive(int process)
    {
        try
        {
            return !File.ReadAllText($"/proc/{process}/stat").Contains(") Z ", StringComparison.Ordinal);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }
}
