namespace QuantSdk.Planning;

/// <summary>Layers that must agree on a format: those that read one activation (Q, K and V), as it is quantised once, or one weight, as it is stored once.</summary>
internal static class LayerGroups
{
    /// <summary>The groups, each and all in the order of <paramref name="layers"/>.</summary>
    public static IReadOnlyList<IReadOnlyList<LayerPlan>> Of(IReadOnlyList<LayerPlan> layers)
    {
        var leader = Enumerable.Range(0, layers.Count).ToArray();
        var first = new Dictionary<(bool IsWeight, string Tensor), int>();
        for (var i = 0; i < layers.Count; i++)
        {
            foreach (var shared in ((bool, string)[])[(false, layers[i].Activation.Tensor), (true, layers[i].Weight.Tensor)])
            {
                if (!first.TryAdd(shared, i))
                    Join(first[shared], i);
            }
        }
        return [.. Enumerable.Range(0, layers.Count).GroupBy(Find).Select(g => (IReadOnlyList<LayerPlan>)[.. g.Select(i => layers[i])])];

        int Find(int i) => leader[i] == i ? i : leader[i] = Find(leader[i]);

        void Join(int a, int b)
        {
            var (one, other) = (Find(a), Find(b));
            leader[Math.Max(one, other)] = Math.Min(one, other);
        }
    }
}
