using System.Globalization;
using QuantSdk.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Rewriting;

/// <summary>
/// Which nodes of a graph stay in 32 bits when the rest goes to 16, and why: those whose values or constants do not fit, those in which
/// small differences decide (phases of waves, sums, guards against division by zero), and those that TensorRT or ONNX have in 32 bits alone.
/// </summary>
internal sealed class FullPrecisionNodes
{
    /// <summary>Operators that are interpolation or sampling, which TensorRT runs in 32 bits, or whose result is a position.</summary>
    private static readonly HashSet<string> OfOperators = ["Resize", "Upsample", "GridSample", "AffineGrid", "RoiAlign", "NonMaxSuppression", "Range", "RandomNormal", "RandomUniform", "Multinomial"];

    private static readonly HashSet<string> Sums = ["ReduceSum", "ReduceMean", "ReduceSumSquare", "ReduceL1", "ReduceL2", "ReduceProd", "ReduceLogSum", "ReduceLogSumExp", "CumSum"];

    /// <summary>Operators that move values, or compute one of a few of them.</summary>
    private static readonly HashSet<string> Cheap =
    [
        "Add", "Sub", "Mul", "Div", "Neg", "Abs", "Exp", "Log", "Pow", "Sqrt", "Reciprocal", "Floor", "Ceil", "Round", "Mod", "Min", "Max", "Clip", "Where", "Cast", "Einsum", "MatMul", "Range", "ConstantOfShape",
        "Unsqueeze", "Squeeze", "Reshape", "Flatten", "Transpose", "Expand", "Tile", "Concat", "Slice", "Split", "Gather", "Identity", "CumSum",
    ];

    /// <summary>Operators that move values alone.</summary>
    private static readonly HashSet<string> Moves = ["Unsqueeze", "Squeeze", "Reshape", "Flatten", "Transpose", "Expand", "Tile", "Concat", "Slice", "Split", "Gather", "Identity"];

    private readonly GraphView _view;
    private readonly IReadOnlyDictionary<string, int> _types;
    private readonly IReadOnlyDictionary<string, float> _amax;
    private readonly HalfType _half;
    private readonly Dictionary<NodeProto, string> _reasons = new(ReferenceEqualityComparer.Instance);

    private FullPrecisionNodes(GraphProto graph, IReadOnlyDictionary<string, int> types, IReadOnlyDictionary<string, float> amax, HalfType half) =>
        (_view, _types, _amax, _half) = (new GraphView(graph), types, amax, half);

    /// <summary>Products whose operands are cast behind their DequantizeLinear: TensorRT has fp8 attention with 32-bit sums alone, and knows it by these Casts.</summary>
    public HashSet<NodeProto> CastOperands { get; } = new(ReferenceEqualityComparer.Instance);

    public IEnumerable<FullPrecisionNode> Reasons => _view.Graph.Node.Where(_reasons.ContainsKey).Select(n => new FullPrecisionNode(n.Label(), n.OpType, _reasons[n]));

    public bool Contains(NodeProto node) => _reasons.ContainsKey(node);

    public static FullPrecisionNodes Of(GraphProto graph, IReadOnlyDictionary<string, int> types, IReadOnlyDictionary<string, float> amax, HalfType half)
    {
        var nodes = new FullPrecisionNodes(graph, types, amax, half);
        nodes.Decide();
        return nodes;
    }

    /// <summary>True for a scale that the type holds well enough to be stored in it.</summary>
    public bool Fits(string scale) => _view.Initializer(scale) is not { } tensor || Array.TrueForAll(tensor.ToFloats(), s => s >= _half.LeastScale && s <= _half.Largest);

    /// <summary>Dequantisers have no precision of their own: they are written in that of each reader.</summary>
    public static bool IsDequantiser(NodeProto node) => node.OpType is "DequantizeLinear" or "TRT_MXFP8DequantizeLinear";

    /// <summary>True for what is 32 bits in any case: two levels of scales (nvfp4), and scales that do not fit.</summary>
    public bool OnlyFull(NodeProto dequantiser) => dequantiser.Is("DequantizeLinear") && (_view.Initializer(dequantiser.Input[1]) is null || !Fits(dequantiser.Input[1]));

    private void Decide()
    {
        foreach (var node in _view.Graph.Node.Where(IsFloat))
        {
            if (OfItself(node) is { } reason)
                _reasons[node] = reason;
        }
        foreach (var node in _view.Graph.Node.Where(n => n.Is("Sin") || n.Is("Cos")))
            Phase(node, node.Input[0]);
        // Positions that are computed in floats.
        foreach (var node in _view.Graph.Node.Where(n => n.Is("Cast") && n.Int("to", 0) is (long)DataType.Int64 or (long)DataType.Int32))
            Phase(node, node.Input[0]);
        foreach (var node in _view.Graph.Node.Where(n => n.OpType is "Add" or "Max" or "Clip" && n.Input.Any(IsTiny)).ToArray())
            Guard(node);
        Between();
    }

    private bool IsFloat(string tensor) => _types.GetValueOrDefault(tensor) == (int)DataType.Float;

    private bool IsFloat(NodeProto node) => !IsDequantiser(node) && (node.HasSubgraph() || node.Input.Any(IsFloat) || node.Output.Any(IsFloat));

    private string? OfItself(NodeProto node)
    {
        if (node.HasSubgraph())
            return "control flow";
        if (node.Domain is not ("" or "ai.onnx" or TensorRtFormats.Domain))
            return $"an operator of {node.Domain}";
        if (OfOperators.Contains(node.OpType) || node.OpType.Contains("Sequence", StringComparison.Ordinal) || node.OpType.StartsWith("Optional", StringComparison.Ordinal))
            return $"{node.OpType} is run in fp32";
        if (_half.Without.Contains(node.OpType))
            return $"{node.OpType} is not of {_half.Name}";
        if (Sums.Contains(node.OpType))
            return "sums";
        if (node.OpType is "Sin" or "Cos")
            return "a phase";
        if (node.Is("MatMul") && node.Input.All(IsFp8Activation))
        {
            CastOperands.Add(node);
            return "attention in fp8 sums in fp32";
        }
        if (node.Is("QuantizeLinear"))
            return !Fits(node.Input[1]) ? $"its scale does not fit {_half.Name}" : Beyond(node.Input[0]);
        if (node.Input.FirstOrDefault(i => _view.Producer(i) is { } d && IsDequantiser(d) && d.Is("DequantizeLinear") && !Fits(d.Input[1])) is { } unfit)
            return $"the scale of '{unfit}' does not fit {_half.Name}";
        if (node.Is("Transpose") && _view.Producer(node.Input[0]) is { } two && IsDequantiser(two) && OnlyFull(two))
            return "two levels of scales";
        // A Cast between types computes nothing: its readers decide.
        if (node.Is("Cast"))
            return null;
        foreach (var input in node.Input)
        {
            if (_view.Initializer(input) is { DataType: (int)DataType.Float } constant && Unfit(constant) is { } why)
                return why;
        }
        return node.Input.Concat(node.Output).Select(Beyond).FirstOrDefault(b => b is not null);
    }

    private bool IsFp8Activation(string tensor) =>
        _view.Producer(tensor) is { } d && d.Is("DequantizeLinear") && _view.Initializer(d.Input[0]) is null && _types.GetValueOrDefault(d.Input[0]) == (int)DataType.Float8E4M3Fn;

    private string? Beyond(string tensor)
    {
        if (!IsFloat(tensor))
            return null;
        var amax = Amax(tensor);
        return amax > _half.MostObserved ? string.Create(CultureInfo.InvariantCulture, $"'{tensor}' reaches {amax:G4}")
            : amax > 0 && amax < _half.LeastObserved ? string.Create(CultureInfo.InvariantCulture, $"'{tensor}' does not exceed {amax:G4}")
            : null;
    }

    /// <summary>0 where nothing is known.</summary>
    private float Amax(string tensor) =>
        _amax.TryGetValue(tensor, out var known) ? known
        : _view.Producer(tensor) is { } d && d.Is("DequantizeLinear") && _view.Producer(d.Input[0]) is { } q && q.Is("QuantizeLinear") ? _amax.GetValueOrDefault(q.Input[0])
        : 0;

    private string? Unfit(TensorProto constant)
    {
        var amax = Magnitude(constant);
        return amax > _half.Largest || (amax > 0 && amax < _half.LeastConstant) ? string.Create(CultureInfo.InvariantCulture, $"the constant '{constant.Name}' of {amax:G4}") : null;
    }

    /// <summary>The largest finite magnitude: infinity is one in 16 bits too.</summary>
    private static float Magnitude(TensorProto constant) => constant.ToFloats().Select(MathF.Abs).Where(float.IsFinite).DefaultIfEmpty(0).Max();

    private bool IsTiny(string tensor) => _view.Initializer(tensor) is { DataType: (int)DataType.Float } constant && constant.Count() == 1 && Magnitude(constant) is > 0 and var value && value < _half.LeastConstant;

    /// <summary>Everything from the inputs to a wave or an index, where nothing but cheap arithmetic is on the way.</summary>
    private void Phase(NodeProto node, string argument)
    {
        var chain = new HashSet<NodeProto>(ReferenceEqualityComparer.Instance);
        var open = new Stack<string>([argument]);
        while (open.TryPop(out var tensor))
        {
            if (!IsFloat(tensor) || _view.Producer(tensor) is not { } producer || !chain.Add(producer))
                continue;
            if (!Cheap.Contains(producer.OpType) || (producer.Is("MatMul") && producer.Input.Any(i => _view.Initializer(i) is { } weight && weight.Dims.Count(d => d > 1) > 1)))
                return;
            foreach (var input in producer.Input)
                open.Push(input);
        }
        foreach (var part in chain.Where(n => !n.Is("Cast") || n.Input.Any(IsFloat)))
            _reasons.TryAdd(part, $"the argument of {node.Label()}");
    }

    /// <summary>A small constant that keeps a divisor from zero: it must not round away before the division.</summary>
    private void Guard(NodeProto guard)
    {
        var reason = $"guarded by {guard.Label()}";
        var sources = new Stack<string>(guard.Input);
        while (sources.TryPop(out var tensor))
        {
            if (!IsFloat(tensor) || _view.Producer(tensor) is not { } producer || !(Sums.Contains(producer.OpType) || producer.OpType is "Pow" or "Sqrt" or "Abs" || (producer.OpType == "Mul" && producer.Input[0] == producer.Input[1])))
                continue;
            _reasons.TryAdd(producer, reason);
            foreach (var input in producer.Input)
                sources.Push(input);
        }
        var results = new Stack<(string Tensor, bool Inverse)>([(guard.Output[0], false)]);
        while (results.TryPop(out var result))
        {
            foreach (var (reader, input) in _view.Consumers(result.Tensor))
            {
                var inverts = reader.OpType == "Reciprocal" || (reader.OpType == "Pow" && _view.Initializer(reader.Input[1]) is { } power && power.Count() == 1 && power.ToFloats()[0] < 0) || (reader.OpType == "Div" && input == 1);
                if (!(inverts || reader.OpType is "Sqrt" or "Pow" or "Log" || (result.Inverse && (reader.OpType == "Mul" || Moves.Contains(reader.OpType)))) || !_reasons.TryAdd(reader, reason))
                    continue;
                if (reader.OpType != "Mul" && !(reader.OpType == "Div" && _view.Initializer(reader.Input[0]) is null))
                    results.Push((reader.Output[0], result.Inverse || inverts));
            }
        }
    }

    /// <summary>What moves values from one node in 32 bits to others stays there too: two Casts less, and no bit lost.</summary>
    private void Between()
    {
        var between = _view.Graph.Node.Where(n => Moves.Contains(n.OpType) && IsFloat(n) && !_reasons.ContainsKey(n)).ToHashSet<NodeProto>(ReferenceEqualityComparer.Instance);
        bool Full(NodeProto node) => _reasons.ContainsKey(node) || between.Contains(node);
        bool FullSource(string tensor) => !IsFloat(tensor) || _view.Producer(tensor) is not { } producer || IsDequantiser(producer) || producer.Is("Cast") || Full(producer);
        bool Stays(NodeProto node) =>
            node.Input.All(FullSource) && node.Input.Any(i => IsFloat(i) && _view.Initializer(i) is null) && node.Output.All(o => _view.Consumers(o).All(c => Full(c.Node)));
        while (between.RemoveWhere(n => !Stays(n)) > 0)
        {
        }
        foreach (var node in between)
            _reasons[node] = "between others";
    }
}
