using QuantSdk.Numerics;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Runtime;

namespace QuantSdk.Rewriting;

/// <summary>Activations and weights of the formats that are not integers, in the form that a target reads.</summary>
internal static class FormatWriter
{
    /// <summary>The standard operator set that a format's operators need.</summary>
    /// <param name="target">tensorrt, cpu or sim.</param>
    public static long Opset(string format, string target) => (format, target) switch
    {
        // FLOAT4E2M1.
        ("nvfp4", "tensorrt") => 23,
        // FLOAT8E4M3FN, FLOAT8E5M2.
        ("fp8" or "fp8-e5m2" or "mxfp8" or "nvfp4", _) => 19,
        _ => 13,
    };

    /// <summary>Quantises and dequantises an activation.</summary>
    /// <param name="target">tensorrt or sim.</param>
    /// <param name="reduction">Length of its last axis.</param>
    public static Fragment Activation(string target, TensorPlan activation, long reduction) => target == "tensorrt"
        ? TensorRtFormats.Activation(activation.Format, activation.Tensor, activation.Amax)
        : SimActivations.Of(activation.Format, activation.Tensor, reduction, activation.Amax);

    /// <param name="values">The weight, or what smoothing has made of it.</param>
    /// <param name="path">The model, for messages.</param>
    /// <exception cref="QuantSdkException">QSDK3040 where the weight is not finite.</exception>
    public static EncodedWeight Encode(WeightPlan weight, ReadOnlySpan<float> values, IReadOnlyList<long> dims, string path)
    {
        CheckFinite(weight.Tensor, values, path);
        return WeightFormat.Of(weight.Format).Encode(values, dims, weight.Axis, weight.BlockSize == 0 ? null : weight.BlockSize);
    }

    /// <summary>An encoded weight in its format, or decoded where the target is the simulation and ONNX Runtime has no kernel for it.</summary>
    /// <param name="target">tensorrt or sim.</param>
    /// <param name="name">What the names of its tensors begin with.</param>
    public static Fragment Weight(string target, string format, string name, EncodedWeight weight)
    {
        if (target == "tensorrt")
            return TensorRtFormats.Weight(format, name, weight);
        // One scale a channel is what ONNX Runtime folds when it loads the model.
        if (format is "fp8" or "fp8-e5m2" && weight.Blocks == 1)
            return TensorRtFormats.Fp8Weight(format, name, weight);
        var decoded = Tensors.Create($"{name}_{format}", WeightFormat.Of(format).Decode(weight), [.. weight.Dims]);
        return new Fragment(decoded.Name, [], [decoded]);
    }

    /// <exception cref="QuantSdkException">QSDK3040 where the weight is not finite.</exception>
    public static void CheckFinite(string tensor, ReadOnlySpan<float> values, string path)
    {
        foreach (var value in values)
        {
            if (!float.IsFinite(value))
                throw new QuantSdkException("QSDK3040", $"'{path}': the weight '{tensor}' holds {value}, which no scale can hold. Repair the model, or leave the layer in float with ExcludeModules.", path, tensor);
        }
    }
}
