using QuantSdk.Onnx;

namespace QuantSdk.Planning;

/// <summary>softmax(q·kᵀ…)·v: two products of activations with a Softmax between them.</summary>
/// <param name="Scores">The product q·kᵀ.</param>
/// <param name="Output">The product with v.</param>
/// <param name="ProbabilityOperand">Which operand of <paramref name="Output"/> comes from the Softmax: 0 or 1.</param>
internal sealed record AttentionProduct(NodeProto Scores, NodeProto Softmax, NodeProto Output, int ProbabilityOperand, string Module)
{
    public string Q => Scores.Input[0];

    public string K => Scores.Input[1];

    /// <summary>What of the Softmax the second product reads.</summary>
    public string Probabilities => Output.Input[ProbabilityOperand];

    public string V => Output.Input[1 - ProbabilityOperand];
}
