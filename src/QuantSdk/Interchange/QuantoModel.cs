using QuantSdk.Calibration;
using QuantSdk.Onnx;
using QuantSdk.Planning;

namespace QuantSdk.Interchange;

/// <summary>
/// Quantised layers under the keys that optimum-quanto reads: `module.weight._data`, `._scale` and `._shift`, `module.bias`,
/// `module.input_scale`, `module.output_scale`. Weights are in torch's orientation, output channels first.
/// </summary>
/// <param name="Modules">Module → format of its weights and of its activations, as in quanto_qmap.json.</param>
/// <param name="Left">Layers that have no such form, and why.</param>
internal sealed record QuantoModel(IReadOnlyList<SafetensorsTensor> Tensors, IReadOnlyDictionary<string, QuantoModule> Modules, IReadOnlyList<Kept> Left)
{
    /// <param name="format">int8, fp8, int4 or int2.</param>
    /// <param name="calibration">Ranges of <see cref="Observed"/>, or null for weights alone: the activations then stay in float and their scales at 1.</param>
    public static QuantoModel Encode(OnnxModel model, IReadOnlyList<Layer> layers, string format, CalibrationTable? calibration)
    {
        var view = new GraphView(model.Graph);
        var tensors = new List<SafetensorsTensor>();
        var modules = new SortedDictionary<string, QuantoModule>(StringComparer.Ordinal);
        var left = new List<Kept>();
        // A module that runs twice has its weight once.
        foreach (var layer in layers.DistinctBy(l => (l.Module.Length > 0 ? l.Module : l.Node.Label(), l.Weight)))
        {
            if (layer.Op == "ConvTranspose")
            {
                left.Add(new Kept(layer.Node.Label(), layer.Op, layer.Module, "quanto quantises no transposed convolution", false));
                continue;
            }
            var module = Name(layer, modules);
            var (bias, output) = Bias(view, layer);
            var (weights, shape) = ChannelsFirst(view.Initializer(layer.Weight)!, layer.WeightAxis);
            tensors.AddRange(QuantoWeights.Encode($"{module}.weight", format, weights, shape));
            if (bias is not null)
                tensors.Add(QuantoWeights.Float($"{module}.bias", bias, bias.Length));
            tensors.Add(QuantoWeights.Float($"{module}.input_scale", [Scale(layer.Activation)]));
            tensors.Add(QuantoWeights.Float($"{module}.output_scale", [Scale(output)]));
            modules[module] = new QuantoModule(QuantoWeights.QType(format), calibration is null ? "none" : "qint8");
        }
        return new QuantoModel(tensors, modules, left);

        float Scale(string tensor) => calibration is null ? 1 : Numerics.Int8Grid.Symmetric(calibration[tensor].Amax).Scale;
    }

    /// <summary>The tensors whose ranges activations need: what each layer reads and, its bias added, writes.</summary>
    public static IReadOnlyList<string> Observed(OnnxModel model, IReadOnlyList<Layer> layers)
    {
        var view = new GraphView(model.Graph);
        return [.. layers.SelectMany(l => (string[])[l.Activation, Bias(view, l).Output]).Distinct(StringComparer.Ordinal)];
    }

    /// <summary>The module's path, else the node's; further weights of one module are numbered from 2.</summary>
    private static string Name(Layer layer, SortedDictionary<string, QuantoModule> taken)
    {
        var path = layer.Module.Length > 0 ? layer.Module : layer.Node.Label().Trim('/').Replace('/', '.');
        var name = path;
        for (var n = 2; taken.ContainsKey(name); n++)
            name = $"{path}_{n}";
        return name;
    }

    /// <summary>The bias, which exporters write as an Add behind a MatMul, and the tensor behind it.</summary>
    private static (float[]? Bias, string Output) Bias(GraphView view, Layer layer)
    {
        var output = layer.Node.Output[0];
        if (layer.Bias is not null)
            return (view.Initializer(layer.Bias)!.ToFloats(), output);
        if (layer.Op == "MatMul" && view.OnlyConsumer(output) is { } add && add.Is("Add")
            && add.Input.Select(view.Initializer).FirstOrDefault(t => t is not null) is { } vector
            && vector.Dims is [var length] && length == view.Initializer(layer.Weight)!.Dims[layer.WeightAxis])
            return (vector.ToFloats(), add.Output[0]);
        return (null, output);
    }

    private static (float[] Weights, long[] Shape) ChannelsFirst(TensorProto weight, int axis)
    {
        var values = weight.ToFloats();
        long[] shape = [.. weight.Dims];
        if (axis == 0)
            return (values, shape);
        // Products keep [K, N]; torch's linear layers keep [N, K].
        var (rows, columns) = ((int)shape[0], (int)shape[1]);
        var transposed = new float[values.Length];
        for (var r = 0; r < rows; r++)
        {
            for (var c = 0; c < columns; c++)
                transposed[c * rows + r] = values[r * columns + c];
        }
        return (transposed, [columns, rows]);
    }
}
