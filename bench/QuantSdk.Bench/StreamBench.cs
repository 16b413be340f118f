using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Runtime;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Bench;

/// <summary>A model too large to load, made on the spot: memory and speed of quantising its weights.</summary>
internal static class StreamBench
{
    private const int Width = 4096;
    private const int Hidden = 11008;
    private const int Vocabulary = 32000;
    private const int Layers = 12;
    private const long LayerBytes = ((4L * Width * Width) + (3L * Width * Hidden)) * sizeof(float);
    private const long EmbeddingBytes = (long)Vocabulary * Width * sizeof(float);

    public static void Run(Report report)
    {
        using var scratch = new ScratchFolder();
        // The float file, the 4-bit one beside the embedding, and room for others.
        var free = new DriveInfo(scratch.Path).AvailableFreeSpace - (4L << 30) - (2 * EmbeddingBytes);
        var layers = (int)Math.Clamp(free / (LayerBytes + (LayerBytes / 6)), 1, Layers);
        if (layers < Layers)
            report.Line($"  only {layers} of {Layers} layers: the disk of '{scratch.Path}' has no room for more");
        var path = scratch.File("llama.onnx");
        var started = Stopwatch.GetTimestamp();
        Write(path, layers);
        var bytes = (layers * LayerBytes) + EmbeddingBytes;
        report.Line(string.Create(CultureInfo.InvariantCulture, $"  float model: {bytes / 1e9:f2} GB in {(layers * 7) + 1} weights, written in {Stopwatch.GetElapsedTime(started).TotalSeconds:f0} s"));
        report.Row("weights", "seconds", "GB/s", "cpu s", "peak MB", "GB out");
        foreach (var (weights, rounding) in ((string, string)[])[("int4", "auto"), ("int4", "nearest"), ("int8", "nearest")])
        {
            var output = scratch.Folder($"{weights}-{rounding}");
            var measured = Children.Measure("stream", path, Path.Combine(output, "engine"), weights, rounding);
            var (seconds, peak) = (measured[0], measured[1]);
            var written = new DirectoryInfo(output).GetFiles("*", SearchOption.AllDirectories).Sum(f => f.Length);
            Directory.Delete(output, recursive: true);
            report.Row($"{weights}, {(rounding == "auto" ? "clip searched" : "round to nearest")}", $"{seconds:f1}", $"{bytes / 1e9 / seconds:f2}", $"{measured[2]:f1}", $"{peak:f0}", $"{written / 1e9:f2}");
            var name = (weights, rounding) switch { ("int4", "auto") => "stream", ("int4", _) => "stream_nearest", _ => "stream_int8" };
            report.Figure(name + "_rss_mb", peak);
            report.Figure(name + "_gb_per_s", bytes / 1e9 / seconds);
        }
    }

    /// <returns>Seconds, the process's peak memory in 10^6 bytes, and its processor time in seconds.</returns>
    public static double[] QuantiseInChild(string[] args)
    {
        var metadata = new Dictionary<string, string> { ["Weights"] = args[2], ["Activations"] = "float", ["Rounding"] = args[3], ["Prepacked"] = "false" };
        var started = Stopwatch.GetTimestamp();
        ModelBuilder.Build(new BuildRequest("llama", args[0], Path.GetDirectoryName(args[0])!, args[1], null, Quantisation.Threads, metadata, null), new Quiet(), CancellationToken.None);
        return [Stopwatch.GetElapsedTime(started).TotalSeconds, ProcessMemory.Peak(), Process.GetCurrentProcess().TotalProcessorTime.TotalSeconds];
    }

    /// <summary>Llama's shape: an embedding tied to the output, attention projections without the attention, gated feed-forward.</summary>
    private static void Write(string path, int layers)
    {
        var model = new ModelProto { IrVersion = 10, ProducerName = "QuantSdk.Bench", Graph = new GraphProto { Name = "llama" } };
        model.OpsetImport.Add(new OperatorSetIdProto { Version = 21 });
        var graph = model.Graph;
        graph.Input.Add(Value("input_ids", DataType.Int64, "batch", "sequence"));
        graph.Output.Add(Value("logits", DataType.Float, "batch", "sequence", Vocabulary));
        using var data = new ExternalDataWriter(path + ".data");
        var noise = Noise();
        Weight("embed", Vocabulary, Width);
        var h = Node("Gather", "embedding", "embed", "input_ids");
        for (var i = 0; i < layers; i++)
        {
            var name = $"layers.{i}.";
            var q = Linear(name + "q", h, Width, Width);
            var k = Linear(name + "k", h, Width, Width);
            var v = Linear(name + "v", h, Width, Width);
            var o = Linear(name + "o", Node("Add", name + "mix", Node("Add", name + "qk", q, k), v), Width, Width);
            h = Node("Add", name + "residual", h, o);
            var gate = Linear(name + "gate", h, Width, Hidden);
            var up = Linear(name + "up", h, Width, Hidden);
            var silu = Node("Mul", name + "silu", gate, Node("Sigmoid", name + "sigmoid", gate));
            h = Node("Add", name + "out", h, Linear(name + "down", Node("Mul", name + "gated", silu, up), Hidden, Width));
        }
        graph.Node.Add(Nodes.Create("Transpose", "tie", ["embed"], ["lm_head"]).With("perm", 1, 0));
        graph.Node.Add(Nodes.Create("MatMul", "head", [h, "lm_head"], ["logits"]));
        OnnxFile.SaveGraph(model, path);

        string Node(string op, string name, params string[] inputs)
        {
            graph.Node.Add(Nodes.Create(op, name, inputs, [name + "_out"]));
            return name + "_out";
        }

        string Linear(string name, string x, int inputs, int outputs)
        {
            Weight(name + ".weight", inputs, outputs);
            return Node("MatMul", name, x, name + ".weight");
        }

        void Weight(string name, long rows, long columns)
        {
            var tensor = new TensorProto { Name = name, DataType = (int)DataType.Float };
            tensor.Dims.Add([rows, columns]);
            graph.Initializer.Add(tensor);
            var length = rows * columns * sizeof(float);
            data.Begin(tensor, length);
            // Each tensor begins somewhere else in the same noise.
            var start = (int)(data.Position / 4096 * 52 % (noise.Length / 2)) / 4 * 4;
            for (long at = 0; at < length;)
            {
                var piece = (int)Math.Min(noise.Length - start, length - at);
                data.Write(noise.AsSpan(start, piece));
                (at, start) = (at + piece, 0);
            }
        }
    }

    /// <summary>Gaussian weights of a small variance; 32 MB of them.</summary>
    private static byte[] Noise()
    {
        var random = new Random(1);
        var values = new float[8 << 20];
        for (var i = 0; i < values.Length; i += 2)
        {
            var (radius, angle) = (Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * 0.02, 2 * Math.PI * random.NextDouble());
            (values[i], values[i + 1]) = ((float)(radius * Math.Cos(angle)), (float)(radius * Math.Sin(angle)));
        }
        return MemoryMarshal.AsBytes(values.AsSpan()).ToArray();
    }

    private static ValueInfoProto Value(string name, DataType type, params object[] dims)
    {
        var shape = new TensorShapeProto();
        shape.Dim.Add(dims.Select(d => d is int size ? new TensorShapeProto.Types.Dimension { DimValue = size } : new TensorShapeProto.Types.Dimension { DimParam = (string)d }));
        return new ValueInfoProto { Name = name, Type = new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = (int)type, Shape = shape } } };
    }

    private sealed class Quiet : IBuildLog
    {
        public void Phase(string phase)
        {
        }

        public void Progress(string phase, int done, int total)
        {
        }

        public void Warning(string code, string message, string? file) => Console.WriteLine($"  {code}: {message}");

        public void Detail(string message)
        {
        }
    }
}
