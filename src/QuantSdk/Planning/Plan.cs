namespace QuantSdk.Planning;

/// <summary>One edge of the graph in 8 bits: a tensor with its range.</summary>
/// <param name="Low">Lower end of the asymmetric range, ≤ 0.</param>
/// <param name="High">Upper end, ≥ 0.</param>
/// <param name="Amax">Half the width of the symmetric range.</param>
internal sealed record TensorPlan(string Tensor, string Format, float Low, float High, float Amax);

/// <summary>A weight in few bits.</summary>
/// <param name="Axis">Axis of the output channels.</param>
/// <param name="BlockSize">Elements along the other axis of a matrix that share a scale; 0: one scale an output channel.</param>
/// <param name="ZeroPoint">True for integer codes with a zero point for each scale.</param>
internal sealed record WeightPlan(string Tensor, string Format, int Axis, int BlockSize = 0, bool ZeroPoint = false);

/// <summary>One node in 8 bits.</summary>
/// <param name="Output">Range of the output; only convolutions need one, and only where the target quantises outputs.</param>
/// <param name="Macs">Multiply-adds for one row of the calibration data.</param>
internal sealed record LayerPlan(string Node, string Op, string Module, TensorPlan Activation, WeightPlan Weight, string? Bias, TensorPlan? Output, long Macs);

/// <summary>What was decided: data that a person can read, diff and override. Ranges only; grids are the lowering's.</summary>
internal sealed record Plan(int Schema, IReadOnlyList<LayerPlan> Layers, IReadOnlyList<Kept> Kept);
