using QuantSdk.Onnx;
using QuantSdk.Rewriting;
using QuantSdk.Tests.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Rewriting;

/// <summary>Graphs in 16-bit floats against the same graphs in 32.</summary>
[TestClass]
public sealed class HalfPrecisionTests
{
    /// <summary>Decibels between a lowering in fp16 and the same in fp32.</summary>
    private const double Least = 45;

    public TestContext TestContext { get; set; } = null!;

    [TestMethod]
    [DataRow("unet")]
    [DataRow("transformer")]
    [DataRow("pixart_sigma_tiny")]
    public void A_lowering_in_fp16_computes_what_it_computes_in_fp32(string name)
    {
        using var folder = new TempFolder();
        var model = TensorRtModel.Of(name, "int8", folder);
        var plain = HalfPrecision.Convert(model.Model.Proto, model.Amax, "fp16").Model;
        var inFloat = model.Sqnr(model.Model.Proto, plain, folder);
        Assert.IsGreaterThan(Least, inFloat, "in float");

        // A value that falls the other way in an early quantiser moves many behind it: what is left to compare is everything else, and the loss.
        var lowered = model.Lowered;
        var half = HalfPrecision.Convert(lowered, model.Amax, "fp16").Model;
        Assert.IsGreaterThan(Least, model.Sqnr(WithoutRounding(lowered), WithoutRounding(half), folder), "quantised");
        var sum = -10 * Math.Log10(Math.Pow(10, -inFloat / 10) + Math.Pow(10, -model.Sqnr(model.Model.Proto, lowered, folder) / 10));
        Assert.AreEqual(sum, model.Sqnr(model.Model.Proto, half, folder), 0.5, "the losses of quantising and of 16 bits add up");
        AssertStronglyTyped(half);
    }

    /// <summary>The graph with its activations passed by the quantisers.</summary>
    private static ModelProto WithoutRounding(ModelProto model)
    {
        var types = ElementTypes.Of(model);
        model = model.Clone();
        var view = new GraphView(model.Graph);
        foreach (var node in model.Graph.Node.Where(n => n.Is("DequantizeLinear") && view.Producer(n.Input[0]) is not null).ToArray())
        {
            node.OpType = "Cast";
            node.Input[0] = view.Producer(node.Input[0])!.Input[0];
            node.Input.RemoveAt(2);
            node.Input.RemoveAt(1);
            node.Attribute.Clear();
            node.With("to", types[node.Output[0]]);
        }
        DeadCode.Remove(model.Graph);
        return model;
    }

    private void AssertStronglyTyped(ModelProto model)
    {
        var types = ElementTypes.Of(model);
        var halves = model.Graph.Node.Count(n => types.GetValueOrDefault(n.Output[0]) == (int)DataType.Float16);
        TestContext.WriteLine($"{halves} of {model.Graph.Node.Count} in fp16: {string.Join(" ", model.Graph.Node.GroupBy(n => n.OpType).Select(g => $"{g.Key}:{g.Count()}"))}");
        Assert.IsGreaterThan(model.Graph.Node.Count / 2, halves);
    }
}
