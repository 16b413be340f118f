using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;
using QuantSdk.Tests.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Planning;

/// <summary>Conditioning with weights in float16 against the closed form: float16(w), multiplied in float.</summary>
[TestClass]
public sealed class StoredWeightsTests
{
    private const int Inputs = 32, Outputs = 48;
    private static readonly float[] s_weight = TestModels.Random(Inputs * Outputs, 1), s_bias = TestModels.Random(Outputs, 2);

    [TestMethod]
    [DataRow("Gemm", true)]
    [DataRow("Gemm", false)]
    [DataRow("MatMul", false)]
    public void Weights_are_stored_in_float16_and_products_computed_in_float(string op, bool byOutput)
    {
        using var folder = new TempFolder();
        var model = TestModels.Reload(Model(op, byOutput, s_weight), folder);
        var (stored, kept) = StoredWeights.Decide(model, [Kept(op)], new Recipe { Name = "m" });
        Assert.HasCount(1, stored);
        StringAssert.Contains(kept[0].Reason, "stored in float16", StringComparison.Ordinal);
        var plan = new Plan(2, [], [], kept) { Stored = stored };
        var lowered = Lowering.Lower(model, QuantSdkJson.Read<Plan>(QuantSdkJson.Write(plan))!, "cpu");
        Assert.AreEqual(Inputs * Outputs, lowered.Graph.Initializer.Single(t => t.DataType == (int)DataType.Float16).Count());
        Assert.IsFalse(lowered.Graph.Initializer.Any(t => t.Count() == Inputs * Outputs && t.DataType == (int)DataType.Float));

        OnnxFile.Save(lowered, folder["lowered.onnx"], folder["lowered.data"]);
        using var session = ModelSession.Open(folder["lowered.onnx"], new SessionSettings { Threads = 1 });
        using var binding = session.Bind(new Dictionary<string, long[]> { ["t"] = [3, Inputs] });
        var x = TestModels.Random(3 * Inputs, 7);
        x.CopyTo(binding.Input<float>("t"));
        binding.Run();
        var y = binding.Output<float>("y");
        for (var row = 0; row < 3; row++)
        {
            for (var o = 0; o < Outputs; o++)
            {
                var expected = op == "Gemm" ? s_bias[o] : 0.0;
                for (var i = 0; i < Inputs; i++)
                    expected += x[(row * Inputs) + i] * (double)(Half)s_weight[byOutput ? (o * Inputs) + i : (i * Outputs) + o];
                Assert.AreEqual(expected, y[(row * Outputs) + o], 5e-6, $"{row}, {o}");
            }
        }
    }

    [TestMethod]
    public void Weights_that_float16_does_not_hold_and_layers_kept_for_another_reason_stay_as_they_are()
    {
        using var folder = new TempFolder();
        var model = TestModels.Reload(Model("Gemm", true, s_weight), folder);
        Assert.IsEmpty(StoredWeights.Decide(model, [Kept("Gemm") with { Reason = "matched by ExcludeModules" }], new Recipe { Name = "m" }).Stored);
        foreach (var scale in (float[])[1e5f, 1e-7f])
        {
            var other = TestModels.Reload(Model("Gemm", true, Array.ConvertAll(s_weight, w => w * scale)), folder, $"{scale}.onnx");
            Assert.IsEmpty(StoredWeights.Decide(other, [Kept("Gemm")], new Recipe { Name = "m" }).Stored);
        }
    }

    private static Kept Kept(string op) => new("g", op, "", Structure.Conditioning, true);

    private static ModelProto Model(string op, bool byOutput, float[] weight) => TestModels.Create(
        [TestModels.Input("t", DataType.Float, -1, Inputs)], ["y"],
        [byOutput ? Tensors.Create("w", weight, Outputs, Inputs) : Tensors.Create("w", weight, Inputs, Outputs), Tensors.Vector("b", s_bias)],
        op == "Gemm" ? Nodes.Create("Gemm", "g", ["t", "w", "b"], ["y"]).With("transB", byOutput ? 1L : 0L) : Nodes.Create("MatMul", "g", ["t", "w"], ["y"]));
}
