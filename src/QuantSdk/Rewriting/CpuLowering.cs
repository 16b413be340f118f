using QuantSdk.Numerics;
using QuantSdk.Onnx;
using QuantSdk.Planning;

namespace QuantSdk.Rewriting;

/// <summary>
/// The form ONNX Runtime's CPU provider runs in int8: u8 activations with their own zero point, s8 per-channel weights, Q/DQ on the input and
/// the output of Conv, on the input alone of linear layers, int32 bias for Gemm, float bias elsewhere. The two ends of a convolution
/// are quantised channel by channel at no cost: its QuantizeLinear and DequantizeLinear have a scale for each channel where the
/// convolution itself sees one, and its weights take up the difference.
/// </summary>
internal static class CpuLowering
{
    /// <summary>Optimisers that must stay off: MatMul+Add would become a float-bias Gemm that no int8 kernel takes.</summary>
    public static IReadOnlyList<string> DisabledOptimizers { get; } = ["MatMulAddFusion"];

    /// <summary>Why a layer of the plan stays in float on this target, or null.</summary>
    public static string? Refusal(LayerPlan layer) =>
        layer.Weight.Format == "nf4" ? Nf4MatMul.Refusal(layer.Op)
        : layer.Op == "ConvTranspose" ? "ONNX Runtime has no int8 ConvTranspose on the CPU" : null;

    public static ModelProto Lower(OnnxModel model, Plan plan, RoundedWeights? rounded)
    {
        var fused = FloatFusions.BeforeQuantising(model);
        var layers = plan.Layers.Where(l => Refusal(l) is null).ToArray();
        var (divided, absorbed) = ProducerAbsorption.Apply(fused.Model, layers, rounded);
        var writer = new QdqWriter(divided, layers, plan.Samples, rounded, negativeScales: true);
        var bound = BoundByOthers(model, layers);
        var read = layers.Where(l => l.Output is not null && l.Activation.Format != "float").Select(l => l.Activation).DistinctBy(a => a.Tensor).ToDictionary(a => a.Tensor, StringComparer.Ordinal);
        // Outputs first: a tensor that one layer writes and another reads has one pair.
        var outputs = layers.Where(l => l.Output is not null && l.Activation.Format != "float").Select(l => l.Output!).DistinctBy(o => o.Tensor)
            .ToDictionary(o => o.Tensor, o => Output(writer, o, read.GetValueOrDefault(o.Tensor), bound.Contains(o.Tensor)), StringComparer.Ordinal);
        // Codes that one convolution writes on a single scale, the next takes as they are: scales of its own would be a pass over the tensor.
        bound.UnionWith(outputs.Where(o => o.Value is null).Select(o => o.Key));
        foreach (var layer in layers)
        {
            if (layer.Weight.Format == "nf4")
            {
                writer.Nf4Product(layer);
                continue;
            }
            var node = writer.Nodes[layer.Node];
            if (layer.Activation.Format == "int8-dynamic")
            {
                // The kernel itself looks for the range, over all rows of the batch.
                var dynamic = writer.Weight(layer, null, null, divisors: null);
                node.Input[1] = dynamic.Name;
                continue;
            }
            var (activation, grid, factors, centres) = Activation(writer, layer, bound.Contains(layer.Activation.Tensor), absorbed.Contains(layer.Activation.Tensor));
            node.Input[0] = activation;
            var output = layer.Output is null ? null : outputs.GetValueOrDefault(layer.Output.Tensor);
            var weight = writer.Weight(layer, factors, centres, output?.Divisors);
            node.Input[1] = weight.Name;
            Bias(writer, layer, node, weight, grid, output, centres is not null);
        }
        foreach (var layer in plan.Stored)
            writer.Stored(layer);
        return FloatFusions.AfterQuantising(writer.Finish(), fused.Shapes, layers.Where(l => l.Activation.Format == "int8-dynamic").Select(l => l.Node).ToHashSet(StringComparer.Ordinal));
    }

    private static (string Name, Int8Grid Grid, float[]? Factors, float[]? Centres) Activation(QdqWriter writer, LayerPlan layer, bool bound, bool absorbed)
    {
        var tensor = layer.Activation;
        if (tensor.Format == "float")
            return (tensor.Tensor, default, null, null);
        if (tensor.Smoothed is not { } smoothed || (bound && layer.Output is not null))
            return (writer.Activation(tensor.Tensor, Grid(tensor)), Grid(tensor), null, null);
        if (absorbed)
        {
            var small = Int8Grid.Asymmetric(smoothed.Low, smoothed.High);
            return (writer.Activation(tensor.Tensor, small), small, smoothed.Factors, null);
        }
        if (layer.Output is null && smoothed.Centres is not null && writer.CanAbsorb(tensor.Tensor, centred: true))
        {
            var centred = Int8Grid.Asymmetric(smoothed.CentredLow, smoothed.CentredHigh);
            return (writer.Smoothed(tensor.Tensor, centred, smoothed.Factors, smoothed.Centres, last: true), centred, smoothed.Factors, smoothed.Centres);
        }
        if (Plain(smoothed))
            return (writer.Activation(tensor.Tensor, Grid(tensor)), Grid(tensor), null, null);
        var grid = Int8Grid.Asymmetric(smoothed.Low, smoothed.High);
        var name = layer.Output is not null ? writer.SmoothedByChannel(tensor.Tensor, grid, smoothed.Factors) : writer.Smoothed(tensor.Tensor, grid, smoothed.Factors, null, last: true);
        return (name, grid, smoothed.Factors, null);
    }

    /// <summary>
    /// Tensors on either side of a node that is neither convolution nor linear layer, where both sides are quantised: ONNX Runtime makes
    /// one 8-bit operator of it (QLinearAdd, …), which takes no scales by channel.
    /// </summary>
    private static HashSet<string> BoundByOthers(OnnxModel model, IReadOnlyList<LayerPlan> layers)
    {
        var outputs = layers.Where(l => l.Output is not null).Select(l => l.Output!.Tensor).ToHashSet(StringComparer.Ordinal);
        var quantised = layers.Select(l => l.Activation.Tensor).Concat(outputs).ToHashSet(StringComparer.Ordinal);
        var products = layers.Select(l => l.Node).ToHashSet(StringComparer.Ordinal);
        var bound = new HashSet<string>(StringComparer.Ordinal);
        var view = new GraphView(model.Graph);
        foreach (var node in model.Graph.Node.Where(n => !products.Contains(n.Label())))
        {
            var before = node.Input.Where(outputs.Contains).ToArray();
            var after = before.Length == 0 ? [] : node.Output.SelectMany(o => Through(view, o)).Where(quantised.Contains).ToArray();
            if (after.Length == 0)
                continue;
            bound.UnionWith(before);
            bound.UnionWith(after);
        }
        return bound;
    }

    /// <summary>A tensor, and what nodes make of it that a QuantizeLinear behind them swallows or passes.</summary>
    private static IEnumerable<string> Through(GraphView view, string tensor)
    {
        yield return tensor;
        foreach (var (node, _) in view.Consumers(tensor).Where(c => c.Node.OpType is "Relu" or "Clip" or "Reshape" or "Transpose" or "Flatten" or "Squeeze" or "Unsqueeze" or "MaxPool"))
        {
            foreach (var further in Through(view, node.Output[0]))
                yield return further;
        }
    }

    /// <summary>Centres alone gain nothing here: the grid has a zero point.</summary>
    private static bool Plain(SmoothedPlan smoothed) => smoothed.Factors.All(f => f == 1);

    private static ChannelOutput? Output(QdqWriter writer, OutputPlan output, TensorPlan? read, bool bound)
    {
        if (output.Lows is null || bound)
        {
            writer.Output(output.Tensor, read is not null ? Grid(read) : Int8Grid.Asymmetric(output.Low, output.High));
            return null;
        }
        if (read is not null)
        {
            // The next convolution takes these codes as they are, so both ends share factors and zero point.
            if (read.Smoothed is not { } smoothed || Plain(smoothed))
            {
                writer.Output(output.Tensor, Grid(read));
                return null;
            }
            var shared = Int8Grid.Asymmetric(smoothed.Low, smoothed.High);
            var factors = smoothed.Factors;
            writer.Output(output.Tensor, shared, Array.ConvertAll(factors, f => f * shared.Scale), [.. factors.Select(_ => (byte)shared.ZeroPoint)], factors);
            return new ChannelOutput(factors, new double[factors.Length]);
        }
        var grids = output.Lows.Zip(output.Highs!, Int8Grid.Asymmetric).ToArray();
        // Behind a Relu nothing may be shifted; elsewhere the middle of the codes serves all channels.
        var zeroPoint = Array.TrueForAll(grids, g => g.ZeroPoint == 0) ? 0 : 128;
        var grid = new Int8Grid(grids.Max(g => g.Scale), zeroPoint, false);
        writer.Output(output.Tensor, grid, Array.ConvertAll(grids, g => g.Scale), Array.ConvertAll(grids, g => (byte)g.ZeroPoint), null);
        return new ChannelOutput(Array.ConvertAll(grids, g => g.Scale / grid.Scale), Array.ConvertAll(grids, g => grid.Scale * (double)(g.ZeroPoint - zeroPoint)));
    }

    /// <summary>b' = (b + corrections)/divisor + shift, in the place where this operator has it.</summary>
    private static void Bias(QdqWriter writer, LayerPlan layer, NodeProto node, EncodedLayer weight, Int8Grid grid, ChannelOutput? output, bool centred)
    {
        var own = layer.Bias is null ? null : writer.Values(layer.Bias);
        var correction = weight.RoundingCorrection.Select((c, o) => c + (centred ? weight.CentreCorrection[o] : 0)).ToArray();
        var corrected = Array.Exists(correction, c => c != 0);
        if (layer.Op == "MatMul")
        {
            if (corrected)
                writer.AddBehind(node, correction, insert: centred);
            return;
        }
        // A Conv or Gemm without a bias gets one only where it costs nothing: what an int8 kernel adds anyway.
        if (own is null && !corrected && output is null)
            return;
        var values = correction.Select((c, o) => (c + (own?[o] ?? 0)) / (output?.Divisors[o] ?? 1) + (output?.Shifts[o] ?? 0)).ToArray();
        var name = layer.Op == "Gemm" && layer.Activation.Format != "float" ? writer.Int32Bias(layer.Node, values, grid.Scale, weight.Scales) : writer.Vector(layer.Node + "_bias", values);
        if (node.Input.Count > 2)
            node.Input[2] = name;
        else
            node.Input.Add(name);
    }

    private static Int8Grid Grid(TensorPlan tensor) => Int8Grid.Asymmetric(tensor.Low, tensor.High);

    /// <summary>What a convolution's weights are divided by, and its bias shifted by, so that all channels fill one grid.</summary>
    private sealed record ChannelOutput(float[] Divisors, double[] Shifts);
}
