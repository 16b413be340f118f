using QuantSdk.Numerics;
using QuantSdk.Recipes;

namespace QuantSdk.Planning;

/// <summary>The formats of one layer where those of the recipe do not fit its kind.</summary>
internal static class LayerFormats
{
    /// <param name="reduction">Length of the axis that a linear layer sums over.</param>
    /// <returns>
    /// fp8 for mxfp8 and nvfp4 where blocks have no place: no target has block-wise convolutions, and TensorRT takes whole blocks only.
    /// int8 for int8-dynamic in convolutions: ONNX Runtime's ConvInteger is slower than float.
    /// </returns>
    public static FormatPair Of(FormatPair recipe, string op, long reduction)
    {
        var convolution = op is "Conv" or "ConvTranspose";
        var activations = recipe.Activations switch
        {
            "int8-dynamic" when convolution => "int8",
            "mxfp8" when convolution || reduction % Mxfp8.BlockSize != 0 => "fp8",
            "nvfp4" when convolution || reduction % Nvfp4.BlockSize != 0 => "fp8",
            var format => format,
        };
        // Both operands of a product are in one kind of number.
        return activations == "fp8" && recipe.Weights is "mxfp8" or "nvfp4" ? new FormatPair("fp8", "fp8") : recipe with { Activations = activations };
    }
}
