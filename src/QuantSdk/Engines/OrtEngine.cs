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
    /// <param name="prepack">
    /// Stores weights as this CPU's kernels want them. Not for graphs with MatMulNBits: what ONNX Runtime 1.29 stores of more than one of
    /// those comes back as NaN.
    /// </param>
    /// <exception cref="QuantSdkException">QSDK4001 where ONNX Runtime refuses the graph, QSDK1004 where it cannot write.</exception>
    public static void Optimise(string model, string optimised, int threads, bool prepack = true)
    {
        var settings = new SessionSettings
        {
            Threads = threads,
            DisabledOptimizers = CpuLowering.DisabledOptimizers,
            OptimisedModelPath = optimised,
            Entries = new Dictionary<string, string>
            {
                ["session.optimized_model_external_initializers_file_name"] = Path.GetFileName(Path.ChangeExtension(optimised, ".data")),
                ["session.optimized_model_external_initializers_min_size_in_bytes"] = ExternalThreshold.ToString(System.Globalization.CultureInfo.InvariantCulture),
                ["session.save_external_prepacked_constant_initializers"] = prepack ? "1" : "0",
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
            DropEmptyPrepacked(optimised);
            // ONNX Runtime does not look whether its last bytes were written; the loader compares sizes.
            OnnxFile.Load(optimised);
        }
        catch (QuantSdkException e)
        {
            throw CannotWrite(optimised, e);
        }
    }

    /// <summary>
    /// ONNX Runtime writes packed weights of no bytes (as depthwise int8 convolutions have among theirs) and on loading takes a length of 0 for
    /// the whole file, which then ends too early. Without their entry it packs these few weights while it loads.
    /// </summary>
    private static void DropEmptyPrepacked(string optimised)
    {
        var model = ModelProto.Parser.ParseFrom(File.ReadAllBytes(optimised));
        var found = false;
        foreach (var tensor in OnnxFile.AllTensors(model.Graph))
        {
            // KEY|OFFSET;LENGTH;HASH|OFFSET;LENGTH;HASH…
            foreach (var entry in tensor.ExternalData.Where(e => e.Key.StartsWith("prepacked", StringComparison.Ordinal) && e.Value.Split('|')[1..].Any(b => b.Split(';') is [_, "0", ..])).ToArray())
                found |= tensor.ExternalData.Remove(entry);
        }
        if (!found)
            return;
        using var stream = new FileStream(optimised, FileMode.Create, FileAccess.Write, FileShare.None, 1 << 16);
        model.WriteTo(stream);
    }

    private static QuantSdkException CannotWrite(string optimised, Exception inner) =>
        new("QSDK1004", $"ONNX Runtime could not write '{optimised}' whole. The disk is full, or a file size limit is reached.", optimised, inner: inner);
}
