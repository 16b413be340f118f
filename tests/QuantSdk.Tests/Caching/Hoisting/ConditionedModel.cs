using QuantSdk.Onnx;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;
using QuantSdk.Tests.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Caching.Hoisting;

/// <summary>A small denoiser that has everything that hoisting tells apart.</summary>
internal static class ConditionedModel
{
    public const int Width = 4;

    public static DiffusionRoles Roles { get; } = new("sample", "timestep", 1);

    /// <summary>
    /// time = sin(t·w) over the sample's rows; sum = time + text·P; b = s² + sum (laid out anew) + text·K shaped like s²; y = b + (text·M)·(rows of s²) + tanh(sum).
    /// </summary>
    public static ModelProto Create() => TestModels.Create(
        [TestModels.Input("sample", DataType.Float, -1, Width), TestModels.Input("timestep", DataType.Float), TestModels.Input("text", DataType.Float, -1, Width)], ["y"],
        [
            Weight("w", 1, 1), Weight("wp", Width, 2), Weight("wk", Width, 3), Weight("wm", Width, 4),
            Tensors.Vector("zero", [0L]), Tensors.Vector("one", [1L]), Tensors.Vector("flat", [-1L, Width]),
        ],
        // The rows of the sample itself: of no value of it.
        Nodes.Create("Shape", "", ["sample"], ["shape"]), Nodes.Create("Slice", "", ["shape", "zero", "one"], ["rows"]), Nodes.Create("Expand", "", ["timestep", "rows"], ["times"]),
        Nodes.Create("Unsqueeze", "", ["times", "one"], ["column"]), Nodes.Create("MatMul", "", ["column", "w"], ["angle"]), Nodes.Create("Sin", "", ["angle"], ["time"]),
        Nodes.Create("MatMul", "", ["text", "wp"], ["prompt"]), Nodes.Create("Add", "", ["time", "prompt"], ["sum"]), Nodes.Create("Reshape", "", ["sum", "flat"], ["laid"]), Nodes.Create("Tanh", "", ["sum"], ["deep"]),
        Nodes.Create("MatMul", "", ["text", "wk"], ["key"]),
        Nodes.Create("Mul", "", ["sample", "sample"], ["square"]), Nodes.Create("Shape", "", ["square"], ["inner"]), Nodes.Create("Reshape", "", ["key", "inner"], ["keys"]),
        // Shaped by something computed from the sample, which a head would have to compute too.
        Nodes.Create("MatMul", "", ["text", "wm"], ["mask"]), Nodes.Create("Cast", "", ["inner"], ["inner_float"]).With("to", (long)DataType.Float), Nodes.Create("Slice", "", ["inner_float", "zero", "one"], ["count"]),
        Nodes.Create("Mul", "", ["mask", "count"], ["counted"]),
        Nodes.Create("Add", "", ["square", "laid"], ["a"]), Nodes.Create("Add", "", ["a", "keys"], ["b"]), Nodes.Create("Add", "", ["b", "counted"], ["c"]),
        Nodes.Create("Add", "", ["c", "deep"], ["y"]));

    /// <summary>The part of it that computes b.</summary>
    public static ModelProto Live()
    {
        var model = Create();
        model.Graph.Output[0].Name = "b";
        DeadCode.Remove(model.Graph);
        return model;
    }

    private static TensorProto Weight(string name, int rows, int seed) => Tensors.Create(name, TestModels.Random(rows * Width, seed), rows, Width);
}
