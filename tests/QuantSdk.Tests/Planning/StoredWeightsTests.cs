using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;
using QuantSdk.Tests.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Planning;

/// <summary>Conditioning with weights in 8 bits against the closed form: codes round(w·127/amax) of each output, multiplied in float.</summary>
[TestClass]
public sealed class StoredWeightsTests
{
    private const int Inputs = 32, Outputs = 48;
    private static readonly float[] s_weight = TestModels.Random(Inputs * Outputs, 1), s_bias = TestModels.Random(Outputs, 2);

    [TestMethod]
    [DataRow("Gemm", true)]
    [DataRow("Gemm", false)]
    [DataRow("MatMul", false)]
    public void Weights_have_eight_bits_and_products_are_computed_in_float(string op, bool byOutput)
    {
        using var folder = new TempFolder();
        var model = TestModels.Reload(Model(op, byOutput), folder);
        var (stored, kept) = StoredWeights.Decide(model, [Kept(op)], new Recipe { Name = "m", OptimizeFor = "size" });
        Assert.HasCount(1, stored);
        StringAssert.Contains(kept[0].Reason, "stored in int8", StringComparison.Ordinal);
        var plan = new Plan(2, [], [], kept) { Stored = stored };
        var lowered = Lowering.Lower(model, QuantSdkJson.Read<Plan>(QuantSdkJson.Write(plan))!, "cpu");
        Assert.AreEqual(Inputs * Outputs, lowered.Graph.Initializer.Single(t => t.DataType == (int)DataType.Int8 && t.Dims.Count == 2).Count());
        Assert.IsFalse(lowered.Graph.Initializer.Any(t => t.Count() == Inputs * Outputs && t.DataType == (int)DataType.Float));

        OnnxFile.Save(lowered, folder["lowered.onnx"], folder["lowered.data"]);
        var form = EngineForm.Of(plan);
        OrtEngine.Optimise(folder["lowered.onnx"], folder["engine.onnx"], 1, form);
        var product = OnnxFile.Load(folder["engine.onnx"]).Graph.Node.Single(n => n.OpType == "MatMulNBits");
        Assert.AreEqual(8, product.Int("bits", 0));
        using var session = ModelSession.Open(folder["engine.onnx"], new SessionSettings { Threads = 1 });
        using var binding = session.Bind(new Dictionary<string, long[]> { ["t"] = [3, Inputs] });
        var x = TestModels.Random(3 * Inputs, 7);
        x.CopyTo(binding.Input<float>("t"));
        binding.Run();
        var y = binding.Output<float>("y");
        for (var row = 0; row < 3; row++)
        {
            for (var o = 0; o < Outputs; o++)
            {
                var amax = Enumerable.Range(0, Inputs).Max(i => MathF.Abs(s_weight[At(i, o, byOutput)]));
                var expected = op == "Gemm" ? s_bias[o] : 0.0;
                for (var i = 0; i < Inputs; i++)
                    expected += x[(row * Inputs) + i] * Math.Round(s_weight[At(i, o, byOutput)] * 127.0 / amax) * amax / 127.0;
                // Far below what 8-bit activations would be off by.
                Assert.AreEqual(expected, y[(row * Outputs) + o], 2e-5, $"{row}, {o}");
            }
        }
    }

    [TestMethod]
    public void Nothing_is_stored_for_speed_or_where_the_layer_was_kept_for_another_reason()
    {
        using var folder = new TempFolder();
        var model = TestModels.Reload(Model("Gemm", true), folder);
        Assert.IsEmpty(StoredWeights.Decide(model, [Kept("Gemm")], new Recipe { Name = "m" }).Stored);
        Assert.IsEmpty(StoredWeights.Decide(model, [Kept("Gemm") with { Reason = "matched by ExcludeModules" }], new Recipe { Name = "m", OptimizeFor = "size" }).Stored);
    }

    private static int At(int input, int output, bool byOutput) => byOutput ? (output * Inputs) + input : (input * Outputs) + output;

    private static Kept Kept(string op) => new("g", op, "", Structure.Conditioning, true);

    private static ModelProto Model(string op, bool byOutput) => TestModels.Create(
        [TestModels.Input("t", DataType.Float, -1, Inputs)], ["y"],
        [byOutput ? Tensors.Create("w", s_weight, Outputs, Inputs) : Tensors.Create("w", s_weight, Inputs, Outputs), Tensors.Vector("b", s_bias)],
        op == "Gemm" ? Nodes.Create("Gemm", "g", ["t", "w", "b"], ["y"]).With("transB", byOutput ? 1L : 0L) : Nodes.Create("MatMul", "g", ["t", "w"], ["y"]));
}
