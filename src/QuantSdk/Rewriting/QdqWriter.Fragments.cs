using QuantSdk.Numerics;
using QuantSdk.Onnx;
using QuantSdk.Planning;

namespace QuantSdk.Rewriting;

/// <summary>Formats that are not integers, whose forms are fragments.</summary>
internal sealed partial class QdqWriter
{
    private readonly Dictionary<string, List<(TensorProto Constant, string Name)>> _shared = new(StringComparer.Ordinal);
    private readonly Dictionary<(string, string), string> _fragments = [];
    private readonly Dictionary<(WeightPlan, object?, bool), EncodedLayer> _encoded = [];
    private readonly Dictionary<NodeProto, IReadOnlyList<NodeProto>> _replacements = new(ReferenceEqualityComparer.Instance);

    /// <summary>Quantises and dequantises a layer's activation; returns the name of the result.</summary>
    public string Activation(LayerPlan layer, string target)
    {
        var plan = layer.Activation;
        if (plan.Format == "float")
            return plan.Tensor;
        var weight = _view.Initializer(layer.Weight.Tensor)!.Dims;
        // A linear layer sums over the last axis of its activation. A convolution does not, and has no blocks there.
        var reduction = weight[layer.Weight.Axis == weight.Count - 1 ? ^2 : ^1];
        return Activation(plan, reduction, target);
    }

    /// <summary>Quantises and dequantises both operands of a product of activations.</summary>
    /// <param name="tensors">What it multiplies; one scale each.</param>
    public void Operands(NodeProto product, string target, params TensorPlan[] tensors)
    {
        for (var i = 0; i < product.Input.Count; i++)
            product.Input[i] = Activation(tensors.First(t => t.Tensor == product.Input[i]), reduction: 0, target);
    }

    private string Activation(TensorPlan plan, long reduction, string target) => Insert(plan.Tensor, $"{plan.Format} {plan.Amax:r}", () => FormatWriter.Activation(target, plan, reduction));

    /// <summary>Stores a layer's weight in the form that a target reads.</summary>
    /// <param name="factors">What input channels are multiplied by.</param>
    /// <param name="centres">What was subtracted from input channels.</param>
    public EncodedLayer Weight(LayerPlan layer, float[]? factors, float[]? centres, string target)
    {
        factors = _vectors.Same(factors);
        var key = (layer.Weight, (object?)factors, centres is not null);
        var tensor = _view.Initializer(layer.Weight.Tensor)!;
        if (layer.Weight.Format == "float" && factors is null && centres is null)
            return new EncodedLayer(tensor.Name, [], [], null, [], []);
        var shape = WeightShape.Of(layer.Op, layer.Weight.Axis, tensor.Dims, layer.Groups);
        var (values, smoothed) = EncodedLayer.Smooth(tensor, shape, factors);
        var (fragment, decoded) = FormatWriter.Weight(target, layer.Weight, smoothed, tensor.Dims);
        var (rounding, centring) = EncodedLayer.Corrections(values, smoothed, i => decoded[i], shape, factors, layer.Activation.Means, centres);
        // Layers that share a weight read other activations, and have other mean errors.
        if (_encoded.TryGetValue(key, out var done))
            return done with { RoundingCorrection = rounding, CentreCorrection = centring };
        fragment = Adopt(fragment);
        _first.AddRange(fragment.Nodes);
        return _encoded[key] = new EncodedLayer(fragment.Output, [], [], null, rounding, centring);
    }

    /// <summary>
    /// Stores the weight of a layer that computes in float: as MatMul with an int8 weight [inputs, outputs] and one scale an output,
    /// which ONNX Runtime multiplies as it is (MatMulNBits); a Gemm with transB it would dequantise in every run.
    /// </summary>
    public void Stored(LayerPlan layer)
    {
        var node = Nodes[layer.Node];
        var weight = _view.Initializer(layer.Weight.Tensor)!;
        var turned = layer.Weight.Axis == 0;
        var (values, inputs, outputs) = (weight.ToFloats(), (int)weight.Dims[turned ? 1 : 0], (int)weight.Dims[turned ? 0 : 1]);
        if (turned)
            values = [.. Enumerable.Range(0, values.Length).Select(i => values[((i % outputs) * inputs) + (i / outputs)])];
        FormatWriter.CheckFinite(weight.Name, values);
        var (codes, scales) = Int8Weights.Encode(values, [inputs, outputs], 1);
        var stem = Unique(layer.Weight.Tensor, "_q");
        _initializers.Add(Tensors.Create(stem + "_q", codes, inputs, outputs));
        _initializers.Add(Tensors.Vector(stem + "_scale", scales));
        var zeros = Constant($"zero_s8_{scales.Length}", name => Tensors.Vector(name, new sbyte[scales.Length]));
        _first.Add(Onnx.Nodes.Create("DequantizeLinear", "", [stem + "_q", stem + "_scale", zeros], [stem + "_dq"]).With("axis", 1L));
        if (node.Is("MatMul"))
        {
            node.Input[1] = stem + "_dq";
            return;
        }
        var biased = node.Input.Count > 2 && node.Input[2].Length > 0;
        var product = biased ? Unique(node.Output[0] + "_product", "") : node.Output[0];
        var matMul = Onnx.Nodes.Create("MatMul", node.Name, [node.Input[0], stem + "_dq"], [product]);
        _replacements[node] = biased ? [matMul, Onnx.Nodes.Create("Add", "", [product, node.Input[2]], [node.Output[0]])] : [matMul];
    }

    /// <summary>Puts MatMulBnb4 in the place of a product.</summary>
    public void Nf4Product(LayerPlan layer)
    {
        var node = Nodes[layer.Node];
        var weight = _view.Initializer(layer.Weight.Tensor)!;
        var values = weight.ToFloats();
        FormatWriter.CheckFinite(weight.Name, values);
        var (encoded, decoded) = Nf4MatMul.Encode(values, weight.Dims, layer.Weight.Axis, layer.Weight.BlockSize);
        var correction = EncodedLayer.Corrections(values, values, i => decoded[i], WeightShape.Of(layer.Op, layer.Weight.Axis, weight.Dims, 1), null, layer.Activation.Means, null).Rounding;
        var bias = layer.Bias;
        if (layer.Op == "MatMul")
            AddBehind(node, correction, insert: false);
        else if (correction.Any(c => c != 0))
            bias = Vector(layer.Node + "_bias", bias is null ? correction : [.. Values(bias).Select((v, o) => v + correction[o])]);
        var fragment = Adopt(Nf4MatMul.Write(node.Input[0], layer.Node, encoded, weight.Dims, layer.Weight.Axis, bias));
        // Its first node takes the product's name, its result that of the output.
        fragment.Nodes[0].Name = node.Name;
        fragment.Nodes[^1].Output[0] = node.Output[0];
        _replacements[node] = fragment.Nodes;
    }

    /// <summary>Adds a fragment that reads a tensor, once a key; returns the name of its result.</summary>
    private string Insert(string tensor, string key, Func<Fragment> make)
    {
        if (_fragments.TryGetValue((tensor, key), out var output))
            return output;
        var fragment = Adopt(make());
        foreach (var node in fragment.Nodes)
            After(tensor, node);
        return _fragments[(tensor, key)] = fragment.Output;
    }

    /// <summary>The fragment with names that are free in this graph, its constants among the graph's: equal ones are there once.</summary>
    private Fragment Adopt(Fragment fragment)
    {
        var names = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var constant in fragment.Initializers)
            names[constant.Name] = Shared(constant);
        foreach (var node in fragment.Nodes)
        {
            for (var i = 0; i < node.Input.Count; i++)
                node.Input[i] = names.GetValueOrDefault(node.Input[i], node.Input[i]);
            for (var i = 0; i < node.Output.Count; i++)
                node.Output[i] = names[node.Output[i]] = Unique(node.Output[i], "");
            node.Name = node.Output[0];
            if (node.Domain.Length > 0 && Model.OpsetImport.All(o => o.Domain != node.Domain))
                Model.OpsetImport.Add(new OperatorSetIdProto { Domain = node.Domain, Version = 1 });
        }
        return fragment with { Output = names.GetValueOrDefault(fragment.Output, fragment.Output) };
    }

    private string Shared(TensorProto constant)
    {
        if (!_shared.TryGetValue(constant.Name, out var named))
            _shared[constant.Name] = named = [];
        foreach (var (other, taken) in named)
        {
            if (other.DataType == constant.DataType && other.Dims.Equals(constant.Dims) && other.RawData.Equals(constant.RawData))
                return taken;
        }
        var name = Unique(constant.Name, "");
        named.Add((constant, name));
        constant.Name = name;
        _initializers.Add(constant);
        return name;
    }
}
