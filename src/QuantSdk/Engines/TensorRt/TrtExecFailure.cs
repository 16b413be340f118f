using System.Globalization;
using System.Text.RegularExpressions;
using QuantSdk.Onnx;
using QuantSdk.Runtime;

namespace QuantSdk.Engines.TensorRt;

/// <summary>Which of our errors a failed run of trtexec is, by its exit status and by what it wrote.</summary>
internal static partial class TrtExecFailure
{
    /// <summary>Texts of the ONNX parser about Q/DQ nodes.</summary>
    private static readonly string[] s_quantisation =
    [
        "Scale coefficients must all be positive", "only supports symmetric quantization", "Non-zero zero point is not supported", "The number of scales is not equal to the number of output channels",
        "The scale and zero point must have the same volume", "Only a single blocking dimension is allowed", "Inferred block size is not an integer", "4-bit quantization requies an even number of elements",
        "TensorRT only allows FP8, INT8, INT4, and FP4 quantization",
    ];

    /// <summary>Texts of trtexec's own parser of options.</summary>
    private static readonly string[] s_options =
    [
        "Unknown option", "conversion failure", "Model missing or format not recognized", "Invalid usage", "Unknown memory pool", "Unknown tactic source", "Unknown precision constraints", "Unknown sparsity mode",
        "Invalid TensorFormat", "Invalid IOFormat", "Incompatible load and save engine options", "Found invalid", "Optimization profile index", "Multiple --minShapes", "Uncaught exception detected: sto",
    ];

    /// <param name="status">The exit status.</param>
    public static QuantSdkException Of(int status, TrtExecOutput output, TrtExec trtExec, PlanRequest request, string? log)
    {
        var source = request.Source ?? request.Model;
        var errors = output.Messages.Where(m => m.IsError).ToArray();
        var where = log is null ? "" : $" trtexec's whole log: {log}.";
        if (Signal(status) is { } signal)
        {
            return Error("QSDK4039", $"{request.Name}: trtexec was ended by {signal}{(status == 137 ? ", which the system does where memory runs out, or somebody did" : "")}.{Said(errors)} " +
                $"{(status == 137 ? "Free memory (an engine's builder holds the weights several times), or lower QuantSdkTrtExecParallelism." : "Run the command in the log by hand; a crash of TensorRT is NVIDIA's to mend.")}{where}");
        }
        if (First(errors, s_options) is { } option || (option = errors.FirstOrDefault(e => e.Text is "stoi" or "stof")) is not null)
            return Error("QSDK4033", $"trtexec of TensorRT {trtExec.Version.Release} does not take its command line: {Line(option)}. Correct TrtExecArguments or the shapes; where they are right, this is a fault of QuantSdk.{where}");
        if (First(errors, ["out of memory", "OutOfMemory", "insufficient memory"]) is { } memory)
            return Error("QSDK4035", Memory(Line(memory)));
        if (First(errors, ["Cuda failure", "CUDA error", "CUDA initialization failure", "Cannot find any available devices", "Cannot find device ID"]) is { } gpu)
            return Error("QSDK4032", $"{request.Name}: the GPU cannot be used: {Line(gpu)}. Look at it with `nvidia-smi`; GpuDevice and CUDA_VISIBLE_DEVICES choose one; a driver that is too old for this TensorRT says so here too.{where}");
        if (First(errors, ["Cannot find input tensor with name", "Static model does not take explicit shapes", "does not match any optimization profile", "kMIN dimensions", "kOPT dimensions", "kMAX dimensions"]) is { } shape)
            return Error("QSDK4037", $"{request.Name}: trtexec refuses the shapes: {Line(shape)}. Correct MinShapes, OptShapes and MaxShapes.{where}");
        if (First(errors, s_quantisation) is { } rule)
            return Error("QSDK4038", $"{request.Name}: TensorRT's parser refuses how the graph quantises{At(errors, request, out var quantised)}: {Reason(rule.Text, s_quantisation)}. `quantsdk check --target tensorrt` names every place.{where}", quantised);
        if (First(errors, ["Plugin not found"]) is not null)
        {
            var op = output.Messages.Select(m => NoImporterRegex().Match(m.Text)).FirstOrDefault(m => m.Success)?.Groups["op"].Value;
            return Error("QSDK4034", $"{request.Name}: TensorRT knows no operator {(op is null ? "" : $"'{op}' ")}and no plugin for it{At(errors, request, out var unknown)}. Export the model without it, or name the library that has the plugin in Plugins.{where}", unknown);
        }
        if (First(errors, ["While parsing node number", "Failed to parse onnx file", "Parsing model failed"]) is { } parsing)
            return Error("QSDK4034", $"{request.Name}: TensorRT cannot read the model{At(errors, request, out var node)}: {ParserReason(errors) ?? Line(parsing)}.{where}", node);
        if (First(errors, ["Could not find any implementation for node"]) is { } kernel)
        {
            var layer = NoImplementationRegex().Match(kernel.Text).Groups["layer"].Value;
            var named = NodeIn(layer, request.Graph);
            if (output.Messages.Any(m => m.Level == 'W' && IsAboutMemory(m.Text)))
                return Error("QSDK4035", Memory($"no kernel for '{layer}' fits into it"), named);
            return Error("QSDK4036", $"{request.Name}: TensorRT has no kernel for '{layer}'. More Workspace, a higher BuilderOptimizationLevel or leaving the layer in float (ExcludeModules) are ways around.{where}", named);
        }
        if (First(errors, ["Version tag does not match", "not compatible with this version of TensorRT", "generated on an incompatible device", "Engine deserialization failed", "stdVersionRead"]) is { } load)
            return Error("QSDK4042", $"{request.Name}: the plan cannot be loaded where it was built: {Line(load)}. Two versions of TensorRT on LD_LIBRARY_PATH do that, and GPUs that change their numbers (CUDA_DEVICE_ORDER=PCI_BUS_ID).{where}");
        if (First(errors, ["No space left on device", "Disk quota exceeded"]) is { } disk)
            return Error("QSDK4046", $"{request.Name}: the plan cannot be written: {Line(disk)}. Free the disk.{where}");
        var how = string.Create(CultureInfo.InvariantCulture, $"ended with status {status}");
        return status == 0
            ? Error("QSDK4040", $"{request.Name}: trtexec {how} and did not say PASSED, so that nothing it wrote is trusted.{Said(errors)}{where}")
            : Error("QSDK4041", $"{request.Name}: trtexec {how}{(output.Failed || output.Passed ? "" : " and without its last line")}.{Said(errors)}{where}");

        QuantSdkException Error(string code, string message, string? at = null) => new(code, message, source, at);

        string Memory(string what) =>
            $"{request.Name}: the GPU's memory does not suffice to build the engine: {what}. Free the GPU of other programs, lower MaxShapes or Workspace, or set QuantSdkTrtExecParallelism to 1.{where}";
    }

    /// <summary>Whether a warning is about kernels that were not tried for want of memory.</summary>
    public static bool IsAboutMemory(string text) => MemoryRegex().IsMatch(text);

    /// <summary>A node of the ONNX model that a layer of TensorRT's has in its name: it joins names with + and puts ranges of them into {ForeignNode[a...b]}.</summary>
    public static string? NodeIn(string layer, GraphProto graph)
    {
        var names = graph.Node.Select(n => n.Name).Where(n => n.Length > 0).ToHashSet(StringComparer.Ordinal);
        return names.Contains(layer) ? layer
            : LayerPartRegex().Split(layer).Select(p => p.Trim()).FirstOrDefault(names.Contains)
            ?? names.Where(n => n.Length > 2 && layer.Contains(n, StringComparison.Ordinal)).MaxBy(n => n.Length);
    }

    /// <summary>" at node NAME", by the number and the output that the parser names.</summary>
    private static string At(IEnumerable<TrtExecMessage> errors, PlanRequest request, out string? node)
    {
        node = null;
        foreach (var error in errors)
        {
            if (ParsingRegex().Match(error.Text) is not { Success: true } match)
                continue;
            var output = match.Groups["output"].Value;
            var found = request.Graph.Node.FirstOrDefault(n => n.Output.Contains(output))
                ?? (int.TryParse(match.Groups["number"].ValueSpan, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number < request.Graph.Node.Count && request.Graph.Node[number].OpType == match.Groups["op"].Value ? request.Graph.Node[number] : null);
            node = found is { Name.Length: > 0 } ? found.Name : output;
            return $" at node '{node}' ({match.Groups["op"].Value})";
        }
        return "";
    }

    /// <summary>What follows ERROR: FILE:LINE In function F: on the line after it, without the [8] before it.</summary>
    private static string? ParserReason(IEnumerable<TrtExecMessage> errors) =>
        errors.Select(e => ReasonRegex().Match(e.Text)).FirstOrDefault(m => m.Success)?.Groups["reason"].Value.Trim().TrimEnd('.');

    private static string Reason(string text, string[] known) => text.Split('\n').First(l => known.Any(k => l.Contains(k, StringComparison.Ordinal))).Trim().TrimEnd('.');

    private static TrtExecMessage? First(IEnumerable<TrtExecMessage> errors, string[] texts) => errors.FirstOrDefault(e => texts.Any(t => e.Text.Contains(t, StringComparison.OrdinalIgnoreCase)));

    private static string Line(TrtExecMessage? message) => message!.Text.Split('\n')[0].Trim().TrimEnd('.');

    private static string Said(IReadOnlyList<TrtExecMessage> errors) =>
        errors.Count == 0 ? " It named no error." : $" It said: {string.Join(" / ", errors.Take(3).Select(Line))}{(errors.Count > 3 ? string.Create(CultureInfo.InvariantCulture, $" / and {errors.Count - 3} more") : "")}.";

    /// <summary>128 + n: signal n; on Windows an NTSTATUS such as 0xC0000005.</summary>
    private static string? Signal(int status) => status switch
    {
        137 => "SIGKILL",
        139 => "SIGSEGV",
        134 => "SIGABRT",
        143 => "SIGTERM",
        > 128 and < 192 => string.Create(CultureInfo.InvariantCulture, $"signal {status - 128}"),
        < 0 => $"exception 0x{status:X8}",
        _ => null,
    };

    [GeneratedRegex(@"insufficient memory|Device memory is insufficient|Tactic Device request")]
    private static partial Regex MemoryRegex();

    [GeneratedRegex(@"No importer registered for op: (?<op>[^\s.]+)")]
    private static partial Regex NoImporterRegex();

    [GeneratedRegex(@"While parsing node number (?<number>\d+) \[(?<op>\S+) -> ""(?<output>[^""]*)""")]
    private static partial Regex ParsingRegex();

    [GeneratedRegex(@"ERROR: .*In function .*:\s*\n(?:\[\d+\] )?(?<reason>.+)")]
    private static partial Regex ReasonRegex();

    [GeneratedRegex(@"Could not find any implementation for node (?<layer>.+?)\.?\)?\s*$", RegexOptions.Multiline)]
    private static partial Regex NoImplementationRegex();

    [GeneratedRegex(@" \+ |\.\.\.|[\[\]{}]")]
    private static partial Regex LayerPartRegex();
}
