using QuantSdk.Onnx;
using QuantSdk.Planning;

namespace QuantSdk.Rewriting;

/// <summary>Fake quantisation: what the plan costs in accuracy, whatever a target can fuse. Run it with <c>session.disable_quant_qdq=1</c>.</summary>
internal static class SimLowering
{
    public static ModelProto Lower(OnnxModel model, Plan plan, RoundedWeights? rounded) => Lowering.InputsOnly(model, plan, "sim", rounded);
}
