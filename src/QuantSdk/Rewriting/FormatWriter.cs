using System.Runtime.InteropServices;
using QuantSdk.Numerics;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Runtime;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Rewriting;

/// <summary>Writes activations and weights of the formats that are not integers into a graph, in the form that a target reads.</summary>
internal static class FormatWriter
{
    /// <summary>True for a format that is written here.</summary>
    public static bool Writes(string format) => WeightFormat.Names.Contains(format) || format == "int8-dynamic";

    /// <summary>Why a layer of the plan stays in float on the cpu, or null.</summary>
    public static string? CpuRefusal(LayerPlan layer) => layer.Weight.Format == "nf4" && layer.Op is not ("MatMul" or "Gemm") ? $"ONNX Runtime has no nf4 {layer.Op}" : null;

    /// <summary>The standard operator set that a format's operators need.</summary>
    /// <param name="target">tensorrt or sim.</param>
    public static long Opset(string format, string target) => (format, target) switch
    {
        // FLOAT4E2M1.
        ("nvfp4", "tensorrt") => 23,
        // FLOAT8E4M3FN, FLOAT8E5M2.
        ("fp8" or "fp8-e5m2" or "mxfp8" or "nvfp4", _) => 19,
        _ => 13,
    };

    /// <summary>Quantises and dequantises an activation; returns the name of the result.</summary>
    /// <param name="reduction">Length of its last axis.</param>
    public static string Activation(QdqWriter writer, TensorPlan activation, string target, long reduction)
    {
        writer.Require(Opset(activation.Format, target), activation.Format);
        return writer.Insert(activation.Tensor, $"{activation.Format} {activation.Amax:r}", suffix => target == "tensorrt"
            ? TensorRtFormats.Activation(activation.Format, activation.Tensor, activation.Amax, suffix)
            : SimActivations.Of(activation.Format, activation.Tensor, reduction, activation.Amax, suffix));
    }

    /// <summary>Stores a weight in its format, or decoded where the target is the simulation; returns the name of the dequantised weight.</summary>
    /// <exception cref="QuantSdkException">QSDK3031 where the weight is not finite.</exception>
    public static string Weight(QdqWriter writer, WeightPlan weight, string target)
    {
        writer.Require(Opset(weight.Format, target), weight.Format);
        return writer.Insert(weight.Tensor, $"{weight.Format} {weight.Axis} {weight.BlockSize}", suffix =>
        {
            var tensor = writer.Initializer(weight.Tensor);
            var name = weight.Tensor + suffix;
            var values = Finite(tensor, writer.Path);
            if (target == "tensorrt")
                return TensorRtFormats.Weight(weight.Format, name, values, tensor.Dims, weight.Axis);
            // ONNX Runtime folds fp8 when it loads the model; of the other formats it has no kernels.
            return weight.Format is "fp8" or "fp8-e5m2" && weight.BlockSize == 0
                ? TensorRtFormats.Fp8Weight(weight.Format, name, values, tensor.Dims, weight.Axis)
                : Decoded(weight, name, values, tensor.Dims);
        });
    }

    /// <summary>Puts MatMulBnb4 in the place of a MatMul or Gemm.</summary>
    /// <exception cref="QuantSdkException">QSDK3031 where the weight is not finite.</exception>
    public static void Nf4Product(QdqWriter writer, LayerPlan layer)
    {
        var node = writer.Nodes[layer.Node];
        var tensor = writer.Initializer(layer.Weight.Tensor);
        var fragment = Nf4MatMul.Write(node.Input[0], layer.Node, Finite(tensor, writer.Path), tensor.Dims, layer.Weight.Axis, layer.Bias, layer.Weight.BlockSize);
        writer.Replace(node, fragment);
    }

    private static Fragment Decoded(WeightPlan weight, string name, ReadOnlySpan<float> values, IReadOnlyList<long> dims)
    {
        var format = WeightFormat.Of(weight.Format);
        var decoded = format.Decode(format.Encode(values, dims, weight.Axis, weight.BlockSize == 0 ? null : weight.BlockSize));
        return new Fragment($"{name}_{weight.Format}", [], [Tensors.Create($"{name}_{weight.Format}", decoded, [.. dims])]);
    }

    private static ReadOnlySpan<float> Finite(TensorProto tensor, string path)
    {
        var values = tensor.DataType == (int)DataType.Float ? MemoryMarshal.Cast<byte, float>(tensor.RawData.Span) : tensor.ToFloats();
        foreach (var value in values)
        {
            if (!float.IsFinite(value))
                throw new QuantSdkException("QSDK3031", $"'{path}': the weight '{tensor.Name}' holds {value}, which no scale can hold. Export the model again, or leave its layer in float with ExcludeModules.", path, tensor.Name);
        }
        return values;
    }
}
