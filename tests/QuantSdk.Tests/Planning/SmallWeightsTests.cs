using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Recipes;

namespace QuantSdk.Tests.Planning;

[TestClass]
public sealed class SmallWeightsTests
{
    private static readonly Recipe s_recipe = new() { Name = "m", Weights = "int4", Activations = "int8" };

    [TestMethod]
    public void The_smallest_weights_keep_eight_bits_up_to_a_tenth_of_all()
    {
        // 100 elements: 2 + 3 are in, the 6 after them would be 11.
        Assert.IsTrue(Small(s_recipe, 50, 39, 6, 3, 2).SetEquals(["w3", "w4"]));
        Assert.IsTrue(Small(s_recipe, 50, 40, 5, 3, 2).SetEquals(["w2", "w3", "w4"]));
        Assert.IsEmpty(Small(s_recipe, 40, 30, 30));
    }

    [TestMethod]
    public void A_weight_of_several_layers_counts_once()
    {
        var layers = Layers(90, 10);
        Assert.IsTrue(SmallWeights.Of([.. layers, layers[1], layers[1]], Weights(90, 10), s_recipe).SetEquals(["w1"]));
    }

    [TestMethod]
    [DataRow("int8", "int8")]
    [DataRow("int4", "float")]
    [DataRow("nvfp4", "nvfp4")]
    public void Other_formats_are_one_for_all(string weights, string activations) => Assert.IsEmpty(Small(s_recipe with { Weights = weights, Activations = activations }, 90, 10));

    private static IReadOnlySet<string> Small(Recipe recipe, params int[] counts) => SmallWeights.Of(Layers(counts), Weights(counts), recipe);

    private static Layer[] Layers(params int[] counts) => [.. counts.Select((_, i) => new Layer(Nodes.Create("MatMul", $"n{i}", ["x", $"w{i}"], [$"y{i}"]), "", "x", $"w{i}", 1, null, $"y{i}"))];

    private static Dictionary<string, TensorProto> Weights(params int[] counts) => counts.Select((c, i) => Tensors.Create($"w{i}", new float[c], c, 1)).ToDictionary(t => t.Name, StringComparer.Ordinal);
}
