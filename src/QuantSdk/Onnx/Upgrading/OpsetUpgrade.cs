using QuantSdk.Recipes;
using QuantSdk.Runtime;

namespace QuantSdk.Onnx.Upgrading;

/// <summary>
/// Rewrites a model for a newer version of the standard operator set. Every operator whose meaning or form changed on the way has an
/// adapter (<see cref="OpChanges"/>) or is refused; what did not change passes. Bodies of If, Loop and Scan are upgraded too; operators
/// of other domains and model-local functions, which import their own versions, are left alone.
/// </summary>
internal static class OpsetUpgrade
{
    /// <summary>Up to 6 binary operators broadcast by an axis attribute.</summary>
    public const long Oldest = 7;

    /// <summary>The newest version the table of changes knows; it is also what ONNX Runtime 1.29 takes with a final specification.</summary>
    public const long Newest = 25;

    /// <summary>The oldest operator set that has what the recipe's formats need.</summary>
    public static long Needed(Recipe recipe)
    {
        // 13: scales per channel. 19: 8-bit floats. 21: scales per block, 4-bit integers. 23: 4-bit floats. 25: 2-bit integers.
        long needed = recipe.Precision == "none" ? Oldest : Math.Max(OfFormat(recipe.Weights), OfFormat(recipe.Activations));
        return recipe.BlockSize > 0 ? Math.Max(needed, 21) : needed;
    }

    /// <summary>A copy of the model that computes the same at <paramref name="opset"/>; the model itself where it is that new already.</summary>
    /// <exception cref="QuantSdkException">QSDK3001 for an operator that changed and has no adapter, or an operator set before <see cref="Oldest"/>.</exception>
    public static OnnxModel To(OnnxModel model, long opset)
    {
        if (opset is < Oldest or > Newest)
            throw new ArgumentOutOfRangeException(nameof(opset), opset, $"{Oldest} to {Newest}");
        var from = model.Opset;
        if (!HasStandardOperators(model) || from >= opset)
            return model;
        if (from < Oldest)
            throw new QuantSdkException("QSDK3001", $"'{model.Path}' uses opset {from}; {Oldest} is the oldest that can be upgraded. Export the model again, with opset 17 or newer if you can.", model.Path);
        var proto = model.Proto.Clone();
        new GraphUpgrade(proto, model.Path, from, opset).Run();
        foreach (var import in proto.OpsetImport.Where(o => o.Domain is "" or "ai.onnx"))
            import.Version = opset;
        proto.IrVersion = Math.Max(proto.IrVersion, IrVersion(opset));
        return model with { Proto = proto };
    }

    /// <summary>The version of the file format that was current with an operator set; from 4 on initializers need not be inputs.</summary>
    public static long IrVersion(long opset) => opset switch
    {
        <= 9 => 4,
        10 => 5,
        11 => 6,
        <= 14 => 7,
        <= 18 => 8,
        <= 20 => 9,
        <= 22 => 10,
        23 => 11,
        24 => 12,
        _ => 13,
    };

    private static bool HasStandardOperators(OnnxModel model) => model.Proto.OpsetImport.Any(o => o.Domain is "" or "ai.onnx");

    private static long OfFormat(string format) => format switch
    {
        "float" => Oldest,
        "int8" or "int8-dynamic" => 13,
        "fp8" or "fp8-e5m2" => 19,
        "nvfp4" => 23,
        "int2" => 25,
        _ => 21,
    };
}
