using QuantSdk.Numerics;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Runtime;

namespace QuantSdk.Rewriting;

/// <summary>Activations and weights of the formats that are not integers, in the form that a target reads.</summary>
internal static class FormatWriter
{
    /// <summary>Quantises and dequantises an activation.</summary>
    /// <param name="target">tensorrt or sim.</param>
    /// <param name="reduction">Length of its last axis.</param>
    public static Fragment Activation(string target, TensorPlan activation, long reduction) => target == "tensorrt"
        ? TensorRtFormats.Activation(activation.Format, activation.Tensor, activation.Amax)
        : SimActivations.Of(activation.Format, activation.Tensor, reduction, activation.Amax);

    /// <summary>A weight in its format, or decoded where the target is the simulation and ONNX Runtime has no kernel for it; and the decoded numbers.</summary>
    /// <param name="target">tensorrt or sim.</param>
    /// <param name="values">The weight, or what smoothing has made of it.</param>
    /// <exception cref="QuantSdkException">QSDK3040 where the weight is not finite.</exception>
    public static (Fragment Fragment, float[] Decoded) Weight(string target, WeightPlan plan, float[] values, IReadOnlyList<long> dims)
    {
        CheckFinite(plan.Tensor, values);
        if (plan.Format == "float")
            return (Constant(plan.Tensor + "_smoothed", values, dims), values);
        var format = WeightFormat.Of(plan.Format);
        var encoded = format.Encode(values, dims, plan.Axis, plan.BlockSize == 0 ? null : plan.BlockSize);
        var decoded = format.Decode(encoded);
        if (target == "tensorrt")
            return (TensorRtFormats.Weight(plan.Format, plan.Tensor, encoded), decoded);
        // One scale a channel is what ONNX Runtime folds when it loads the model.
        return plan.Format is "fp8" or "fp8-e5m2" && encoded.Blocks == 1
            ? (TensorRtFormats.Fp8Weight(plan.Format, plan.Tensor, encoded), decoded)
            : (Constant($"{plan.Tensor}_{plan.Format}", decoded, dims), decoded);
    }

    /// <exception cref="QuantSdkException">QSDK3040 where the weight is not finite.</exception>
    public static void CheckFinite(string tensor, float[] values)
    {
        foreach (var value in values)
        {
            if (!float.IsFinite(value))
                throw new QuantSdkException("QSDK3040", $"The weight '{tensor}' holds {value}, which no scale can hold. Repair the model, or leave the layer in float with ExcludeModules.", node: tensor);
        }
    }

    private static Fragment Constant(string name, float[] values, IReadOnlyList<long> dims) => new(name, [], [Tensors.Create(name, values, [.. dims])]);
}
