using QuantSdk.Numerics;
using QuantSdk.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Rewriting;

/// <summary>
/// Activations quantised and dequantised in operators that ONNX Runtime's CPU has, bit for bit as our codecs do it. Needs opset 19.
/// </summary>
internal static class SimActivations
{
    /// <param name="format">int8-dynamic, fp8, fp8-e5m2, mxfp8 or nvfp4.</param>
    /// <param name="reduction">Length of the tensor's last axis, along which blocks run.</param>
    /// <param name="amax">Largest magnitude in the calibration data; mxfp8 and int8-dynamic do without.</param>
    public static Fragment Of(string format, string tensor, long reduction, float amax) => format switch
    {
        "int8-dynamic" => Int8Dynamic(tensor),
        "fp8" or "fp8-e5m2" => Fp8(tensor, format, amax),
        "mxfp8" => Mxfp8(tensor, reduction),
        "nvfp4" => Nvfp4(tensor, reduction, amax),
        _ => throw new ArgumentOutOfRangeException(nameof(format), format, "int8-dynamic, fp8, fp8-e5m2, mxfp8, nvfp4"),
    };

    /// <summary>u8 with a range found in each run: one for all rows of a batch.</summary>
    private static Fragment Int8Dynamic(string tensor)
    {
        var b = new FragmentBuilder($"{tensor}_int8d");
        var q = b.Node(_ => { }, "", "DynamicQuantizeLinear", 3, tensor);
        return b.Finish(b.Node("DequantizeLinear", q));
    }

    /// <summary>One scale a tensor. Without QuantizeLinear: ONNX Runtime does not load one of fp8 behind a Relu.</summary>
    private static Fragment Fp8(string tensor, string format, float amax)
    {
        var (element, type) = Fp8Type(format);
        var b = new FragmentBuilder($"{tensor}_{format}");
        var scale = b.Constant(Tensors.Scalar($"{tensor}_{format}_scale", element.Scale(amax)));
        return b.Finish(b.Node("Mul", Through(b, type, b.Node("Div", tensor, scale)), scale));
    }

    /// <summary>Blocks of 32 in E4M3, each with the power of two 2^ceil(log2(amax / 448)).</summary>
    private static Fragment Mxfp8(string tensor, long reduction)
    {
        var b = new FragmentBuilder($"{tensor}_mxfp8");
        return InBlocks(b, tensor, reduction, Numerics.Mxfp8.BlockSize, (blocks, amax) =>
        {
            // The nearest power in the logarithm is the one wanted or the one below it, whatever the logarithm's last bits: one comparison decides.
            var logarithm = b.Node("Mul", b.Node("Log", b.Node("Max", amax, b.Number(Int8Weights.LeastScale))), b.Number((float)(1 / Math.Log(2))));
            var exponent = b.Node("Round", b.Node("Sub", logarithm, b.Number((float)Math.Log2(SmallFloat.E4M3.Max))));
            var code = b.Node("Clip", b.Node("Add", exponent, b.Number(E8M0.Bias)), b.Number(0), b.Number(254));
            var powers = b.Constant(Tensors.Vector("e8m0_values", [.. Enumerable.Range(0, 255).Select(c => E8M0.Decode((byte)c))]));
            var near = b.Node("Gather", powers, b.Node(n => n.With("to", (long)DataType.Int64), "Cast", code));
            var fits = b.Node("GreaterOrEqual", b.Node("Mul", near, b.Number(SmallFloat.E4M3.Max)), amax);
            var scale = b.Node("Where", fits, near, b.Node("Add", near, near));
            return b.Node("Mul", Through(b, DataType.Float8E4M3Fn, b.Node("Div", blocks, scale)), scale);
        });
    }

    /// <summary>Blocks of 16 in E2M1 with E4M3 scales; the tensor's scale is the calibrated one.</summary>
    private static Fragment Nvfp4(string tensor, long reduction, float amax)
    {
        var b = new FragmentBuilder($"{tensor}_nvfp4");
        var tensorScale = b.Constant(Tensors.Scalar($"{tensor}_nvfp4_scale", Numerics.Nvfp4.TensorScale(amax)));
        return InBlocks(b, tensor, reduction, Numerics.Nvfp4.BlockSize, (blocks, blockAmax) =>
        {
            var blockScale = Through(b, DataType.Float8E4M3Fn, b.Node("Div", b.Node("Div", blockAmax, b.Number(SmallFloat.E2M1.Max)), tensorScale));
            var scale = b.Node("Mul", b.Node("Max", blockScale, b.Number(SmallFloat.E4M3.Values[1])), tensorScale);
            // E2M1's values are ½ apart up to 2, then 1 up to 4, then 2; a multiple of the step is even where its code is.
            var value = b.Node("Div", blocks, scale);
            var magnitude = b.Node("Abs", value);
            var above = b.Node("Where", b.Node("Less", magnitude, b.Number(4)), b.Number(1), b.Number(2));
            var step = b.Node("Where", b.Node("Less", magnitude, b.Number(2)), b.Number(0.5f), above);
            var rounded = b.Node("Mul", b.Node("Round", b.Node("Div", value, step)), step);
            return b.Node("Mul", b.Node("Clip", rounded, b.Number(-SmallFloat.E2M1.Max), b.Number(SmallFloat.E2M1.Max)), scale);
        });
    }

    internal static (SmallFloat Element, DataType Type) Fp8Type(string format) =>
        format == "fp8-e5m2" ? (SmallFloat.E5M2, DataType.Float8E5M2) : (SmallFloat.E4M3, DataType.Float8E4M3Fn);

    private static string Through(FragmentBuilder b, DataType type, string tensor)
    {
        var code = b.Node(n => n.With("to", (long)type).With("saturate", 1L), "Cast", tensor);
        return b.Node(n => n.With("to", (long)DataType.Float), "Cast", code);
    }

    /// <summary>The last axis as blocks [blocks, size] with their maxima [blocks, 1], zeros after the last one; the result in the tensor's own shape.</summary>
    private static Fragment InBlocks(FragmentBuilder b, string tensor, long reduction, long size, Func<string, string, string> quantise)
    {
        var last = b.Integers(-1);
        var padding = (size - reduction % size) % size;
        var padded = padding == 0 ? tensor : b.Node("Pad", tensor, b.Integers(0, padding), b.Number(0), last);
        var blocks = b.Node("Reshape", padded, b.Integers(-1, size));
        var amax = b.Node("ReduceMax", b.Node("Abs", blocks), b.Integers(1));
        var result = b.Node("Reshape", quantise(blocks, amax), b.Node("Shape", padded));
        return b.Finish(padding == 0 ? result : b.Node("Slice", result, b.Integers(0), b.Integers(reduction), last));
    }
}
