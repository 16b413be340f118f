using QuantSdk.Numerics;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Rewriting;

/// <summary>
/// Weights and activations in the forms that TensorRT's importer takes (its documentation, "Working with quantized types"; the importers of
/// the domain <c>trt</c> in onnx-tensorrt). Axes are always written: the importer's defaults differ between versions.
/// </summary>
internal static class TensorRtFormats
{
    /// <summary>
    /// What ONNX Runtime must leave alone to run fp8 pairs as they stand, besides <c>session.disable_quant_qdq=1</c>: it looks for the limits of
    /// a QuantizeLinear behind a Relu or Clip, and does not load a model where that is of fp8.
    /// </summary>
    public static IReadOnlyList<string> DisabledOptimizers { get; } = ["ReluQuantRewrite", "ClipQuantRewrite"];

    /// <summary>The domain of TensorRT's own operators.</summary>
    public const string Domain = "trt";

    /// <summary>True for a plan whose graph has operators or types that ONNX Runtime's CPU cannot run.</summary>
    public static bool OnlyThere(Plan plan) => plan.Layers.Any(l => l.Activation.Format is "mxfp8" or "nvfp4" || l.Weight.Format is "mxfp8" or "nvfp4");

    /// <param name="amax">Largest magnitude in the calibration data; mxfp8 does without.</param>
    public static Fragment Activation(string format, string tensor, float amax) => format switch
    {
        "fp8" => Fp8Activation(tensor, amax),
        "mxfp8" => Mxfp8Activation(tensor),
        "nvfp4" => Nvfp4Activation(tensor, amax),
        _ => throw new ArgumentOutOfRangeException(nameof(format), format, "fp8, mxfp8, nvfp4"),
    };

    /// <param name="name">What the names of its tensors begin with.</param>
    public static Fragment Weight(string format, string name, EncodedWeight weight) => format switch
    {
        "fp8" => Fp8Weight(format, name, weight),
        "mxfp8" => Mxfp8Weight(name, weight),
        "nvfp4" => Nvfp4Weight(name, weight),
        _ => throw new ArgumentOutOfRangeException(nameof(format), format, "fp8, mxfp8, nvfp4"),
    };

    /// <summary>FLOAT8 codes in the weight's own order and DequantizeLinear with a scale an output channel.</summary>
    internal static Fragment Fp8Weight(string format, string name, EncodedWeight weight)
    {
        var type = SimActivations.Fp8Type(format).Type;
        var b = new FragmentBuilder($"{name}_{format}");
        var codes = b.Constant(Tensors.Raw($"{name}_{format}_q", type, weight.InOwnOrder(weight.Codes), [.. weight.Dims]));
        var scales = b.Constant(Tensors.Vector($"{name}_{format}_scale", weight.Scales));
        var zeros = b.Constant(Tensors.Raw($"zero_{format}_{weight.Scales.Length}", type, new byte[weight.Scales.Length], weight.Scales.Length));
        return b.Finish(b.Node(n => n.With("axis", (long)weight.Axis!.Value), "DequantizeLinear", codes, scales, zeros));
    }

    private static Fragment Fp8Activation(string tensor, float amax)
    {
        var b = new FragmentBuilder(tensor + "_fp8");
        var scale = b.Constant(Tensors.Scalar(tensor + "_fp8_scale", SmallFloat.E4M3.Scale(amax)));
        var zero = b.Constant(Tensors.Raw("zp_fp8", DataType.Float8E4M3Fn, [0]));
        return b.Finish(b.Node("DequantizeLinear", b.Node("QuantizeLinear", tensor, scale, zero), scale, zero));
    }

    private static Fragment Mxfp8Activation(string tensor)
    {
        var b = new FragmentBuilder($"{tensor}_mxfp8");
        var q = b.Node(n => Blocks(n, Mxfp8.BlockSize).With("output_dtype", (long)DataType.Float8E4M3Fn), Domain, "TRT_MXFP8DynamicQuantize", 2, tensor);
        return b.Finish(Mxfp8Dequantise(b, q[0], q[1]));
    }

    private static Fragment Mxfp8Weight(string name, EncodedWeight weight)
    {
        var b = new FragmentBuilder(name + "_mxfp8");
        var codes = b.Constant(Tensors.Raw(name + "_mxfp8_q", DataType.Float8E4M3Fn, weight.Codes, InRows(weight, weight.Reduction)));
        // TensorRT reads E8M0 from bytes.
        var scales = b.Constant(Tensors.Raw(name + "_mxfp8_scale", DataType.Uint8, weight.BlockScales, InRows(weight, weight.Blocks)));
        return b.Finish(InOwnOrder(b, Mxfp8Dequantise(b, codes, scales), weight));
    }

    private static Fragment Nvfp4Activation(string tensor, float amax)
    {
        var b = new FragmentBuilder($"{tensor}_nvfp4");
        var tensorScale = b.Constant(Tensors.Scalar($"{tensor}_nvfp4_scale", Nvfp4.TensorScale(amax)));
        var q = b.Node(n => Blocks(n, Nvfp4.BlockSize).With("scale_type", (long)DataType.Float8E4M3Fn), Domain, "TRT_FP4DynamicQuantize", 2, tensor, tensorScale);
        return b.Finish(Nvfp4Dequantise(b, q[0], q[1], tensorScale));
    }

    private static Fragment Nvfp4Weight(string name, EncodedWeight weight)
    {
        var b = new FragmentBuilder(name + "_nvfp4");
        var codes = b.Constant(Tensors.Raw(name + "_nvfp4_q", DataType.Float4E2M1, weight.Codes, InRows(weight, weight.Reduction)));
        var scales = b.Constant(Tensors.Raw(name + "_nvfp4_scale", DataType.Float8E4M3Fn, weight.BlockScales, InRows(weight, weight.Blocks)));
        var tensorScale = b.Constant(Tensors.Scalar(name + "_nvfp4_tensor_scale", weight.Scales[0]));
        return b.Finish(InOwnOrder(b, Nvfp4Dequantise(b, codes, scales, tensorScale), weight));
    }

    private static string Mxfp8Dequantise(FragmentBuilder b, string codes, string scales) =>
        b.Node(n => Blocks(n, Mxfp8.BlockSize).With("output_dtype", (long)DataType.Float), Domain, "TRT_MXFP8DequantizeLinear", 1, codes, scales)[0];

    /// <summary>Two levels: the tensor's scale makes numbers of the block scales, they of the elements.</summary>
    private static string Nvfp4Dequantise(FragmentBuilder b, string codes, string scales, string tensorScale) =>
        b.Node(n => Blocks(n, Nvfp4.BlockSize), "DequantizeLinear", codes, b.Node("DequantizeLinear", scales, tensorScale));

    private static NodeProto Blocks(NodeProto node, int size) => node.With("axis", -1L).With("block_size", (long)size);

    /// <summary>Shape with the output channels before the reduction axis, of which <paramref name="last"/> elements are left.</summary>
    private static long[] InRows(EncodedWeight weight, long last) => [.. weight.Dims.Take(weight.Dims.Count - 2), weight.Dims[weight.Axis!.Value], last];

    /// <summary>Blocks run along the last axis; a weight [K, N] is stored as [N, K] and turned.</summary>
    private static string InOwnOrder(FragmentBuilder b, string rows, EncodedWeight weight)
    {
        var rank = weight.Dims.Count;
        if (weight.Axis != rank - 1)
            return rows;
        long[] turned = [.. Enumerable.Range(0, rank - 2).Select(i => (long)i), rank - 1, rank - 2];
        return b.Node(n => n.With("perm", turned), "Transpose", rows);
    }
}
