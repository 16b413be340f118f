using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Rewriting;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Engines;

/// <summary>
/// Small graphs that hold one kernel of a cost table several times side by side, as the cpu lowering writes it. The difference between two
/// numbers of copies is the time of the kernel alone: calls, and what the copies share, cancel.
/// </summary>
internal static class KernelModels
{
    /// <param name="copies">How often the graph computes the kernel, each time with other weights.</param>
    public static ModelProto Create(string kernel, WorkShape shape, int copies) => shape.Kind switch
    {
        WorkShape.Linear => Linear(kernel, shape, copies),
        WorkShape.Move => Move(kernel, shape.Rows, copies),
        _ => Convolution(kernel == CostKernels.ConvInt8 || kernel == CostKernels.DepthwiseInt8, shape, copies),
    };

    private static ModelProto Linear(string kernel, WorkShape shape, int copies)
    {
        var graph = new Builder();
        graph.Input("x", kernel == CostKernels.LinearInt8 ? DataType.Uint8 : DataType.Float, 1, shape.Rows, shape.Inputs);
        graph.Scale();
        for (var i = 0; i < copies; i++)
        {
            var bias = graph.Floats($"b{i}", shape.Outputs);
            if (kernel == CostKernels.LinearFloat)
            {
                graph.Node("MatMul", ["x", graph.Floats($"w{i}", shape.Inputs, shape.Outputs)], shape.Bias ? $"p{i}" : $"y{i}");
                if (shape.Bias)
                    graph.Node("Add", [$"p{i}", bias], $"y{i}");
                continue;
            }
            var (weight, scale, zero) = graph.Weight($"w{i}", shape.Outputs, shape.Inputs, shape.Outputs);
            string[] added = shape.Bias ? [bias] : [];
            if (kernel == CostKernels.LinearInt8)
                graph.Node("MatMulIntegerToFloat", ["x", weight, "scale", scale, "zero", zero, .. added], $"y{i}", FloatFusions.Domain);
            else
                graph.Node("DynamicQuantizeMatMul", ["x", weight, scale, zero, .. added], $"y{i}", FloatFusions.Domain);
        }
        return graph.Finish(copies);
    }

    private static ModelProto Convolution(bool int8, WorkShape shape, int copies)
    {
        var (kernelHeight, kernelWidth) = NearSquare(shape.Taps);
        var (height, width) = NearSquare(shape.Rows);
        long[] weights = [shape.Outputs, shape.Inputs / shape.Groups, kernelHeight, kernelWidth];
        var graph = new Builder();
        graph.Input("x", int8 ? DataType.Uint8 : DataType.Float, 1, shape.Inputs, height, width);
        graph.Scale();
        if (int8)
            graph.Node("DequantizeLinear", ["x", "scale", "zero"], "x_dq");
        for (var i = 0; i < copies; i++)
        {
            var bias = graph.Floats($"b{i}", shape.Outputs);
            string[] operands;
            if (int8)
            {
                var (weight, scale, zero) = graph.Weight($"w{i}", shape.Outputs, weights);
                graph.Node("DequantizeLinear", [weight, scale, zero], $"w{i}_dq").With("axis", 0L);
                operands = ["x_dq", $"w{i}_dq", bias];
            }
            else
            {
                operands = ["x", graph.Floats($"w{i}", weights), bias];
            }
            graph.Node("Conv", operands, int8 ? $"p{i}" : $"y{i}")
                .With("kernel_shape", kernelHeight, kernelWidth).With("group", shape.Groups).With("pads", (kernelHeight - 1) / 2, (kernelWidth - 1) / 2, kernelHeight / 2, kernelWidth / 2);
            if (int8)
            {
                graph.Node("QuantizeLinear", [$"p{i}", "scale", "zero"], $"q{i}");
                graph.Node("DequantizeLinear", [$"q{i}", "scale", "zero"], $"y{i}");
            }
        }
        return graph.Finish(copies);
    }

    private static ModelProto Move(string kernel, long elements, int copies)
    {
        // Four dimensions with 32 channels, as far as the number allows: what layouts are changed of.
        var channels = elements % 32 == 0 ? 32 : 1;
        var (height, width) = NearSquare(elements / channels);
        var graph = new Builder();
        graph.Scale();
        for (var i = 0; i < copies; i++)
        {
            graph.Input($"x{i}", kernel is CostKernels.Quantize or CostKernels.Reorder ? DataType.Float : DataType.Uint8, 1, channels, height, width);
            switch (kernel)
            {
                case CostKernels.Quantize:
                    graph.Node("QuantizeLinear", [$"x{i}", "scale", "zero"], $"y{i}");
                    break;
                case CostKernels.Dequantize:
                    graph.Node("DequantizeLinear", [$"x{i}", "scale", "zero"], $"y{i}");
                    break;
                case CostKernels.Reorder:
                    // To the blocks of channels that ONNX Runtime's float convolutions compute in.
                    graph.Node("ReorderInput", [$"x{i}"], $"y{i}", "com.microsoft.nchwc");
                    break;
                default:
                    graph.Node("Transpose", [$"x{i}"], $"y{i}").With("perm", 0, 2, 3, 1);
                    break;
            }
        }
        return graph.Finish(copies);
    }

    /// <summary>Two factors of a number, as near to each other as its divisors allow, the smaller first.</summary>
    internal static (long Height, long Width) NearSquare(long count)
    {
        var height = (long)Math.Sqrt(count);
        while (height > 1 && count % height != 0)
            height--;
        return (Math.Max(1, height), count / Math.Max(1, height));
    }

    private sealed class Builder
    {
        private readonly ModelProto _model = new() { IrVersion = 8, Graph = new GraphProto { Name = "kernel" } };
        private readonly Random _random = new(1);

        public void Input(string name, DataType type, params ReadOnlySpan<long> dims)
        {
            var shape = new TensorShapeProto();
            foreach (var dim in dims)
                shape.Dim.Add(new TensorShapeProto.Types.Dimension { DimValue = dim });
            _model.Graph.Input.Add(new ValueInfoProto { Name = name, Type = new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = (int)type, Shape = shape } } });
        }

        public NodeProto Node(string op, string[] inputs, string output, string domain = "")
        {
            var node = Nodes.Create(op, "n_" + output, inputs, [output], domain);
            _model.Graph.Node.Add(node);
            return node;
        }

        public void Scale()
        {
            _model.Graph.Initializer.Add(Tensors.Scalar("scale", 0.01f));
            _model.Graph.Initializer.Add(Tensors.Scalar("zero", (byte)128));
        }

        public string Floats(string name, params ReadOnlySpan<long> dims)
        {
            var values = new float[Count(dims)];
            foreach (ref var value in values.AsSpan())
                value = (float)(_random.NextDouble() - 0.5);
            _model.Graph.Initializer.Add(Tensors.Create(name, values, dims));
            return name;
        }

        public (string Codes, string Scale, string Zero) Weight(string name, long channels, params ReadOnlySpan<long> dims)
        {
            var codes = new sbyte[Count(dims)];
            foreach (ref var code in codes.AsSpan())
                code = (sbyte)_random.Next(-127, 128);
            _model.Graph.Initializer.Add(Tensors.Create(name, codes, dims));
            _model.Graph.Initializer.Add(Tensors.Vector(name + "_scale", [.. Enumerable.Range(1, (int)channels).Select(i => 0.001f + 0.0001f * i)]));
            _model.Graph.Initializer.Add(Tensors.Vector(name + "_zero", new sbyte[channels]));
            return (name, name + "_scale", name + "_zero");
        }

        public ModelProto Finish(int copies)
        {
            _model.OpsetImport.Add(new OperatorSetIdProto { Domain = "", Version = 17 });
            FloatFusions.ImportDomain(_model);
            _model.OpsetImport.Add(new OperatorSetIdProto { Domain = "com.microsoft.nchwc", Version = 1 });
            for (var i = 0; i < copies; i++)
                _model.Graph.Output.Add(new ValueInfoProto { Name = $"y{i}" });
            return _model;
        }

        private static long Count(ReadOnlySpan<long> dims)
        {
            long count = 1;
            foreach (var dim in dims)
                count *= dim;
            return count;
        }
    }
}
