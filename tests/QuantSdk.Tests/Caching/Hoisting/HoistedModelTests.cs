using QuantSdk.Caching.Hoisting;
using QuantSdk.Onnx;
using QuantSdk.Onnx.Upgrading;
using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;
using QuantSdk.Tests.Onnx;

namespace QuantSdk.Tests.Caching.Hoisting;

[TestClass]
public sealed class HoistedModelTests
{
    [TestMethod]
    public void The_frontier_is_the_last_arithmetic_without_the_sample()
    {
        var hoisted = HoistedModel.Of(ConditionedModel.Create(), ConditionedModel.Roles)!;
        Assert.AreEqual("time timestep, prompt prompt, sum both, deep both, key prompt, mask prompt", string.Join(", ", hoisted.Tensors.Select(t => $"{t.Name} {t.DependsOn}")));
        Assert.AreEqual("sum[-1,4] deep[-1,4]", string.Join(' ', hoisted.Infos(new(HeadDependence.Both, false)).Select(i => $"{i.Name}[{string.Join(',', i.Shape)}]")));
        var rest = hoisted.Rest(hoisted.Lowered).Graph;
        Assert.AreEqual("sample timestep text sum deep key mask", string.Join(' ', rest.Input.Select(i => i.Name)));
        Assert.IsTrue(rest.Node.Any(n => n.OpType == "Reshape" && n.Input[0] == "sum"), "what lays out anew stays");
        Assert.AreEqual("text", string.Join(' ', hoisted.Head(new(HeadDependence.Prompt, false)).Graph.Input.Select(i => i.Name)));
        Assert.AreEqual("sample timestep", string.Join(' ', hoisted.Head(new(HeadDependence.Timestep, false)).Graph.Input.Select(i => i.Name)), "the sample for its shape");
        Assert.AreEqual("time prompt", string.Join(' ', hoisted.Head(new(HeadDependence.Both, false)).Graph.Input.Select(i => i.Name).OrderDescending(StringComparer.Ordinal)), "what other heads have computed");
    }

    [TestMethod]
    public void What_only_full_steps_read_is_apart()
    {
        var hoisted = HoistedModel.Of(ConditionedModel.Create(), ConditionedModel.Roles, ConditionedModel.Live())!;
        Assert.AreEqual("deep", string.Join(' ', hoisted.Tensors.Where(t => t.OnlyFull).Select(t => t.Name)), "neither what live steps read nor what that is computed from");
        Assert.AreEqual("sum", string.Join(' ', hoisted.Of(new HeadPart(HeadDependence.Both, false)).Select(t => t.Name)));
        Assert.AreEqual("time prompt", string.Join(' ', hoisted.Head(new(HeadDependence.Both, true)).Graph.Input.Select(i => i.Name)));
        Assert.AreEqual("sample timestep text sum key", string.Join(' ', hoisted.Rest(ConditionedModel.Live()).Graph.Input.Select(i => i.Name)));
    }

    /// <summary>Kernels for weights of few bits round by how their work is divided among threads: a head that has one runs on as many as the whole model.</summary>
    [TestMethod]
    [DataRow("float", true)]
    [DataRow("dequantised", false)]
    [DataRow("few bits", false)]
    public void Heads_of_timesteps_run_on_one_thread_but_for_weights_of_few_bits(string weight, bool oneThread)
    {
        var model = ConditionedModel.Create();
        var graph = model.Graph;
        var product = graph.Node.Single(n => n.Input.Contains("w"));
        if (weight == "dequantised")
        {
            graph.Initializer.Remove(graph.Initializer.Single(t => t.Name == "w"));
            graph.Initializer.Add([Tensors.Create("w_q", (sbyte[])[1, 2, 3, 4], 1, ConditionedModel.Width), Tensors.Scalar("w_s", 0.1f)]);
            graph.Node.Insert(0, Nodes.Create("DequantizeLinear", "", ["w_q", "w_s"], ["w"]));
        }
        else if (weight == "few bits")
        {
            const int block = 16;
            graph.Initializer.Add([Tensors.Create("w_b", new byte[ConditionedModel.Width * block / 2], ConditionedModel.Width, 1, block / 2), Tensors.Create("w_s", (float[])[1, 2, 3, 4], ConditionedModel.Width)]);
            var few = Nodes.Create("MatMulNBits", "", ["column", "w_b", "w_s"], ["angle"]).With("K", 1L).With("N", (long)ConditionedModel.Width).With("bits", 4L).With("block_size", (long)block);
            few.Domain = "com.microsoft";
            graph.Node[graph.Node.IndexOf(product)] = few;
            model.OpsetImport.Add(new OperatorSetIdProto { Domain = "com.microsoft", Version = 1 });
        }
        var hoisted = HoistedModel.Of(model, ConditionedModel.Roles)!;
        Assert.IsTrue(hoisted.Tensors.Any(t => t.Name == "time"));
        Assert.AreEqual(oneThread, hoisted.OneThread(new(HeadDependence.Timestep, false)));
        Assert.IsTrue(hoisted.OneThread(new(HeadDependence.Both, false)), "it has no such weight");
        Assert.IsFalse(hoisted.OneThread(new(HeadDependence.Prompt, false)), "it is computed once a prompt, and may be large");
    }

    [TestMethod]
    [DataRow("unet")]
    [DataRow("mmdit")]
    public void Heads_and_rest_are_the_model_bit_for_bit(string name)
    {
        var original = OnnxFile.Load(name == "unet" ? Repository.Digits("unet.onnx") : Repository.Mmdit("transformer.onnx"));
        var recipe = new Recipe { Name = "m" };
        var roles = Roles.Find(original, recipe)!;
        var model = Simplification.Simplify(Intake.Prepare(original, recipe));
        var hoisted = HoistedModel.Of(model.Proto, roles)!;
        var inputs = RandomRuns.Inputs(model.Proto);
        var values = inputs.ToDictionary();
        foreach (var dependsOn in HeadDependence.All)
        {
            var head = hoisted.Head(new(dependsOn, false));
            Assert.IsEmpty(head.Graph.Input.Where(i => dependsOn == HeadDependence.Prompt ? i.Name == roles.Timestep : dependsOn == HeadDependence.Timestep && i.Name.Contains("encoder", StringComparison.Ordinal)));
            foreach (var (tensor, value) in RandomRuns.Run(head, values.Where(v => head.Graph.Input.Any(i => i.Name == v.Key)).ToDictionary()))
                values.Add(tensor, value);
        }
        var rest = hoisted.Rest(model.Proto);
        var output = model.Graph.Output[0].Name;
        CollectionAssert.AreEqual(
            RandomRuns.Floats(RandomRuns.Run(model.Proto, inputs)[output]), RandomRuns.Floats(RandomRuns.Run(rest, values.Where(v => rest.Graph.Input.Any(i => i.Name == v.Key)).ToDictionary())[output]));
        Assert.IsFalse(rest.Graph.Node.Any(n => n.Name.Contains("/time", StringComparison.Ordinal) && n.OpType is "Gemm" or "Sin"));
    }
}
