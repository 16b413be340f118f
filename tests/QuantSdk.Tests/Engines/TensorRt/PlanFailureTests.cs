using QuantSdk.Engines.TensorRt;
using QuantSdk.Onnx;
using QuantSdk.Runtime;
using QuantSdk.TrtExecStandIn;

namespace QuantSdk.Tests.Engines.TensorRt;

/// <summary>Whatever goes wrong is a coded error that names it, the plan is as it was before, and nothing is left beside it.</summary>
[TestClass]
public sealed class PlanFailureTests
{
    /// <summary>Failure, code, what the message names, whether it names the node conv_in.</summary>
    private static readonly (string Failure, string Code, string Says, bool Node)[] s_failures =
    [
        ("no-gpu", "QSDK4032", "no CUDA-capable device", false),
        ("no-devices", "QSDK4032", "Cannot find any available devices", false),
        ("assertion", "QSDK4041", "Assertion failure: lib.getHandle()", false),
        ("bad-node", "QSDK4034", "the axes must be constant", true),
        ("unknown-operator", "QSDK4034", "no operator 'Relu'", true),
        ("zero-point", "QSDK4038", "zero point", true),
        ("negative-scale", "QSDK4038", "Scale coefficients must all be positive", true),
        ("no-implementation", "QSDK4036", "no kernel for 'conv_in + (Unnamed Layer* 7) [Activation]'", true),
        ("out-of-memory", "QSDK4035", "memory", true),
        ("killed", "QSDK4039", "SIGKILL", false),
        ("crash", "QSDK4039", "was ended by SIG", false),
        ("disk-full", "QSDK4046", "No space left on device", false),
        ("empty-plan", "QSDK4043", "empty plan", false),
        ("cut-plan", "QSDK4043", "20 bytes", false),
        ("no-plan", "QSDK4043", "no plan", false),
        ("not-a-plan", "QSDK4043", "does not begin as a plan", false),
        ("other-version", "QSDK4044", "LD_LIBRARY_PATH", false),
        ("no-last-line", "QSDK4040", "did not say PASSED", false),
        ("passed-and-failed", "QSDK4041", "status 1", false),
        ("no-device-lines", "QSDK4045", "which GPU", false),
        ("load-other-version", "QSDK4042", "cannot be loaded where it was built", false),
        ("load-other-gpu", "QSDK4042", "incompatible device", false),
    ];

    public static IEnumerable<object?[]> Failures => s_failures.SelectMany((f, i) => Families(f.Failure).Select((v, j) => (object?[])[f.Failure, v, f.Code, f.Says, f.Node, (i + j) % 2 == 0 ? null : "an older plan"]));

    [TestMethod]
    [DynamicData(nameof(Failures))]
    public void A_run_that_fails(string failure, string family, string code, string says, bool node, string? before)
    {
        using var plan = new PlanCase(family, failure);
        plan.Options = plan.Options with { MeasureEngine = failure.StartsWith("load", StringComparison.Ordinal), LayerInfo = true };
        if (before is not null)
            File.WriteAllText(plan.Request.Plan, before);
        var thrown = Assert.ThrowsExactly<QuantSdkException>(() => plan.Build());
        Assert.AreEqual(code, thrown.Code, thrown.Message);
        StringAssert.Contains(thrown.Message, says);
        Assert.AreEqual(node ? "conv_in" : null, thrown.Node);
        Assert.AreEqual("/home/user/unet.onnx", thrown.File);
        StringAssert.Contains(thrown.Message, plan["obj/unet.trtexec.log"]);
        Assert.AreEqual(before, File.Exists(plan.Request.Plan) ? File.ReadAllText(plan.Request.Plan) : null);
        Assert.HasCount(before is null ? 0 : 1, plan.Left(), string.Join(' ', plan.Left()));
        CollectionAssert.AreEqual((string[])["unet.trtexec.log"], Directory.GetFiles(plan["obj"]).Select(Path.GetFileName).ToArray());
        Assert.HasCount(0, Directory.GetFiles(plan["locks"]), "the lock is not given back");
        if (failure == "out-of-memory")
            Assert.IsTrue(plan.Log.Warnings.Any(w => w.Code == "QSDK4051" && w.Message.Contains("300 times", StringComparison.Ordinal)), "300 warnings are not one");
    }

    [TestMethod]
    public void After_a_failure_the_next_build_is_as_if_nothing_had_been()
    {
        using var plan = new PlanCase(failure: "killed");
        Assert.ThrowsExactly<QuantSdkException>(() => plan.Build());
        plan.Fail(null);
        plan.Build();
        Assert.AreEqual("model.plan", plan.Left().Single());
    }

    [TestMethod]
    [DataRow("load-out-of-memory"), DataRow("no-figures")]
    public void A_run_that_only_measures_may_fail(string failure)
    {
        using var plan = new PlanCase(failure: failure);
        plan.Options = plan.Options with { MeasureEngine = true };
        Assert.IsNull(plan.Build().Performance);
        Assert.AreEqual(1, plan.Log.Warnings.Count(w => w.Code == "QSDK4054"));
        Assert.HasCount(1, plan.Left());
    }

    [TestMethod]
    public void A_timing_cache_that_cannot_be_written_is_a_warning()
    {
        using var plan = new PlanCase(failure: "cache-not-written");
        plan.Build();
        Assert.AreEqual(1, plan.Log.Warnings.Count(w => w.Code == "QSDK4052"));
    }

    [TestMethod]
    public void A_GPU_that_is_not_there()
    {
        using var plan = new PlanCase();
        plan.Options = plan.Options with { GpuDevice = 3 };
        var thrown = Assert.ThrowsExactly<QuantSdkException>(() => plan.Build());
        Assert.AreEqual("QSDK4032", thrown.Code);
        StringAssert.Contains(thrown.Message, "Cannot find device ID 3");
    }

    [TestMethod]
    public void A_program_that_cannot_be_started_any_longer()
    {
        using var plan = new PlanCase();
        File.WriteAllText(Path.Combine(plan.Bin, "trtexec"), "neither a script nor a program");
        Assert.AreEqual("QSDK4022", Assert.ThrowsExactly<QuantSdkException>(() => plan.Build()).Code);
        File.Delete(Path.Combine(plan.Bin, "trtexec"));
        Assert.AreEqual("QSDK4022", Assert.ThrowsExactly<QuantSdkException>(() => plan.Build()).Code);
        Assert.HasCount(0, plan.Left());
    }

    [TestMethod]
    public void A_folder_that_cannot_be_written_to()
    {
        using var plan = new PlanCase();
        plan.Request = plan.Request with { Plan = Path.Combine(plan.Out, "model.plan") };
        Directory.CreateDirectory(plan.Request.Plan);
        var thrown = Assert.ThrowsExactly<QuantSdkException>(() => plan.Build());
        Assert.AreEqual("QSDK4046", thrown.Code);
        Assert.HasCount(1, plan.Left(), "the temporary plan");
    }

    [TestMethod]
    public void A_model_that_is_no_model()
    {
        using var plan = new PlanCase();
        File.WriteAllText(plan.Request.Model, "no model");
        Assert.AreEqual("QSDK4034", Assert.ThrowsExactly<QuantSdkException>(() => plan.Build()).Code);
    }

    [TestMethod]
    public void Options_that_a_version_lacks_are_refused_by_it_with_our_code()
    {
        using var plan = new PlanCase("9.3");
        // As if the table of options were wrong.
        var mistaken = plan.TrtExec with { Version = new TensorRtVersion(10, 13, 3) };
        plan.Options = plan.Options with { TrtExecArguments = ["--maxTactics=4"] };
        var thrown = Assert.ThrowsExactly<QuantSdkException>(() => PlanBuilder.Build(mistaken, plan.Settings, plan.Options, plan.Request, plan.Log, default));
        Assert.AreEqual("QSDK4033", thrown.Code);
        StringAssert.Contains(thrown.Message, "Unknown option: --maxTactics 4");
    }

    [TestMethod]
    public void Shapes_that_do_not_fit_are_our_error_and_would_be_trtexecs()
    {
        using var plan = new PlanCase();
        plan.Options = plan.Options with { MinShapes = ["sample:1x4x64x64"], OptShapes = ["sample:1x4x64x64"], MaxShapes = ["sample:1x5x64x64"] };
        Assert.AreEqual("QSDK4027", Assert.ThrowsExactly<QuantSdkException>(() => plan.Build()).Code);
        Assert.HasCount(0, plan.Runs, "trtexec was started for it");
        // A graph in memory that is not the file: trtexec says it then.
        plan.Request = plan.Request with { Graph = TrtModels.Model([("other", TensorProto.Types.DataType.Float, ["n", 3])]).Graph };
        plan.Options = plan.Options with { MinShapes = [], OptShapes = [], MaxShapes = [] };
        var thrown = Assert.ThrowsExactly<QuantSdkException>(() => PlanBuilder.Build(plan.TrtExec, plan.Settings, plan.Options, plan.Request, plan.Log, default));
        Assert.AreEqual("QSDK4037", thrown.Code, thrown.Message);
    }

    [TestMethod]
    [DataRow("conv_in", "conv_in"), DataRow("conv_in + relu_1", "conv_in"), DataRow("{ForeignNode[conv_in...Transpose_7 + (Unnamed Layer*)]}", "conv_in"), DataRow("PWN(/down/conv_in/act)", "conv_in"), DataRow("something else", null)]
    public void The_node_behind_a_layer(string layer, string? node)
    {
        var graph = new GraphProto();
        graph.Node.Add(Nodes.Create("Conv", "conv_in", ["x"], ["y"]));
        Assert.AreEqual(node, TrtExecFailure.NodeIn(layer, graph));
    }

    private static IEnumerable<string> Families(string failure) => failure switch
    {
        // Where the versions differ in what they say or leave.
        "no-gpu" or "no-implementation" or "load-other-version" => ["8.6", "9.3", "10.13", "11.1"],
        "zero-point" => ["10.0", "10.16"],
        "disk-full" or "out-of-memory" or "killed" => ["10.0", "10.13"],
        _ => ["10.13"],
    };
}
