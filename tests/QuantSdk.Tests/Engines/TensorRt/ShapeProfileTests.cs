using QuantSdk.Engines.TensorRt;
using QuantSdk.Onnx;
using QuantSdk.Recipes;
using QuantSdk.Runtime;
using QuantSdk.TrtExecStandIn;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Engines.TensorRt;

[TestClass]
public sealed class ShapeProfileTests
{
    private static readonly Dictionary<string, long[]> s_seen = new() { ["sample"] = [1, 4, 128, 96], ["encoder_hidden_states"] = [1, 77, 2048] };

    [TestMethod]
    public void A_model_of_fixed_shapes_gets_none_even_where_they_are_given()
    {
        Assert.HasCount(0, Profiles(TrtModels.Static(), new()));
        Assert.HasCount(0, Profiles(TrtModels.Static(), Shapes("sample:1x4x64x64")));
        Assert.AreEqual("QSDK4027", Code(TrtModels.Static(), Shapes("sample:2x4x64x64")));
    }

    [TestMethod]
    public void From_the_model_and_what_was_seen()
    {
        var inputs = Profiles(TrtModels.Sdxl(), new(), s_seen).Single().Inputs;
        Assert.AreEqual("sample encoder_hidden_states text_embeds time_ids", string.Join(' ', inputs.Select(i => i.Input)));
        Assert.AreEqual("1,4,128,96 | 1,4,128,96 | 8,4,128,96", Text(inputs[0]));
        Assert.AreEqual("1,77,2048 | 2,77,2048 | 8,77,2048", Text(Profiles(TrtModels.Sdxl(), new(), s_seen, guided: true).Single().Inputs[1]));
        Assert.AreEqual("QSDK4029", Code(TrtModels.Sdxl(), new()));
    }

    [TestMethod]
    public void A_batch_that_is_not_first_is_known_by_its_name()
    {
        var model = TrtModels.Model([("a", DataType.Float, ["n", 3]), ("b", DataType.Float, [3, "n"])]);
        Assert.AreEqual("3,1 | 3,1 | 3,8", Text(Profiles(model, new()).Single().Inputs[1]));
    }

    [TestMethod]
    public void What_is_given_and_the_rest_as_seen()
    {
        var options = new TensorRtOptions { MinShapes = ["sample:1x4x64x64"], OptShapes = ["sample:2x4x128x128"], MaxShapes = ["sample:4x4x160x160"] };
        var inputs = Profiles(TrtModels.Sdxl(), options, s_seen).Single().Inputs;
        Assert.AreEqual("1,4,64,64 | 2,4,128,128 | 4,4,160,160", Text(inputs[0]));
        Assert.AreEqual("1,77,2048 | 1,77,2048 | 8,77,2048", Text(inputs[1]));
    }

    [TestMethod]
    public void A_star_stands_for_inputs_and_a_full_name_goes_before_it()
    {
        var model = TrtModels.Model([("past.0", DataType.Float, ["n", "m"]), ("past.1", DataType.Float, ["n", "m"])]);
        Assert.AreEqual("2,3 | 2,3 | 2,3 ; 4,5 | 4,5 | 4,5", string.Join(" ; ", Profiles(model, Shapes("past.*:2x3,past.1:4x5")).Single().Inputs.Select(Text)));
    }

    [TestMethod]
    [DataRow("sampel:1x4x64x64", "Did you mean 'sample'"), DataRow("sample:1x4x64", "3 dimensions"), DataRow("sample:1x5x64x64", "which the model fixes"), DataRow("sample:1xx64x64", "not a whole number"), DataRow("sample", "no ':'")]
    [DataRow("sample:1x4x64x64,", "an entry is empty"), DataRow("'sample:1x4x64x64", "quotes"), DataRow("sample:1x4x64x64,sample:2x4x64x64", "twice"), DataRow("sample:-1x4x64x64", "not a whole number"), DataRow("sample:1x4x64x99999999999", "not a whole number")]
    [DataRow("timestep:2", "which the model fixes")]
    public void Shapes_that_cannot_be(string shapes, string says)
    {
        var thrown = Assert.ThrowsExactly<QuantSdkException>(() => Profiles(TrtModels.Small(), Shapes(shapes)));
        Assert.AreEqual("QSDK4027", thrown.Code);
        StringAssert.Contains(thrown.Message, says);
    }

    [TestMethod]
    public void Ranges_that_fall_and_inputs_that_are_not_in_all_three()
    {
        Assert.AreEqual("QSDK4027", Code(TrtModels.Small(), new() { MinShapes = ["sample:4x4x64x64"], OptShapes = ["sample:2x4x64x64"], MaxShapes = ["sample:8x4x64x64"] }));
        Assert.AreEqual("QSDK4027", Code(TrtModels.Small(), new() { MinShapes = ["sample:1x4x64x64"], MaxShapes = ["sample:8x4x64x64"] }));
    }

    /// <summary>What is written is read back by the parser of trtexec: names with colons, and none that it cannot write.</summary>
    [TestMethod]
    [DataRow("x:0", "'x:0'"), DataRow("a=b", "a=b"), DataRow("with blank", "with blank"), DataRow("x.1/2", "x.1/2")]
    public void Names(string name, string written)
    {
        var model = TrtModels.Model([(name, DataType.Float, ["n", 3])]);
        var command = PlanCommand.Of(new(10, 13, 3), new(), Request(model), "/p", null, null);
        CollectionAssert.Contains(command.Build.ToArray(), $"--minShapes={written}:1x3");
        Assert.AreEqual(name, CommandLineParser.Parse(command.Build, StandInVersion.Of("10.13")).Profiles.Single().Single().Key);
    }

    [TestMethod]
    [DataRow("a,b"), DataRow("a'b"), DataRow("a*"), DataRow("a\nb")]
    public void Names_that_cannot_be_written(string name)
    {
        Assert.AreEqual("QSDK4028", Code(TrtModels.Model([(name, DataType.Float, ["n", 3])]), new()));
        Assert.HasCount(0, Profiles(TrtModels.Model([(name, DataType.Float, [1, 3])]), new()));
    }

    [TestMethod]
    public void An_initializer_among_the_inputs_is_none()
    {
        var model = TrtModels.Small();
        model.Graph.Input.Add(new ValueInfoProto { Name = "scale", Type = model.Graph.Input[0].Type.Clone() });
        Assert.AreEqual("sample", Profiles(model, new()).Single().Inputs.Single().Input);
    }

    private static TensorRtOptions Shapes(string text) => new() { MinShapes = [text], OptShapes = [text], MaxShapes = [text] };

    private static string Text(ShapeRange range) => $"{string.Join(',', range.Min)} | {string.Join(',', range.Opt)} | {string.Join(',', range.Max)}";

    private static IReadOnlyList<TensorRtProfile> Profiles(ModelProto model, TensorRtOptions options, Dictionary<string, long[]>? seen = null, bool guided = false) =>
        ShapeProfiles.Of(options, Request(model) with { Observed = seen ?? [], Guided = guided });

    private static string Code(ModelProto model, TensorRtOptions options) => Assert.ThrowsExactly<QuantSdkException>(() => Profiles(model, options)).Code;

    private static PlanRequest Request(ModelProto model) => new() { Name = "unet", Model = "/obj/model.onnx", Graph = model.Graph, Plan = "/obj/model.plan" };
}
