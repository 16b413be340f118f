using Google.Protobuf;
using Microsoft.ML.OnnxRuntime;
using QuantSdk.Onnx;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;

namespace QuantSdk.Engines;

/// <summary>Writes what ONNX Runtime makes of a graph: all optimisations applied, weights external and prepacked for this CPU.</summary>
internal static class OrtEngine
{
    /// <summary>Smaller initializers stay in the .onnx file.</summary>
    private const int ExternalThreshold = 1024;

    /// <param name="model">The portable model.onnx.</param>
    /// <param name="optimised">Where the optimised model goes; its data is written beside it as .data.</param>
    /// <exception cref="QuantSdkException">QSDK4001 where ONNX Runtime refuses the graph, QSDK1004 where it cannot write.</exception>
    public static void Optimise(string model, string optimised, int threads, EngineForm? form = null)
    {
        form ??= new EngineForm();
        var settings = new SessionSettings
        {
            Threads = threads,
            DisabledOptimizers = CpuLowering.DisabledOptimizers,
            OptimisedModelPath = optimised,
            Entries = new Dictionary<string, string>
            {
                ["session.optimized_model_external_initializers_file_name"] = Path.GetFileName(Path.ChangeExtension(optimised, ".data")),
                ["session.optimized_model_external_initializers_min_size_in_bytes"] = ExternalThreshold.ToString(System.Globalization.CultureInfo.InvariantCulture),
                ["session.save_external_prepacked_constant_initializers"] = form.Prepacked ? "1" : "0",
                ["session.qdq_matmulnbits_accuracy_level"] = form.FloatProducts ? "1" : "4",
            },
        };
        try
        {
            using var options = settings.Create();
            using var session = new InferenceSession(model, options);
        }
        catch (OnnxRuntimeException e) when (e.Message.Contains("Failed to write", StringComparison.Ordinal))
        {
            throw CannotWrite(optimised, e);
        }
        catch (OnnxRuntimeException e)
        {
            throw new QuantSdkException("QSDK4001", $"ONNX Runtime {ModelSession.OnnxRuntimeVersion} could not build the engine: {e.Message}", model, inner: e);
        }
        // Nothing large enough to be external: the manifest still lists the file.
        var data = Path.ChangeExtension(optimised, ".data");
        if (!File.Exists(data))
            File.Create(data).Dispose();
        try
        {
            Repair(optimised);
            // ONNX Runtime does not look whether its last bytes were written; the loader compares sizes.
            OnnxFile.Load(optimised);
        }
        catch (Exception e) when (e is QuantSdkException or IOException or UnauthorizedAccessException)
        {
            throw CannotWrite(optimised, e);
        }
    }

    /// <summary>
    /// Three things that ONNX Runtime 1.29 writes and cannot read again. Packed weights of no bytes (depthwise int8 convolutions have such among
    /// theirs): it takes a length of 0 for the whole file; without their entry it packs these few weights while it loads. Packed
    /// weights on addresses that their kernels cannot load from. And initializers inside the bodies of control flow, twice: first as they
    /// were, then as they are now.
    /// </summary>
    private static void Repair(string optimised)
    {
        var model = ModelProto.Parser.ParseFrom(File.ReadAllBytes(optimised));
        var repaired = false;
        foreach (var tensor in OnnxFile.AllTensors(model.Graph))
        {
            // KEY|OFFSET;LENGTH;HASH|OFFSET;LENGTH;HASH…
            foreach (var entry in tensor.ExternalData.Where(e => e.Key.StartsWith("prepacked", StringComparison.Ordinal) && e.Value.Split('|')[1..].Any(b => b.Split(';') is [_, "0", ..])).ToArray())
                repaired |= tensor.ExternalData.Remove(entry);
        }
        repaired |= PackedAlignment.Restore([.. OnnxFile.AllTensors(model.Graph)], Path.ChangeExtension(optimised, ".data"));
        foreach (var body in Bodies(model.Graph))
        {
            // Those that still point to the file of the portable model are what they were.
            var own = Path.GetFileName(Path.ChangeExtension(optimised, ".data"));
            var last = body.Initializer.Reverse().OrderBy(t => t.ExternalData.Any(e => e.Key == "location" && e.Value != own)).DistinctBy(t => t.Name, StringComparer.Ordinal).Reverse().ToArray();
            if (last.Length == body.Initializer.Count)
                continue;
            body.Initializer.Clear();
            body.Initializer.Add(last);
            repaired = true;
        }
        if (!repaired)
            return;
        using var stream = new FileStream(optimised, FileMode.Create, FileAccess.Write, FileShare.None, 1 << 16);
        model.WriteTo(stream);
    }

    /// <summary>The bodies of control flow, at any depth.</summary>
    private static IEnumerable<GraphProto> Bodies(GraphProto graph)
    {
        foreach (var body in graph.Node.SelectMany(n => n.Attribute).SelectMany(a => a.G is null ? a.Graphs : a.Graphs.Prepend(a.G)))
        {
            yield return body;
            foreach (var inner in Bodies(body))
                yield return inner;
        }
    }

    private static QuantSdkException CannotWrite(string optimised, Exception inner) =>
        new("QSDK1004", $"ONNX Runtime could not write '{optimised}' whole. The disk is full, or a file size limit is reached.", optimised, inner: inner);
}
