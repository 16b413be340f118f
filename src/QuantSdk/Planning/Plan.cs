using QuantSdk.Onnx;

namespace QuantSdk.Planning;

/// <summary>One edge of the graph in few bits: a tensor with its range.</summary>
/// <param name="Low">Lower end of the asymmetric range, ≤ 0.</param>
/// <param name="High">Upper end, ≥ 0.</param>
/// <param name="Amax">Half the width of the symmetric range.</param>
/// <param name="Smoothed">The same for the smoothed tensor; null where smoothing does not help.</param>
/// <param name="Means">Per channel E[x], for bias correction; null where it was not observed.</param>
internal sealed record TensorPlan(string Tensor, string Format, float Low, float High, float Amax, SmoothedPlan? Smoothed = null, float[]? Means = null);

/// <summary>
/// A tensor quantised as y = (x − centre)/factor, channel by channel, the factors multiplied into the weights that read it and the
/// centres into their biases.
/// </summary>
/// <param name="Factors">Per channel, &gt; 0; with <paramref name="Low"/> to <paramref name="High"/> they put atoms on the asymmetric grid.</param>
/// <param name="Low">Lower end of the range of x/factor.</param>
/// <param name="High">Upper end of it.</param>
/// <param name="Centres">Per channel; null where a reader pads with zeros, so that nothing may be subtracted.</param>
/// <param name="CentredLow">Lower end of the range of (x − centre)/factor.</param>
/// <param name="CentredHigh">Upper end of it.</param>
/// <param name="Amax">Half the width of its symmetric range.</param>
/// <param name="SymmetricFactors">Factors that put atoms on the symmetric grid, where there are no centres to do it.</param>
internal sealed record SmoothedPlan(float[] Factors, float Low, float High, float[]? Centres, float CentredLow, float CentredHigh, float Amax, float[] SymmetricFactors);

/// <summary>The output of a convolution, whose channels may each have a range.</summary>
/// <param name="Lows">Per channel; null where one range must do.</param>
/// <param name="Highs">Per channel.</param>
internal sealed record OutputPlan(string Tensor, float Low, float High, float[]? Lows, float[]? Highs);

/// <summary>A weight in few bits.</summary>
/// <param name="Axis">Axis of the output channels.</param>
/// <param name="BlockSize">Elements along the other axis of a matrix that share a scale; 0: one scale an output channel.</param>
/// <param name="ZeroPoint">True for integer codes with a zero point for each scale.</param>
/// <param name="Rounding">nearest, clip (nearest, on ranges with the least squared error) or error (what makes the least error at the layer's output).</param>
internal sealed record WeightPlan(string Tensor, string Format, int Axis, int BlockSize = 0, bool ZeroPoint = false, string Rounding = "nearest");

/// <summary>One node in few bits.</summary>
/// <param name="Output">Range of the output; only convolutions need one, and only where the target quantises outputs.</param>
/// <param name="Macs">Multiply-adds for one row of the calibration data.</param>
/// <param name="Groups">Of a convolution; 1 elsewhere.</param>
internal sealed record LayerPlan(string Node, string Op, string Module, TensorPlan Activation, WeightPlan Weight, string? Bias, OutputPlan? Output, long Macs, int Groups = 1);

/// <summary>softmax(q·kᵀ…)·v with all four operands of its two products in few bits.</summary>
/// <param name="Scores">The node of q·kᵀ.</param>
/// <param name="Output">The node of the product with v.</param>
/// <param name="Probabilities">What the Softmax gives; its range is [0, 1], whatever the data.</param>
internal sealed record AttentionPlan(string Scores, string Output, string Module, TensorPlan Q, TensorPlan K, TensorPlan Probabilities, TensorPlan V);

/// <summary>What was decided: data that a person can read, diff and override. Ranges only; grids are the lowering's.</summary>
/// <param name="Samples">The inputs that are the sample; what does not depend on them is conditioning, the same for every pixel or token.</param>
internal sealed record Plan(int Schema, IReadOnlyList<string> Samples, IReadOnlyList<LayerPlan> Layers, IReadOnlyList<Kept> Kept)
{
    /// <summary>Products of activations in few bits; targets without such kernels leave them in float.</summary>
    public IReadOnlyList<AttentionPlan> Attention { get; init; } = [];

    /// <summary>Layers that compute in float with weights stored in few bits; the cpu lowering alone writes them so.</summary>
    public IReadOnlyList<LayerPlan> Stored { get; init; } = [];

    /// <summary>What of the model was written differently first.</summary>
    public IReadOnlyList<Rewrite> Rewrites { get; init; } = [];

    /// <summary>The tensors at which full model and live part are divided; null where nothing is cached.</summary>
    public IReadOnlyList<string>? Cached { get; init; }
}
