using QuantSdk.Caching;
using QuantSdk.Onnx;
using QuantSdk.Onnx.Upgrading;
using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;
using QuantSdk.Tests.Onnx;

namespace QuantSdk.Tests.Caching;

[TestClass]
public sealed class CutTests
{
    private const string UNet = "unet", Mmdit = "mmdit";

    private static readonly Lazy<(OnnxModel Model, DiffusionRoles Roles)> s_unet = Prepared(Repository.Digits("unet.onnx")), s_mmdit = Prepared(Repository.Mmdit("transformer.onnx"));

    [TestMethod]
    [DataRow(UNet, "up_blocks.2", "/u/down_blocks.0/resnets.0/Div_output_0 /u/down_blocks.0/resnets.1/Div_output_0 /u/up_blocks.1/upsamplers.0/conv/Conv_output_0")]
    [DataRow(UNet, "cached:down_blocks;mid_block;up_blocks.0;up_blocks.1", "/u/down_blocks.0/resnets.0/Div_output_0 /u/down_blocks.0/resnets.1/Div_output_0 /u/up_blocks.1/upsamplers.0/conv/Conv_output_0")]
    [DataRow(UNet, "output:up_blocks.2.resnets.1", "/u/up_blocks.2/resnets.1/Div_output_0")]
    [DataRow(UNet, "tensor:/u/up_blocks.2/resnets.1/Div_output_0", "/u/up_blocks.2/resnets.1/Div_output_0")]
    [DataRow(UNet, "live:up_blocks.2.resnets.2", "/u/up_blocks.2/resnets.1/Div_output_0")]
    [DataRow(Mmdit, "blocks:1-4", "/u/transformer_blocks.4/Add_7_output_0_residual /u/transformer_blocks.4/Add_3_output_0_residual")]
    [DataRow(Mmdit, "blocks:1-5", "/u/transformer_blocks.5/Add_3_output_0_residual")]
    public void The_frontier_is_where_diffusers_modules_meet(string name, string cut, string expected)
    {
        var (model, roles) = Load(name);
        var found = Frontier.Find(model, roles, CacheCut.Parse(cut));
        CollectionAssert.AreEquivalent(expected.Split(' '), found.Select(c => c.Name).ToArray(), string.Join(' ', found.Select(c => c.Name)));
    }

    [TestMethod]
    [DataRow(UNet, "up_blocks.2", 0)]
    [DataRow(UNet, "output:up_blocks.2.resnets.1", 0)]
    [DataRow(UNet, "up_blocks.1", 0)]
    [DataRow(Mmdit, "blocks:1-4", 1e-5)]
    [DataRow(Mmdit, "blocks:0-4", 1e-5)]
    [DataRow(Mmdit, "blocks:0-5", 1e-5)]
    public void The_live_part_on_the_frontier_of_the_same_step_is_the_model(string name, string cut, double tolerance)
    {
        var (model, roles) = Load(name);
        var cached = CachedModel.Mark(model, roles, CacheCut.Parse(cut));
        var original = RandomRuns.Run(model.Proto);
        var inputs = RandomRuns.Inputs(model.Proto);
        var full = RandomRuns.Run(cached.Model.Proto, inputs);
        var live = cached.Live(cached.Model.Proto);
        var liveInputs = inputs.Concat(full.Where(o => cached.Tensors.Any(t => t.Name == o.Key))).ToDictionary();
        var again = RandomRuns.Run(live, liveInputs);
        foreach (var output in model.Graph.Output.Select(o => o.Name))
        {
            float[] a = RandomRuns.Floats(original[output]), b = RandomRuns.Floats(full[output]), c = RandomRuns.Floats(again[output]);
            Assert.IsLessThanOrEqualTo(tolerance, Error(a, b), "marking changes nothing");
            Assert.IsLessThanOrEqualTo(tolerance, Error(b, c));
        }
        Assert.HasCount(model.Graph.Output.Count, live.Graph.Output);
        Assert.IsLessThan(cached.Model.Graph.Node.Count, live.Graph.Node.Count);
        // The new sample flows in: other values give another output.
        var other = RandomRuns.Run(live, liveInputs.ToDictionary(i => i.Key, i => i.Key == roles.Sample ? Negated(i.Value) : i.Value));
        CollectionAssert.AreNotEqual(RandomRuns.Floats(again[model.Graph.Output[0].Name]), RandomRuns.Floats(other[model.Graph.Output[0].Name]));
    }

    [TestMethod]
    public void New_inputs_have_the_observed_shape_and_the_models_batch()
    {
        var (model, roles) = Load(UNet);
        var cached = CachedModel.Mark(model, roles, CacheCut.Parse("up_blocks.2"));
        var input = cached.Live(cached.Model.Proto).Graph.Input.Single(i => i.Name == "/u/down_blocks.0/resnets.1/Div_output_0").Type.TensorType;
        Assert.AreEqual((int)TensorProto.Types.DataType.Float, input.ElemType);
        // conv_in sets the width of the first level; nothing there changes the size of the image.
        var width = model.Graph.Initializer.Single(t => t.Name == model.Graph.Node.Single(n => n.Name == "/u/conv_in/Conv").Input[1]).Dims[0];
        Assert.AreEqual($"batch {width} 32 32", string.Join(' ', input.Shape.Dim.Select(d => d.HasDimParam ? d.DimParam : d.DimValue.ToString(System.Globalization.CultureInfo.InvariantCulture))));
    }

    [TestMethod]
    public void Shapes_of_what_is_too_large_to_run_are_inferred()
    {
        var original = OnnxFile.Load(Repository.Digits("unet.onnx"));
        string[] tensors = ["/u/up_blocks.1/upsamplers.0/conv/Conv_output_0", "/u/down_blocks.0/resnets.1/Div_output_0", "sample"];
        var run = SeenShapes.Of(original.Proto, tensors, [2, 3])!;
        var inferred = SeenShapes.Of(original.Proto, tensors, [2, 3], largestRun: 0)!;
        for (var i = 0; i < run.Count; i++)
        {
            foreach (var tensor in tensors)
                Assert.AreEqual($"{run[i][tensor].DataType} {run[i][tensor].Dims}", $"{inferred[i][tensor].DataType} {inferred[i][tensor].Dims}");
        }
        Assert.AreEqual(3, inferred[1][tensors[0]].Dims[0]);
    }

    [TestMethod]
    public void The_live_part_holds_no_cached_module()
    {
        var (model, roles) = Load(UNet);
        var cached = CachedModel.Mark(model, roles, CacheCut.Parse("up_blocks.2"));
        var live = cached.Live(cached.Model.Proto).Graph;
        Assert.IsFalse(live.Node.Any(n => n.OpType is "Conv" && !n.Name.Contains("/up_blocks.2/", StringComparison.Ordinal) && n.Name is not ("/u/conv_in/Conv" or "/u/conv_out/Conv")));
        Assert.IsTrue(live.Node.Any(n => n.Name == "/u/conv_in/Conv") && live.Node.Any(n => n.Name.Contains("/time_embedding/", StringComparison.Ordinal)));
        Assert.IsLessThan(model.Graph.Initializer.Sum(t => t.RawData.Length) / 4, live.Initializer.Sum(t => t.RawData.Length));
    }

    [TestMethod]
    [DataRow(UNet, "up_block.2", "QSDK1023", "'up_blocks.2'")]
    [DataRow(UNet, "output:up_blocks.2.resnet.1", "QSDK1023", "up_blocks.2.resnets.1")]
    [DataRow(UNet, "tensor:/u/up_blocks.2/resnets.1/Div_output_1", "QSDK3061", "/u/up_blocks.2/resnets.1/Div_output_0")]
    [DataRow(UNet, "output:time_embedding", "QSDK3062", "sample")]
    [DataRow(UNet, "tensor:/u/up_blocks.2/resnets.1/Div_output_0;/u/up_blocks.1/upsamplers.0/conv/Conv_output_0", "QSDK3062", "upsamplers")]
    [DataRow(UNet, "output:up_blocks.2.resnets.2", "QSDK3063", "sample")]
    [DataRow(UNet, "tensor:noise_pred", "QSDK3063", "returns")]
    [DataRow(UNet, "cached:down_blocks;mid_block;up_blocks;conv_in", "QSDK3063", "sample")]
    [DataRow(UNet, "down_blocks", "QSDK3064", "nothing to cache")]
    [DataRow(Mmdit, "live:transformer_blocks.5", "QSDK3063", "sample")]
    [DataRow(Mmdit, "blocks:2-6", "QSDK3061", "0 to 5")]
    [DataRow(UNet, "blocks:0-1", "QSDK3065", "residual")]
    [DataRow(UNet, "alive:up_blocks.2", "QSDK3060", "cached:")]
    [DataRow(UNet, "blocks:3-1", "QSDK3060", "before")]
    [DataRow(UNet, "blocks:a-b", "QSDK3060", "I-J")]
    [DataRow(UNet, "tensor:", "QSDK3060", "nothing is named")]
    public void A_cut_that_cannot_be_is_refused(string name, string cut, string code, string says)
    {
        var (model, roles) = Load(name);
        var refusal = Assert.ThrowsExactly<QuantSdkException>(() => CachedModel.Mark(model, roles, CacheCut.Parse(cut)));
        Assert.AreEqual(code, refusal.Code, refusal.Message);
        StringAssert.Contains(refusal.Message, says, StringComparison.Ordinal);
    }

    private static double Error(float[] reference, float[] other) =>
        Math.Sqrt(reference.Zip(other, (x, y) => ((double)x - y) * ((double)x - y)).Sum() / reference.Sum(x => (double)x * x));

    private static ModelTensor Negated(ModelTensor tensor) => ModelTensor.Create([.. RandomRuns.Floats(tensor).Select(x => -x)], [.. tensor.Shape]);

    private static (OnnxModel Model, DiffusionRoles Roles) Load(string name) => (name == UNet ? s_unet : s_mmdit).Value;

    private static Lazy<(OnnxModel, DiffusionRoles)> Prepared(string file) => new(() =>
    {
        var recipe = new Recipe { Name = "x" };
        var original = OnnxFile.Load(file);
        return (Simplification.Simplify(Intake.Prepare(original, recipe)), Roles.Find(original, recipe)!);
    });
}
