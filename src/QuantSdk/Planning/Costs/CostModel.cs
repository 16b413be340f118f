using QuantSdk.Calibration;
using QuantSdk.Onnx;

namespace QuantSdk.Planning;

/// <summary>
/// The predicted time of a model's layers with any subset of them in int8. A layer costs its kernel; a tensor costs what its
/// producer and its readers need done to it: quantised once however many int8 layers read it, not at all behind an int8 convolution,
/// dequantised where anything in float reads that one's output, and turned from one kernel's layout to the other's.
/// </summary>
internal sealed class CostModel
{
    /// <summary>What ONNX Runtime computes in the blocked layout of its float convolutions.</summary>
    private static readonly HashSet<string> Blocked = ["Conv", "Add", "Relu", "Clip", "Sigmoid", "Mul", "Concat", "MaxPool", "AveragePool", "GlobalAveragePool", "BatchNormalization"];

    private readonly CostTable _table;
    private readonly Layer[] _layers;
    private readonly bool _dynamic;
    private readonly double[] _float, _int8;
    private readonly Edge[] _edges;
    private readonly (int Activation, int Output)[] _edgesOf;

    /// <param name="dynamic">Linear layers quantise what they read themselves.</param>
    public CostModel(GraphView view, Layer[] layers, WorkShape[] shapes, CalibrationTable calibration, CostTable table, int batch, bool dynamic = false)
    {
        (_table, _layers, _dynamic) = (table, layers, dynamic);
        _float = [.. shapes.Select(s => table.Microseconds(CostKernels.Of(s, int8: false), s))];
        _int8 = [.. shapes.Select(s => table.Microseconds(dynamic && s.Kind == WorkShape.Linear ? CostKernels.LinearDynamic : CostKernels.Of(s, int8: true), s))];
        var index = new Dictionary<string, int>(StringComparer.Ordinal);
        var edges = new List<Edge>();
        _edgesOf = new (int, int)[layers.Length];
        for (var i = 0; i < layers.Length; i++)
        {
            var activation = EdgeOf(layers[i].Activation);
            edges[activation].Readers.Add(i);
            _edgesOf[i] = (activation, -1);
            if (layers[i].IsConvolution)
            {
                var output = EdgeOf(layers[i].Output);
                edges[output].Producer = i;
                _edgesOf[i].Output = output;
            }
        }
        var nodes = layers.Select(l => l.Node).ToHashSet(ReferenceEqualityComparer.Instance);
        foreach (var edge in edges)
        {
            var others = view.Consumers(edge.Tensor).Where(c => !(c.Input == 0 && nodes.Contains(c.Node))).Select(c => c.Node).ToArray();
            edge.Returned = view.IsOutput(edge.Tensor);
            edge.OthersRead = edge.Returned || others.Length > 0;
            edge.OthersReadBlocked = !edge.Returned && others.All(n => n.Domain.Length == 0 && Blocked.Contains(n.OpType));
        }
        _edges = [.. edges];

        int EdgeOf(string tensor)
        {
            if (index.TryGetValue(tensor, out var at))
                return at;
            var elements = WorkShape.OfElements(Math.Max(1, batch * calibration[tensor].ElementsPerRow));
            edges.Add(new Edge(tensor, _table.Microseconds(CostKernels.Quantize, elements), _table.Microseconds(CostKernels.Dequantize, elements), _table.Microseconds(CostKernels.Transpose, elements), _table.Microseconds(CostKernels.Reorder, elements)));
            return index[tensor] = edges.Count - 1;
        }
    }

    /// <summary>Microseconds of everything.</summary>
    public double Total(bool[] int8) => Enumerable.Range(0, _layers.Length).Sum(i => Kernel(i, int8)) + _edges.Sum(e => Moves(e, int8));

    /// <summary>
    /// The subset that costs least, by descent from all and from none: single layers, layers that read one tensor, and chains of convolutions
    /// change sides as long as that makes the whole faster.
    /// </summary>
    public bool[] Cheapest()
    {
        var groups = Groups();
        var all = Descend([.. _layers.Select(_ => true)], groups);
        var none = Descend(new bool[_layers.Length], groups);
        return Total(none) < Total(all) - 1e-9 ? none : all;
    }

    /// <summary>What one layer costs on either side, the others being as they are.</summary>
    public (double Float, double Int8) Alternatives(int layer, bool[] int8)
    {
        var state = (bool[])int8.Clone();
        state[layer] = true;
        var with = Around(layer, state);
        state[layer] = false;
        return (_float[layer], _float[layer] + with - Around(layer, state));
    }

    private bool[] Descend(bool[] int8, IReadOnlyList<int[]> groups)
    {
        for (var improved = true; improved;)
        {
            improved = false;
            foreach (var group in groups)
            {
                foreach (var side in (bool[])[true, false])
                {
                    if (group.All(i => int8[i] == side))
                        continue;
                    var before = Affected(group, int8);
                    var old = group.Select(i => int8[i]).ToArray();
                    foreach (var i in group)
                        int8[i] = side;
                    if (Affected(group, int8) < before - 1e-9)
                    {
                        improved = true;
                        continue;
                    }
                    for (var k = 0; k < group.Length; k++)
                        int8[group[k]] = old[k];
                }
            }
        }
        return int8;
    }

    private IReadOnlyList<int[]> Groups()
    {
        var groups = Enumerable.Range(0, _layers.Length).Select(i => (int[])[i]).ToList();
        groups.AddRange(_edges.Where(e => e.Readers.Count > 1).Select(e => e.Readers.ToArray()));
        // Chains: convolutions joined by tensors that one writes and another reads.
        var chain = Enumerable.Range(0, _layers.Length).ToArray();
        int Root(int i) => chain[i] == i ? i : chain[i] = Root(chain[i]);
        foreach (var edge in _edges.Where(e => e.Producer >= 0))
        {
            foreach (var reader in edge.Readers)
                chain[Root(reader)] = Root(edge.Producer);
        }
        groups.AddRange(Enumerable.Range(0, _layers.Length).GroupBy(Root).Where(g => g.Count() > 1).Select(g => g.ToArray()));
        return groups;
    }

    private double Kernel(int layer, bool[] int8) => int8[layer] ? _int8[layer] : _float[layer];

    /// <summary>The part of the total that the state of a layer changes.</summary>
    private double Around(int layer, bool[] int8) => Affected([layer], int8);

    private double Affected(int[] group, bool[] int8)
    {
        var edges = new HashSet<int>();
        var sum = 0.0;
        foreach (var layer in group)
        {
            sum += Kernel(layer, int8);
            edges.Add(_edgesOf[layer].Activation);
            if (_edgesOf[layer].Output >= 0)
                edges.Add(_edgesOf[layer].Output);
        }
        return sum + edges.Sum(e => Moves(_edges[e], int8));
    }

    private double Moves(Edge edge, bool[] int8)
    {
        bool int8Reads = false, int8Convolves = false, floatReads = edge.OthersRead, floatConvolves = false, blockedReads = edge.OthersReadBlocked;
        foreach (var reader in edge.Readers)
        {
            var convolves = _layers[reader].IsConvolution;
            int8Reads |= int8[reader] && (convolves || !_dynamic);
            int8Convolves |= int8[reader] && convolves;
            floatReads |= !int8[reader] || (_dynamic && !convolves);
            floatConvolves |= !int8[reader] && convolves;
            blockedReads &= !int8[reader] && convolves;
        }
        if (edge.Producer >= 0 && int8[edge.Producer])
            return (floatReads ? edge.Transpose + edge.Dequantize : 0) + (floatConvolves ? edge.Reorder : 0);
        var quantised = (int8Reads ? edge.Quantize : 0) + (int8Convolves ? edge.Transpose : 0);
        if (edge.Producer >= 0)
            return quantised + (blockedReads ? 0 : edge.Reorder);
        return quantised + (floatConvolves ? edge.Reorder : 0);
    }

    /// <summary>A tensor between layers.</summary>
    private sealed class Edge(string tensor, double quantize, double dequantize, double transpose, double reorder)
    {
        public string Tensor => tensor;

        public double Quantize => quantize;

        public double Dequantize => dequantize;

        public double Transpose => transpose;

        public double Reorder => reorder;

        /// <summary>The convolution that writes it, or −1.</summary>
        public int Producer { get; set; } = -1;

        public List<int> Readers { get; } = [];

        public bool Returned { get; set; }

        /// <summary>Something reads it that is no layer.</summary>
        public bool OthersRead { get; set; }

        /// <summary>Whatever else reads it takes the blocked layout.</summary>
        public bool OthersReadBlocked { get; set; }
    }
}
