using QuantSdk.Onnx;
using QuantSdk.Onnx.Upgrading;
using QuantSdk.Planning;

namespace QuantSdk.Rewriting;

/// <summary>
/// The form TensorRT fuses: signed, symmetric, explicit zero points and axes; Q/DQ on the inputs of convolutions and linear layers;
/// float bias; no Q/DQ on outputs (TensorRT's documentation, "Working with quantized types").
/// </summary>
internal static class TensorRtLowering
{
    /// <summary>What TensorRT's users write 8-bit pairs in; formats below 8 bits have brought the model beyond already.</summary>
    private const long Opset = 19;

    /// <exception cref="Runtime.QuantSdkException">QSDK3001 where the graph cannot be brought to opset 19.</exception>
    public static ModelProto Lower(OnnxModel model, Plan plan, RoundedWeights? rounded)
    {
        var lowered = Lowering.InputsOnly(model, plan, "tensorrt", rounded);
        Doubles.Narrow(lowered.Graph);
        return OpsetUpgrade.To(model with { Proto = lowered }, Opset).Proto;
    }
}
