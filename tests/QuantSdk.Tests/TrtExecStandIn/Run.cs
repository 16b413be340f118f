using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;

namespace QuantSdk.TrtExecStandIn;

/// <summary>One run, from the first line to the last.</summary>
internal sealed partial class Run(StandInVersion version, string failure, string folder, Log log, IReadOnlyList<string> arguments)
{
    private const string CacheTag = "stand-in timing cache";

    public int Help()
    {
        switch (failure)
        {
            case Trouble.ProbeHangs:
                while (Directory.Exists(folder))
                    Thread.Sleep(20);
                break;
            case Trouble.ProbeSaysNothing: return 0;
            case Trouble.ProbeFails:
                log.Bare("Illegal instruction");
                return 132;
            case Trouble.ProbeWithoutLibraries:
                log.Bare("trtexec: error while loading shared libraries: libnvinfer.so.10: cannot open shared object file: No such file or directory");
                return 127;
        }
        log.Banner("RUNNING");
        log.Plain("=== Model Options ===");
        log.Plain("  --onnx=<file>               ONNX model");
        return 0;
    }

    public int Build()
    {
        log.Banner("RUNNING");
        ParsedCommand command;
        try
        {
            // Since 10, the parser asks for the architecture.
            if (failure == Trouble.NoGpu && version.Major == 10)
                return CudaFailure();
            command = CommandLineParser.Parse(arguments, version);
        }
        catch (OptionException e)
        {
            foreach (var line in e.Message.Split('\n'))
                log.Error(e.IsUncaught ? $"Uncaught exception detected: {line}" : line);
            log.Plain("=== Model Options ===");
            if (!version.AtLeast(11, 1))
                log.Banner("FAILED");
            return 1;
        }
        if (!command.StronglyTyped && version.Major == 10)
            log.Info("TF32 is enabled by default. Add --noTF32 flag to further improve accuracy with some performance cost.");
        foreach (var warning in command.Warnings)
            log.Warn(warning);
        Transcript.Options(log, command, version);
        if (failure == Trouble.NoGpu)
            return CudaFailure();
        if (failure == Trouble.NoDevices)
        {
            log.Info("Cannot find any available devices (GPUs)!");
            return 1;
        }
        if (command["device"] is { } device && device != "0")
        {
            log.Info($"Cannot find device ID {device}!");
            return 1;
        }
        if (failure != Trouble.NoDeviceLines)
            Transcript.Device(log, version, command["device"] ?? "0");
        log.Info("Loading standard plugins");
        if (failure == Trouble.Assertion)
        {
            log.Error("Assertion failure: lib.getHandle() != nullptr");
            return 1;
        }
        return command.Has("loadEngine") ? Load(command) : Compile(command);
    }

    private int Compile(ParsedCommand command)
    {
        log.Info("Start parsing network model.");
        log.Info("[TRT] ----------------------------------------------------------------");
        if (Parse(command) is { } message)
        {
            if (message.Length > 0)
                log.Error(message);
            log.Error("Parsing model failed");
            log.Error("Failed to create engine from model or file.");
            log.Error("Engine set up failed");
            return End(false);
        }
        log.Info("Finished parsing network model. Parse time: 0.0123");
        var cache = command["timingCacheFile"];
        if (cache is not null && File.Exists(cache) && !File.ReadAllText(cache).StartsWith(CacheTag, StringComparison.Ordinal))
        {
            log.Error($"Failed to create ITimingCache from file {cache}");
            return BuildFailed();
        }
        var plan = command["saveEngine"];
        // Since 10.13 the plan is written as it is made: the file is there before the build begins.
        if (plan is not null && version.AtLeast(10, 13))
            File.WriteAllBytes(plan, []);
        switch (failure)
        {
            case Trouble.Deaf:
                // With a child of its own, as a tuner has.
                using (var tuner = Process.Start("sleep", "600"))
                {
                    // A test that has failed leaves nobody who would release it.
                    while (!File.Exists(StandInTrtExec.Release(folder)) && Directory.Exists(folder))
                        Thread.Sleep(20);
                    tuner.Kill();
                }
                break;
            case Trouble.LeavesChild:
                Process.Start("sleep", "60").Dispose();
                break;
            case Trouble.NoImplementation:
                var layer = OnnxInputs.Read(command["onnx"]!).Nodes.Select(n => n.Name).LastOrDefault(n => n.Length > 0) ?? "example";
                log.Error($"[TRT] {BuilderCall}: Error Code 10: Internal Error (Could not find any implementation for node {layer} + (Unnamed Layer* 7) [Activation].)");
                return BuildFailed(plan);
            case Trouble.OutOfMemory:
                for (var i = 0; i < 300; i++)
                    log.Warn(string.Create(CultureInfo.InvariantCulture, $"[TRT] Tactic Device request: {2304 + i}MB Available: 1536MB. Device memory is insufficient to use tactic."));
                log.Warn("[TRT] UNSUPPORTED_STATE: Skipping tactic 0 due to insufficient memory on requested size of 2415919104 detected for tactic 0x0000000000000004.");
                log.Error($"[TRT] {BuilderCall}: Error Code 10: Internal Error (Could not find any implementation for node conv_in.)");
                return BuildFailed(plan);
            case Trouble.Killed:
                if (plan is not null)
                    File.WriteAllBytes(plan, Engine.Make(version, command)[..100]);
                Kill(Environment.ProcessId, 9);
                break;
            case Trouble.Crash:
                // A signal that another process sends the runtime survives; this one is its own.
                LengthOf(1);
                break;
            case Trouble.DiskFull:
                log.Error("Error writing the plan: No space left on device");
                return BuildFailed(plan);
            case Trouble.Flood:
                for (var i = 0; i < 5000; i++)
                    log.Warn("[TRT] Using kernels that were timed before, and a text that fills a pipe which nobody reads long before it ends.");
                break;
            case Trouble.ManyWarnings:
                for (var i = 0; i < 30; i++)
                    log.Warn($"[TRT] Warning of kind {(char)('a' + i % 26)}{(char)('a' + i / 26)}.");
                break;
        }
        log.Warn("[TRT] example warning from the library");
        if (plan is not null)
            Save(plan, command);
        if (version.Major == 9)
            log.Info("Engine built in 312.7 sec.");
        if (version.AtLeast(9, 1))
            log.Info("Created engine with size: 2465.12 MiB");
        if (version.Major != 9)
            log.Info("Engine built in 312.7 sec.");
        if (cache is not null && !command.Has("noBuilderCache"))
            SaveCache(cache);
        if (command["exportLayerInfo"] is { } layers)
            File.WriteAllText(layers, $"{{\"Layers\": [{(command["profilingVerbosity"] == "detailed" ? "{\"Name\": \"conv_in\", \"LayerType\": \"CaskConvolution\"}" : "\"conv_in\"")}], \"Bindings\": []}}\n");
        if (command.Has("skipInference") || command.Has("buildOnly"))
            log.Info("Skipped inference phase since --skipInference is added.");
        else
            Transcript.Inference(log);
        return End(true);
    }

    private string BuilderCall => version.AtLeast(10, 13) ? "IBuilder::buildSerializedNetworkToStream" : "IBuilder::buildSerializedNetwork";

    /// <summary>Null: the model is read; otherwise what is wrong with it.</summary>
    private string? Parse(ParsedCommand command)
    {
        OnnxInputs model;
        try
        {
            model = OnnxInputs.Read(command["onnx"]!);
        }
        catch (Exception e) when (e is IOException or InvalidDataException or IndexOutOfRangeException or ArgumentOutOfRangeException)
        {
            log.Error($"[TRT] ModelImporter.cpp:1018: Failed to parse ONNX model from file: {command["onnx"]}!");
            return "Failed to parse onnx file";
        }
        var node = model.Nodes.Count - 1;
        var (op, output, name) = model.Nodes[node];
        if (failure is Trouble.BadNode or Trouble.ZeroPoint or Trouble.NegativeScale or Trouble.UnknownOperator)
        {
            if (failure == Trouble.UnknownOperator)
                log.Info($"[TRT] No importer registered for op: {op}. Attempting to import as plugin.");
            var reason = failure switch
            {
                Trouble.BadNode => "[8] Assertion failed: (inputs.at(0).isWeights()): the axes must be constant.",
                Trouble.ZeroPoint => version.AtLeast(10, 13) ? "[6] Non-zero zero point is not supported. Please set kENABLE_UINT8_AND_ASYMMETRIC_QUANTIZATION_DLA flag for DLA." : "[6] TensorRT only supports symmetric quantization. The zero point for the QuantizeLinear/DequantizeLinear operator must be all zeros.",
                Trouble.NegativeScale => "[6] Scale coefficients must all be positive",
                _ => "[9] Plugin not found, are the plugin name, version, and namespace correct?",
            };
            log.Error(string.Create(CultureInfo.InvariantCulture, $"[TRT] ModelImporter.cpp:948: While parsing node number {node} [{op} -> \"{output}\"]:\n[E] [TRT] ModelImporter.cpp:950: --- Begin node ---\ninput: \"x\"\noutput: \"{output}\"\nname: \"{name}\"\n--- End node ---\nERROR: onnxOpImporters.cpp:1240 In function importNode:\n{reason}"));
            return "Failed to parse onnx file";
        }
        foreach (var input in command.Profiles.SelectMany(p => p.Keys))
        {
            if (!model.Shapes.Keys.Any(k => Matches(input, k)))
                return $"Cannot find input tensor with name \"{input}\" in the network inputs! Please make sure the input tensor names are correct.";
        }
        var isDynamic = model.Shapes.Values.Any(s => s.Contains(-1));
        if (!isDynamic && command.Profiles.Count > 0)
            return "Static model does not take explicit shapes since the shape of inference tensors will be determined by the model itself";
        foreach (var (tensor, dims) in model.Shapes.Where(s => s.Value.Contains(-1)))
        {
            if (command.Profiles.Count == 0)
                log.Warn($"Dynamic dimensions required for input: {tensor}, but no shapes were provided. Automatically overriding shape to: {string.Join('x', dims.Select(d => Math.Max(1, d)))}");
            for (var p = 0; p < command.Profiles.Count; p++)
            {
                var key = command.Profiles[p].Keys.FirstOrDefault(k => k == tensor) ?? command.Profiles[p].Keys.FirstOrDefault(k => Matches(k, tensor));
                if (key is null)
                {
                    log.Warn($"Dynamic dimensions required for input: {tensor}, but no shapes were provided. Automatically overriding shape to: {string.Join('x', dims.Select(d => Math.Max(1, d)))}");
                    continue;
                }
                var (min, opt, max) = command.Profiles[p][key];
                if (!Fits(dims, min) || !Fits(dims, opt) || !Fits(dims, max) || !Rises(min, opt) || !Rises(opt, max))
                {
                    log.Error($"[TRT] IOptimizationProfile::setDimensions: Error Code 3: API Usage Error (Parameter check failed, kMIN dimensions, kOPT dimensions and kMAX dimensions of {tensor} do not fit.)");
                    return "";
                }
                log.Info(string.Create(CultureInfo.InvariantCulture, $"Set shape of input tensor {tensor} for optimization profile {p} to: MIN={string.Join('x', min)} OPT={string.Join('x', opt)} MAX={string.Join('x', max)}"));
            }
        }
        return null;
    }

    private static bool Matches(string pattern, string name) =>
        pattern == name || (pattern.Split('*') is [var head, var tail] && name.Length >= head.Length + tail.Length && name.StartsWith(head, StringComparison.Ordinal) && name.EndsWith(tail, StringComparison.Ordinal));

    private static bool Fits(long[] dims, IReadOnlyList<int> shape) => shape.Count == dims.Length && dims.Zip(shape).All(p => p.First == -1 ? p.Second >= 0 : p.First == p.Second);

    private static bool Rises(IReadOnlyList<int> low, IReadOnlyList<int> high) => low.Zip(high).All(p => p.First <= p.Second);

    private int BuildFailed(string? plan = null)
    {
        if (plan is not null && version.AtLeast(10, 13))
        {
            log.Info("Created engine with size: 0 MiB");
            log.Info("Engine built in 0.7 sec.");
            log.Error("Assertion failure: false && \"Attempting to access an empty engine!\"");
            return 1;
        }
        log.Error("Engine could not be created from network");
        log.Error("Building engine failed");
        log.Error("Failed to create engine from model or file.");
        log.Error("Engine set up failed");
        return End(false);
    }

    private void Save(string plan, ParsedCommand command)
    {
        var bytes = Engine.Make(failure == Trouble.OtherVersion ? version with { Minor = version.Minor + 1 } : version, command);
        switch (failure)
        {
            case Trouble.NoPlan: File.Delete(plan); break;
            case Trouble.EmptyPlan: File.WriteAllBytes(plan, []); break;
            case Trouble.CutPlan: File.WriteAllBytes(plan, bytes[..20]); break;
            case Trouble.NotAPlan: File.WriteAllText(plan, new string('x', 4096)); break;
            default: File.WriteAllBytes(plan, bytes); break;
        }
    }

    private void SaveCache(string cache)
    {
        if (failure == Trouble.CacheNotWritten)
        {
            log.Warn($"Could not write timing cache to: {cache}");
            return;
        }
        var text = $"{CacheTag} {version.Release}\n" + (File.Exists(cache) ? string.Concat(File.ReadAllLines(cache).Skip(1).Select(l => l + "\n")) : "") + "kernel\n";
        File.WriteAllText(cache, text);
        log.Info(string.Create(CultureInfo.InvariantCulture, $"[TRT] Saved {text.Length} bytes of timing cache to {cache}"));
    }

    private int Load(ParsedCommand command)
    {
        var plan = command["loadEngine"]!;
        var bytes = File.Exists(plan) ? File.ReadAllBytes(plan) : [];
        var built = Engine.Version(bytes);
        if (command.Has("getPlanVersionOnly"))
        {
            log.Info($"Plan was created with TensorRT version {built}");
            return End(built is not null);
        }
        string? error = failure switch
        {
            Trouble.LoadOtherGpu => "[TRT] IRuntime::deserializeCudaEngine: Error Code 1: Internal Error (The engine plan file is generated on an incompatible device, expecting compute 9.0 got compute 8.9, please rebuild.)",
            Trouble.LoadOtherVersion => version.Major < 9
                ? "[TRT] The engine plan file is not compatible with this version of TensorRT, expecting library version 8.6.1.6 got 8.5.3.1, please rebuild."
                : "[TRT] IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Serialization assertion stdVersionRead == kSERIALIZATION_VERSION failed.Version tag does not match. Note: Current Version: 236, Serialized Engine Version: 237)",
            _ => built is null ? "[TRT] IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Serialization assertion magicTagRead == kMAGIC_TAG failed.Magic tag does not match)" : null,
        };
        if (error is not null)
        {
            log.Error(error);
            log.Error("Engine deserialization failed");
            log.Error("Got invalid engine!");
            log.Error("Inference set up failed");
            return End(false);
        }
        log.Info("Engine loaded in 0.5 sec.");
        if (failure == Trouble.LoadOutOfMemory)
        {
            log.Error("[TRT] ICudaEngine::createExecutionContext: Error Code 2: OutOfMemory (Requested size was 4294967296 bytes.)");
            log.Error("Inference set up failed");
            return End(false);
        }
        if (failure != Trouble.NoFigures)
            Transcript.Inference(log);
        return End(true);
    }

    private int CudaFailure()
    {
        log.Bare("Cuda failure at common.h:232: no CUDA-capable device is detected");
        return 1;
    }

    private int End(bool passed)
    {
        if (passed && failure == Trouble.NoLastLine)
            return 0;
        log.Banner(passed ? "PASSED" : "FAILED");
        return passed && failure != Trouble.PassedAndFailed ? 0 : 1;
    }

    [LibraryImport("libc", EntryPoint = "strlen")]
    private static partial nint LengthOf(nint address);

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int process, int signal);
}
