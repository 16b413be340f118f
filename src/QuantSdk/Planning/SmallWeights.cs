using QuantSdk.Onnx;
using QuantSdk.Recipes;

namespace QuantSdk.Planning;

/// <summary>
/// The smallest weights of a model that together hold less than a tenth of all elements: with 4 or 2 bits they would save next to nothing, and
/// a layer's error does not depend on its size. They get 8 bits.
/// </summary>
internal static class SmallWeights
{
    private const double Share = 0.1;

    /// <returns>Names of the weights. Empty for other formats, and where activations stay in float.</returns>
    public static IReadOnlySet<string> Of(IReadOnlyList<Layer> layers, IReadOnlyDictionary<string, TensorProto> weights, Recipe recipe)
    {
        var small = new HashSet<string>(StringComparer.Ordinal);
        if (recipe.Weights is not ("int4" or "int2") || recipe.Activations != "int8")
            return small;
        var sizes = layers.Select(l => l.Weight).Distinct(StringComparer.Ordinal).Select(name => (Name: name, Count: weights[name].Count())).OrderBy(w => w.Count).ThenBy(w => w.Name, StringComparer.Ordinal).ToArray();
        var room = (long)(sizes.Sum(s => s.Count) * Share);
        foreach (var (name, count) in sizes)
        {
            room -= count;
            if (room < 0)
                break;
            small.Add(name);
        }
        return small;
    }
}
