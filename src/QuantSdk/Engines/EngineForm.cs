using QuantSdk.Planning;

namespace QuantSdk.Engines;

/// <summary>How ONNX Runtime stores and computes products with weights of few bits (MatMulNBits).</summary>
/// <param name="Prepacked">
/// Weights lie as this CPU's kernels want them. Not for graphs with MatMulNBits: what ONNX Runtime 1.29 stores of more than one of those
/// comes back as NaN.
/// </param>
/// <param name="FloatProducts">Their activations stay in float; else they get 8 bits, block by block, in each run.</param>
internal sealed record EngineForm(bool Prepacked = true, bool FloatProducts = false)
{
    public static EngineForm Of(Plan? plan)
    {
        var weightOnly = plan?.Layers.Any(l => l.Activation.Format == "float") == true;
        var stored = plan?.Stored.Count > 0;
        return new EngineForm(!weightOnly && !stored, stored && !weightOnly);
    }
}
