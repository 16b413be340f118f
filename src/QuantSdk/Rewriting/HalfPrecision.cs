using QuantSdk.Onnx;
using QuantSdk.Onnx.Upgrading;
using QuantSdk.Runtime;

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
        var types = ElementTypes.Of(model);
        var full = FullPrecisionNodes.Of(model.Graph, types, amax, half);
        new HalfPrecisionWriter(model.Graph, types, full, half).Write();
        return new HalfPrecisionModel(model, [.. full.Reasons]);
    }
}
