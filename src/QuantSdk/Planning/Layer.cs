using QuantSdk.Onnx;

namespace QuantSdk.Planning;

/// <summary>A node with constant weights that can run in 8 bits.</summary>
/// <param name="Activation">The tensor that the node multiplies with its weights.</param>
/// <param name="WeightAxis">Axis of the output channels in the weight.</param>
/// <param name="Bias">Name of the constant bias, or null.</param>
/// <param name="Output">The tensor whose range the cpu lowering needs: the node's output, or that of the Relu or Clip that alone reads it.</param>
internal sealed record Layer(NodeProto Node, string Module, string Activation, string Weight, int WeightAxis, string? Bias, string Output)
{
    public string Op => Node.OpType;

    /// <summary>Convolutions of any kind.</summary>
    public bool IsConvolution => Op is "Conv" or "ConvTranspose";

    /// <summary>Of a convolution; 1 elsewhere.</summary>
    public int Groups => IsConvolution ? (int)Node.Int("group", 1) : 1;

    /// <summary>True where zeros stand around the input.</summary>
    public bool Pads => IsConvolution && (Node.Attribute("pads") is { } pads ? pads.Ints.Any(p => p != 0) : Node.Attribute("auto_pad")?.S.ToStringUtf8() is "SAME_UPPER" or "SAME_LOWER");

    /// <summary>Relu or Clip where <see cref="Output"/> is that of such a node, else null.</summary>
    public string? Rectifier { get; init; }
}
