using QuantSdk.Onnx;
using QuantSdk.Onnx.Upgrading;
using QuantSdk.Runtime;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Rewriting;

/// <summary>A graph in 16-bit floats.</summary>
/// <param name="Model">Strongly typed: the inputs of every operator have one type, and so on either side of every Cast.</param>
/// <param name="Full">The nodes that still compute in 32 bits, in the graph's order.</param>
internal sealed record HalfPrecisionModel(ModelProto Model, IReadOnlyList<FullPrecisionNode> Full);

/// <summary>A node that stays in 32 bits between Casts.</summary>
internal sealed record FullPrecisionNode(string Node, string Op, string Reason);

/// <summary>
/// A lowered graph with its activations, constants and scales in 16-bit floats, for TensorRT's strong typing: what the graph says is what is
/// computed. Whatever 16 bits do not hold stays in 32 (<see cref="FullPrecisionNodes"/>); inputs and outputs keep their types.
/// </summary>
internal static class HalfPrecision
{
    /// <param name="lowered">A graph in 32-bit floats, quantised or not.</param>
    /// <param name="amax">Largest magnitudes of its tensors on real data, as <see cref="Calibration.TensorAmax"/> has them; tensors that are not there are taken to fit, or to be what their scales say.</param>
    /// <param name="type">fp16 or bf16.</param>
    /// <param name="path">The model, for messages.</param>
    /// <exception cref="QuantSdkException">QSDK3001 where the graph cannot be brought to an operator set that has the type.</exception>
    public static HalfPrecisionModel Convert(ModelProto lowered, IReadOnlyDictionary<string, float> amax, string type, string path = "")
    {
        var half = HalfType.Of(type);
        var upgraded = OpsetUpgrade.To(new OnnxModel(lowered, path, []), half.Opset).Proto;
        var model = ReferenceEquals(upgraded, lowered) ? lowered.Clone() : upgraded;
        ConstantFolding.LiftConstants(model.Graph);
        Doubles.Narrow(model.Graph);
        var types = ElementTypes.Of(model);
        var full = FullPrecisionNodes.Of(model.Graph, types, amax, half);
        new HalfPrecisionWriter(model.Graph, types, full, half).Write();
        return new HalfPrecisionModel(model, [.. full.Reasons]);
    }

    /// <summary>
    /// The graph as ONNX Runtime's CPU computes what it says. ONNX Runtime 1.29 truncates where it quantises 16-bit floats to integers, instead
    /// of rounding to the nearest, and its Gemm sums in 16 bits, as no GPU does: both read Casts here, and the same numbers in 32 bits. It has
    /// no kernels for bfloat16; such a graph is widened, so that constants and scales are rounded as they are, and what nodes compute is not.
    /// </summary>
    public static ModelProto Runnable(ModelProto model)
    {
        var types = ElementTypes.Of(model);
        if (types.ContainsValue((int)DataType.Bfloat16))
            return Float32Twin.Of(new OnnxModel(model, "", [])).Proto;
        bool IsHalf(string tensor) => types.GetValueOrDefault(tensor) == (int)DataType.Float16;
        bool Wrong(NodeProto node) => (node.Is("QuantizeLinear") || node.Is("Gemm")) && IsHalf(node.Input[0]);
        if (!model.Graph.Node.Any(Wrong))
            return model;
        model = model.Clone();
        var graph = model.Graph;
        var names = new UniqueNames(graph);
        var nodes = new List<NodeProto>(graph.Node.Count);
        foreach (var node in graph.Node)
        {
            if (!Wrong(node))
            {
                nodes.Add(node);
                continue;
            }
            for (var i = 0; i < node.Input.Count; i++)
            {
                if (!IsHalf(node.Input[i]))
                    continue;
                var widened = names.Make(node.Input[i] + "_widened");
                nodes.Add(Nodes.Create("Cast", widened, [node.Input[i]], [widened]).With("to", (long)DataType.Float));
                node.Input[i] = widened;
            }
            nodes.Add(node);
            if (!IsHalf(node.Output[0]))
                continue;
            var wide = names.Make(node.Output[0] + "_wide");
            nodes.Add(Nodes.Create("Cast", names.Make(wide + "_cast"), [wide], [node.Output[0]]).With("to", (long)DataType.Float16));
            node.Output[0] = wide;
        }
        graph.Node.Clear();
        graph.Node.Add(nodes);
        return model;
    }
}
