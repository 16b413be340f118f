using System.Numerics.Tensors;
using QuantSdk.Calibration;
using QuantSdk.Onnx;
using QuantSdk.Runtime;

namespace QuantSdk.Bench;

/// <summary>What the naive baseline does.</summary>
/// <param name="Weights">int8 (a channel's amax / 127), fp8 (the tensor's amax / 448), int4 (amax / 7 of blocks of 128 along the reduction, for convolutions of channels).</param>
/// <param name="Activations">u8 (min to max), s8 (±amax), fp8 (amax / 448), each for the whole tensor; or float.</param>
/// <param name="Layers">Names of the nodes; null: every layer with weights.</param>
/// <param name="ConvolutionOutputs">The form ONNX Runtime's cpu kernels need: convolutions quantise their outputs too.</param>
internal sealed record NaiveForm(string Weights, string Activations, IReadOnlySet<string>? Layers = null, bool ConvolutionOutputs = false);

/// <summary>
/// The baseline: plain fake quantisation from minima and maxima, as anyone would write it. Nothing here is the library's own way of quantising:
/// what the library does better is measured against this.
/// </summary>
internal sealed class Naive
{
    private readonly OnnxModel _model;
    private readonly List<(NodeProto Node, string Output)> _layers = [];
    private readonly Dictionary<string, (float Min, float Max)> _ranges = new(StringComparer.Ordinal);

    /// <summary>Watches every tensor that any form may quantise, in one pass.</summary>
    public Naive(OnnxModel model, CalibrationSource calibration, string folder)
    {
        _model = model;
        var graph = model.Graph;
        var constants = graph.Initializer.Where(t => t.DataType == (int)TensorProto.Types.DataType.Float).Select(t => t.Name).ToHashSet(StringComparer.Ordinal);
        foreach (var node in graph.Node.Where(n => n.OpType is "Conv" or "ConvTranspose" or "Gemm" or "MatMul"))
        {
            if (!constants.Contains(node.Input[1]) || constants.Contains(node.Input[0]))
                continue;
            // A Relu costs nothing where the kernel clips anyway, so the output is what follows it.
            var readers = graph.Node.Where(n => n.Input.Contains(node.Output[0])).ToArray();
            _layers.Add((node, readers is [{ OpType: "Relu" } relu] ? relu.Output[0] : node.Output[0]));
        }
        string[] tensors = [.. _layers.SelectMany(l => (string[])[l.Node.Input[0], l.Output]).Distinct(StringComparer.Ordinal)];
        using var observed = ObservedModel.Open(model, tensors, folder, Quantisation.Threads);
        calibration.Run(observed.Session, observed.BatchFor, (binding, _) =>
        {
            foreach (var tensor in tensors)
            {
                var values = binding.Values(tensor);
                var seen = _ranges.GetValueOrDefault(tensor);
                _ranges[tensor] = (Math.Min(seen.Min, TensorPrimitives.Min(values)), Math.Max(seen.Max, TensorPrimitives.Max(values)));
            }
        }, null, CancellationToken.None);
    }

    /// <summary>The model with weights that have been through the format and back, and activations that go through it at run time.</summary>
    public ModelProto Write(NaiveForm form)
    {
        var model = _model.Proto.Clone();
        var graph = model.Graph;
        var nodes = graph.Node.ToDictionary(n => n.Name, StringComparer.Ordinal);
        var weights = graph.Initializer.ToDictionary(t => t.Name, StringComparer.Ordinal);
        var after = new Dictionary<string, List<NodeProto>>(StringComparer.Ordinal);
        var done = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (original, output) in _layers.Where(l => form.Layers?.Contains(l.Node.Name) ?? true))
        {
            var node = nodes[original.Name];
            if (form.Weights != "float" && !done.TryGetValue("weight " + node.Input[1], out var rounded))
            {
                rounded = node.Input[1] + "_rounded";
                graph.Initializer.Add(Rounded(weights[node.Input[1]], node, form.Weights, rounded));
                done["weight " + node.Input[1]] = rounded;
            }
            node.Input[1] = done.GetValueOrDefault("weight " + node.Input[1], node.Input[1]);
            if (form.Activations == "float")
                continue;
            node.Input[0] = Quantised(original.Input[0]);
            if (form.ConvolutionOutputs && node.OpType == "Conv")
                Quantised(output);
        }
        // Where outputs are quantised, every reader sees the quantised tensor.
        if (form.ConvolutionOutputs)
        {
            foreach (var (original, output) in _layers.Where(l => l.Node.OpType == "Conv" && (form.Layers?.Contains(l.Node.Name) ?? true)))
            {
                if (!done.TryGetValue(output, out var quantised))
                    continue;
                foreach (var reader in graph.Node)
                    for (var i = 0; i < reader.Input.Count; i++)
                        if (reader.Input[i] == output)
                            reader.Input[i] = quantised;
            }
        }
        var ordered = new List<NodeProto>(after.Where(a => graph.Node.All(n => !n.Output.Contains(a.Key))).SelectMany(a => a.Value));
        foreach (var node in graph.Node)
        {
            ordered.Add(node);
            foreach (var output in node.Output)
                ordered.AddRange(after.GetValueOrDefault(output, []));
        }
        graph.Node.Clear();
        graph.Node.Add(ordered);
        return model;

        string Quantised(string tensor)
        {
            if (!done.TryGetValue(tensor, out var name))
            {
                name = done[tensor] = tensor + "_quantised";
                var (min, max) = _ranges[tensor];
                after[tensor] = form.Activations == "fp8" ? Fp8(graph, tensor, name, Math.Max(-min, max)) : Int8(graph, tensor, name, min, max, form.Activations == "s8");
            }
            return name;
        }
    }

    /// <summary>Codes count from the minimum, or for s8 from zero: no zero point is rounded.</summary>
    private static List<NodeProto> Int8(GraphProto graph, string tensor, string result, float min, float max, bool signed)
    {
        var scale = signed ? Math.Max(-min, max) / 127 : (max - min) / 255;
        if (scale <= 0)
            scale = 1;
        graph.Initializer.Add(Tensors.Scalar(result + "_scale", scale));
        graph.Initializer.Add(signed ? Tensors.Scalar(result + "_zero", (sbyte)0) : Tensors.Scalar(result + "_zero", (byte)0));
        graph.Initializer.Add(Tensors.Scalar(result + "_from", signed ? 0 : min));
        return
        [
            Nodes.Create("Sub", result + "_sub", [tensor, result + "_from"], [result + "_shifted"]),
            Nodes.Create("QuantizeLinear", result + "_q", [result + "_shifted", result + "_scale", result + "_zero"], [result + "_codes"]),
            Nodes.Create("DequantizeLinear", result + "_dq", [result + "_codes", result + "_scale", result + "_zero"], [result + "_back"]),
            Nodes.Create("Add", result + "_add", [result + "_back", result + "_from"], [result]),
        ];
    }

    /// <summary>
    /// E4M3 in plain operators, whatever the operator set: x·(2²⁰ + 1) − (x·(2²⁰ + 1) − x) leaves the four leading bits of the significand (Veltkamp);
    /// below 2⁻⁶ the step is 2⁻⁹ throughout.
    /// </summary>
    private static List<NodeProto> Fp8(GraphProto graph, string tensor, string result, float amax)
    {
        var nodes = new List<NodeProto>();
        var scale = amax > 0 ? amax / 448 : 1;
        var scaled = Op("Clip", Op("Div", tensor, Value("scale", scale)), Value("low", -448), Value("high", 448));
        var long_ = Op("Mul", scaled, Value("splitter", (1 << 20) + 1));
        var normal = Op("Sub", long_, Op("Sub", long_, scaled));
        var subnormal = Op("Div", Op("Round", Op("Mul", scaled, Value("steps", 512))), Value("steps", 512));
        var rounded = Op("Where", Op("Less", Op("Abs", scaled), Value("normal", 1f / 64)), subnormal, normal);
        nodes.Add(Nodes.Create("Mul", result + "_scaled_back", [rounded, Value("scale", scale)], [result]));
        return nodes;

        string Op(string op, params string[] inputs)
        {
            var name = $"{result}_{nodes.Count}";
            nodes.Add(Nodes.Create(op, name, inputs, [name]));
            return name;
        }

        string Value(string name, float value)
        {
            var constant = name == "scale" ? result + "_scale" : "naive_" + name;
            if (graph.Initializer.All(t => t.Name != constant))
                graph.Initializer.Add(Tensors.Scalar(constant, value));
            return constant;
        }
    }

    private static TensorProto Rounded(TensorProto weight, NodeProto node, string format, string name)
    {
        var values = weight.ToFloats();
        // As a row of channels, each with the elements it is computed from: (outer, channel, inner) of the tensor's own order.
        var axis = node.OpType switch { "Conv" => 0, "ConvTranspose" => 1, "Gemm" when node.Int("transB", 0) != 0 => 0, _ => weight.Dims.Count - 1 };
        int channels = (int)weight.Dims[axis], inner = (int)weight.Dims.Skip(axis + 1).Aggregate(1L, (a, b) => a * b), outer = values.Length / channels / inner;
        var reduction = outer * inner;
        int Index(int channel, int element) => (element / inner * channels + channel) * inner + element % inner;
        if (format == "fp8")
        {
            var scale = values.Max(Math.Abs) is var amax && amax > 0 ? amax / 448 : 1;
            for (var i = 0; i < values.Length; i++)
                values[i] = E4M3(values[i] / scale) * scale;
            return Tensors.Create(name, values, [.. weight.Dims]);
        }
        var largest = format == "int8" ? 127 : 7;
        var block = format == "int8" || node.OpType.StartsWith("Conv", StringComparison.Ordinal) ? reduction : Math.Min(128, reduction);
        for (var channel = 0; channel < channels; channel++)
        {
            for (var start = 0; start < reduction; start += block)
            {
                var end = Math.Min(reduction, start + block);
                float amax = 0;
                for (var e = start; e < end; e++)
                    amax = Math.Max(amax, Math.Abs(values[Index(channel, e)]));
                if (amax <= 0)
                    continue;
                var scale = amax / largest;
                for (var e = start; e < end; e++)
                    values[Index(channel, e)] = MathF.Round(values[Index(channel, e)] / scale) * scale;
            }
        }
        return Tensors.Create(name, values, [.. weight.Dims]);
    }

    private static float E4M3(float value)
    {
        var step = MathF.ScaleB(1, Math.Max(-6, MathF.Abs(value) > 0 ? MathF.ILogB(value) : -6) - 3);
        return MathF.Round(value / step) * step;
    }
}
