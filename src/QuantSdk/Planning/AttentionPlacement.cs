using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Recipes;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Planning;

/// <summary>Which attention products run in fp8 at Level 4, and why others do not.</summary>
internal static class AttentionPlacement
{
    /// <summary>Channels of a head that TensorRT's fused attention takes in fp8: a multiple of this …</summary>
    private const long HeadMultiple = 16;

    /// <summary>… up to this.</summary>
    private const long LargestHead = 256;

    public static IEnumerable<(AttentionProduct Product, (string Reason, bool BuiltIn)? Exclusion)> Decide(
        OnnxModel model, IReadOnlyList<AttentionProduct> products, Structure structure, Recipe recipe, Patterns only, Patterns exclude, ModulePaths modules)
    {
        var types = products.Count == 0 ? null : TypeInference.Infer(model.Proto);
        foreach (var product in products)
            yield return (product, Exclusion(product));

        (string, bool)? Exclusion(AttentionProduct product)
        {
            NodeProto[] nodes = [product.Scores, product.Output];
            if (!structure.DependsOnSample(product.Q))
                return (Structure.Conditioning, true);
            if (recipe.Only.Count > 0 && !nodes.Any(n => only.Matches(n, modules[n])))
                return ("not matched by Only", false);
            if (nodes.Any(n => exclude.Matches(n, modules[n])))
                return ("matched by ExcludeModules", false);
            if (types!.GetValueOrDefault(product.Q) is not { } q)
                return null;
            if (q.ElemType != (int)DataType.Float)
                return ($"its operands are {ElementType.Name(q.ElemType)}; float is quantised in this version", false);
            return q.Shape is { Dim.Count: > 0 } shape && shape.Dim[^1] is { HasDimValue: true, DimValue: > 0 and var head } && (head % HeadMultiple != 0 || head > LargestHead)
                ? ($"its heads have {head} channels; attention in fp8 takes multiples of {HeadMultiple} up to {LargestHead}", false)
                : null;
        }
    }
}
