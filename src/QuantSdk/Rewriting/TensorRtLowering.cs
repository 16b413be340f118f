using QuantSdk.Onnx;
using QuantSdk.Planning;

namespace QuantSdk.Rewriting;

/// <summary>
/// The form TensorRT fuses: signed, symmetric, explicit zero points and axes; Q/DQ on the inputs of convolutions and linear layers;
/// float bias; no Q/DQ on outputs (TensorRT's documentation, "Working with quantized types").
/// </summary>
internal static class TensorRtLowering
{
    public static ModelProto Lower(OnnxModel model, Plan plan, RoundedWeights? rounded) => Lowering.InputsOnly(model, plan, "tensorrt", rounded);
}
