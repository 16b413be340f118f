using QuantSdk.Onnx;
using QuantSdk.Onnx.Upgrading;
using static QuantSdk.Tests.Onnx.Upgrading.TestNodes;

namespace QuantSdk.Tests.Onnx.Upgrading;

[TestClass]
public sealed class WholeModelTests
{
    public static IEnumerable<object[]> Models => RandomRuns.Models;

    [TestMethod]
    [DynamicData(nameof(Models))]
    public void A_model_computes_the_same_at_21_and_at_25(string path)
    {
        var model = OnnxFile.Load(path);
        var before = RandomRuns.Run(model.Proto);
        foreach (var opset in (long[])[21, 25])
        {
            var upgraded = OpsetUpgrade.To(model, opset);
            Assert.AreEqual(opset, upgraded.Opset);
            Assert.IsGreaterThan(110, RandomRuns.Sqnr(before, RandomRuns.Run(upgraded.Proto)), $"{opset}");
        }
    }

    [TestMethod]
    public void Bodies_are_upgraded_in_their_own_scope()
    {
        // Both branches have a node of one name, the outer graph a tensor of the name that its constant would get.
        NodeProto Branch(string softmax) => Nodes.Create("If", "choose", ["flag"], ["chosen"])
            .Body("then_branch", Body("then", Node("ReduceMean", ["x"], "r").Ints("axes", 1), Node("Unsqueeze", ["r"], "t").Ints("axes", 0)))
            .Body("else_branch", Body("else", Node("ReduceSum", ["x"], "r").Ints("axes", 2), Node("Unsqueeze", ["r"], "e").Ints("axes", 0), Node(softmax, ["e"], "f").With("axis", 1L)));

        GraphProto Body(string name, params NodeProto[] nodes)
        {
            var graph = new GraphProto { Name = name };
            graph.Node.Add(nodes);
            graph.Output.Add(new ValueInfoProto { Name = nodes[^1].Output[0] });
            return graph;
        }

        foreach (var flag in (bool[])[true, false])
        {
            BeforeAndAfter.Of(Node("Neg", ["unsqueeze_axes"], "n"), Branch("Softmax"), Node("Add", ["chosen", "n"], "y"))
                .Values("flag", [flag]).Input("x", [2, 3, 4], unknown: true).Constant(Tensors.Vector("unsqueeze_axes", 0.5f)).HoldsEverywhere(11, 13, 21, 25);
        }
    }

    [TestMethod]
    public void Bodies_find_the_constants_of_the_graph_around_them()
    {
        // Known scales give one Resize; unknown ones would give two.
        var body = new GraphProto { Name = "body" };
        body.Node.Add(Node("Upsample", ["x", "scales"], "u"));
        body.Output.Add(new ValueInfoProto { Name = "u" });
        var upgraded = BeforeAndAfter.Of(Nodes.Create("If", "choose", ["flag"], ["y"]).Body("then_branch", body).Body("else_branch", body.Clone()))
            .Values("flag", [true]).Input("x", [1, 2, 3, 4]).Constant(Tensors.Vector("scales", 1f, 1, 2, 2)).Holds(9, 13);
        foreach (var branch in upgraded.Graph.Node[0].Bodies())
            Assert.AreEqual("Resize", branch.Node.Single().OpType);
    }

    [TestMethod]
    public void Other_domains_are_left_alone()
    {
        var scaler = Nodes.Create("Scaler", "scaler", ["x"], ["s"], "ai.onnx.ml").Floats("offset", 0.5f).Floats("scale", 2);
        var test = BeforeAndAfter.Of(scaler, Node("Softmax", ["s"], "y").With("axis", 0L)).Input("x", [2, 3]);
        var model = test.Model(11);
        model.OpsetImport.Add(new OperatorSetIdProto { Domain = "ai.onnx.ml", Version = 2 });
        var upgraded = OpsetUpgrade.To(new OnnxModel(model, "test.onnx", []), 21);
        CollectionAssert.AreEqual(new[] { (Domain: "", Version: 21L), (Domain: "ai.onnx.ml", Version: 2L) }, upgraded.Proto.OpsetImport.Select(o => (o.Domain, o.Version)).ToArray());
        BeforeAndAfter.Same(RandomRuns.Run(model), RandomRuns.Run(upgraded.Proto), "Scaler");
    }
}
