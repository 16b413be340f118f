using System.Globalization;

namespace QuantSdk.TrtExecStandIn;

/// <summary>What trtexec says about its options and its device before it begins. 10.13 and 11.1 are complete; of the others it has the lines whose versions are known.</summary>
internal static class Transcript
{
    public static void Options(Log log, ParsedCommand c, StandInVersion v)
    {
        var load = c.Has("loadEngine");
        string On(string option) => c.Has(option) ? "Enabled" : "Disabled";
        log.Info("=== Model Options ===");
        log.Info(load ? "Format: *" : "Format: ONNX");
        log.Info($"Model: {c["onnx"]}");
        log.Info("Output:");
        log.Info("=== Build Options ===");
        log.Info($"Memory Pools: workspace: {(c.Pools.TryGetValue("workspace", out var mib) ? string.Create(CultureInfo.InvariantCulture, $"{mib:0.######} MiB") : "default")}, dlaSRAM: default, dlaLocalDRAM: default, dlaGlobalDRAM: default{(v.AtLeast(10, 0) ? ", tacticSharedMem: default" : "")}");
        log.Info($"avgTiming: {c["avgTiming"] ?? "8"}");
        log.Info($"Precision: {(c.StronglyTyped ? "Strongly Typed" : string.Join('+', ((string[])["fp32", .. ((string[])["fp16", "bf16", "int8", "fp8", "int4"]).Where(c.Has)]).Select(t => t.ToUpperInvariant())))}");
        if (v.Major < 11)
            log.Info($"LayerPrecisions: {c["layerPrecisions"]}");
        log.Info("Layer Device Types: ");
        if (v.Major < 11)
            log.Info("Calibration: ");
        if (v.AtLeast(10, 14))
            log.Info("Decomposable Attentions: ");
        log.Info($"Refit: {On("refit")}");
        if (v.AtLeast(10, 0))
            log.Info($"Strip weights: {On("stripWeights")}");
        log.Info($"Version Compatible: {On("versionCompatible")}");
        if (v.AtLeast(10, 0))
            log.Info("ONNX Plugin InstanceNorm: Disabled");
        if (v.AtLeast(10, 11))
            log.Info("ONNX kENABLE_UINT8_AND_ASYMMETRIC_QUANTIZATION_DLA flag: Disabled");
        if (v.AtLeast(10, 16))
        {
            log.Info("ONNX kREPORT_CAPABILITY_DLA flag: Disabled");
            log.Info("ONNX kADJUST_FOR_DLA flag: Disabled");
        }
        if (v.AtLeast(10, 15))
            log.Info("ONNX kENABLE_PLUGIN_OVERRIDE flag: Disabled");
        log.Info("TensorRT runtime: full");
        log.Info("Lean DLL Path: ");
        log.Info("Tempfile Controls: { in_memory: allow, temporary: allow }");
        log.Info("Exclude Lean Runtime: Disabled");
        log.Info($"Sparsity: {(c["sparsity"] is "enable" or "force" ? "Enabled" : "Disabled")}");
        log.Info("Safe mode: Disabled");
        log.Info("Build DLA standalone loadable: Disabled");
        log.Info("Allow GPU fallback for DLA: Disabled");
        log.Info("DirectIO mode: Disabled");
        if (v.Major < 11)
            log.Info("Restricted mode: Disabled");
        log.Info($"Skip inference: {On("skipInference")}");
        log.Info($"Save engine: {c["saveEngine"]}");
        log.Info($"Load engine: {c["loadEngine"]}");
        log.Info($"Profiling verbosity: {(c["profilingVerbosity"] switch { "detailed" => 2, "none" => 1, _ => 0 })}");
        log.Info("Tactic sources: Using default tactic sources");
        log.Info($"timingCacheMode: {(c.Has("noBuilderCache") ? "disable" : c.Has("timingCacheFile") ? "global" : "local")}");
        log.Info($"timingCacheFile: {c["timingCacheFile"]}");
        if (v.AtLeast(9, 1))
            log.Info("Enable Compilation Cache: Enabled");
        if (v.AtLeast(10, 6))
            log.Info("Enable Monitor Memory: Disabled");
        if (v.AtLeast(10, 15))
            log.Info("CPU Only Mode: Disabled");
        if (v.AtLeast(9, 1))
            log.Info("errorOnTimingCacheMiss: Disabled");
        log.Info("Preview Features: Use default preview flags.");
        log.Info($"MaxAuxStreams: {c["maxAuxStreams"] ?? "-1"}");
        log.Info($"BuilderOptimizationLevel: {c["builderOptimizationLevel"] ?? "-1"}");
        if (v.AtLeast(10, 4))
            log.Info($"MaxTactics: {c["maxTactics"] ?? "-1"}");
        if (v.AtLeast(9, 1) && v.Major < 11)
            log.Info("Calibration Profile Index: 0");
        if (v.AtLeast(10, 0))
            log.Info("Weight Streaming: Disabled");
        if (v.AtLeast(10, 2))
            log.Info("Runtime Platform: Same As Build");
        if (v.AtLeast(10, 0))
            log.Info("Debug Tensors: ");
        if (v.AtLeast(10, 12))
        {
            log.Info("Distributive Independence: Disabled");
            log.Info("Mark Unfused Tensors As Debug Tensors: Disabled");
        }
        log.Info(v.Major < 11 ? "Input(s)s format: fp32:CHW" : "Input(s)s format: CHW");
        log.Info(v.Major < 11 ? "Output(s)s format: fp32:CHW" : "Output(s)s format: CHW");
        log.Info(c.Profiles.Count == 0 ? "Input build shapes: model" : "Input build shapes: explicit");
        if (v.Major < 11)
            log.Info("Input calibration shapes: model");
        log.Info("=== System Options ===");
        log.Info($"Device: {c["device"] ?? "0"}");
        log.Info("DLACore: ");
        log.Info(v.Major < 11 ? "Plugins:" : "Loaded static plugins:");
        log.Info("setPluginsToSerialize:");
        log.Info("dynamicPlugins:");
        log.Info("ignoreParsedPluginLibs: 0");
        log.Info("");
        log.Info("=== Inference Options ===");
        log.Info("Batch: Explicit");
        log.Info(c.Inference.Count == 0 ? "Input inference shapes: model" : "Input inference shapes: explicit");
        log.Info($"Iterations: {c["iterations"] ?? "10"}");
        log.Info($"Duration: {c["duration"] ?? "3"}s (+ {c["warmUp"] ?? "200"}ms warm up)");
        log.Info("Sleep time: 0ms");
        log.Info("Idle time: 0ms");
        log.Info("Inference Streams: 1");
        log.Info("ExposeDMA: Disabled");
        var eleven = v.Major >= 11;
        log.Info($"Data transfers: {(eleven ? c.Has("includeDataTransfers") : !c.Has("noDataTransfers")).Word()}");
        log.Info($"Spin-wait: {(eleven ? !c.Has("noSpinWait") : c.Has("useSpinWait")).Word()}");
        log.Info("Multithreading: Disabled");
        log.Info($"CUDA Graph: {(eleven ? !c.Has("noCudaGraph") : c.Has("useCudaGraph")).Word()}");
        if (!eleven)
            log.Info("Separate profiling: Disabled");
        log.Info("Time Deserialize: Disabled");
        log.Info("Time Refit: Disabled");
        log.Info("NVTX verbosity: 0");
        log.Info("Persistent Cache Ratio: 0");
        if (v.AtLeast(9, 1))
            log.Info("Optimization Profile Index: 0");
        if (v.AtLeast(10, 0))
            log.Info("Weight Streaming Budget: 100.000000%");
        if (v.AtLeast(11, 1))
        {
            log.Info("Accuracy Algorithm: L0");
            log.Info("Absolute Tolerance (atol): 1e-05");
            log.Info("Relative Tolerance (rtol): 1e-05");
        }
        log.Info("Inputs:");
        if (v.AtLeast(10, 0))
            log.Info("Debug Tensor Save Destinations:");
        if (v.AtLeast(10, 12))
            log.Info("Dump All Debug Tensor in Formats: ");
        log.Info("=== Reporting Options ===");
        log.Info($"Verbose: {On("verbose")}");
        log.Info("Averages: 10 inferences");
        log.Info("Percentiles: 90,95,99");
        log.Info("Dump refittable layers:Disabled");
        log.Info("Dump output: Disabled");
        log.Info("Profile: Disabled");
        log.Info("Export timing to JSON file: ");
        log.Info("Export output to JSON file: ");
        log.Info("Export profile to JSON file: ");
        log.Info("");
    }

    public static void Device(Log log, StandInVersion v, string device)
    {
        log.Info("=== Device Information ===");
        log.Info("Available Devices: ");
        log.Info("  Device 0: \"NVIDIA H100 80GB HBM3\" UUID: GPU-00000000-0000-0000-0000-000000000000");
        log.Info("Selected Device: NVIDIA H100 80GB HBM3");
        log.Info($"Selected Device ID: {device}");
        log.Info("Selected Device UUID: GPU-00000000-0000-0000-0000-000000000000");
        log.Info("Compute Capability: 9.0");
        log.Info("SMs: 132");
        log.Info("Device Global Memory: 81559 MiB");
        log.Info("Shared Memory per SM: 228 KiB");
        log.Info("Memory Bus Width: 5120 bits (ECC enabled)");
        log.Info("Application Compute Clock Rate: 0 GHz");
        log.Info("Application Memory Clock Rate: 0 GHz");
        log.Info("");
        log.Info("Note: The application clock rates do not reflect the actual clock rates that the GPU is currently running at.");
        log.Info("");
        log.Info($"TensorRT version: {v.Release}");
    }

    /// <summary>A run of 55 queries whose times are invented.</summary>
    public static void Inference(Log log)
    {
        log.Info("Starting inference");
        log.Info("Warmup completed 5 queries over 200 ms");
        log.Info("Timing trace has 55 queries over 2.3067 s");
        log.Info("");
        log.Info("=== Trace details ===");
        log.Info("Trace averages of 10 runs:");
        foreach (var (gpu, host, enqueue) in ((string, string, string)[])[("41.16", "41.46", "0.4"), ("41.135", "41.435", "0.400024"), ("41.18", "41.4799", "0.400024"), ("41.12", "41.4199", "0.400024"), ("41.165", "41.465", "0.399951")])
            log.Info($"Average on 10 runs - GPU latency: {gpu} ms - Host latency: {host} ms (enqueue {enqueue} ms)");
        log.Info("");
        log.Info("=== Performance summary ===");
        log.Info("Throughput: 23.8436 qps");
        log.Info("Latency: min = 41.2999 ms, max = 41.6001 ms, mean = 41.4491 ms, median = 41.45 ms, percentile(90%) = 41.6 ms, percentile(95%) = 41.6 ms, percentile(99%) = 41.6001 ms");
        log.Info("Enqueue Time: min = 0.399902 ms, max = 0.400024 ms, mean = 0.399996 ms, median = 0.400024 ms, percentile(90%) = 0.400024 ms, percentile(95%) = 0.400024 ms, percentile(99%) = 0.400024 ms");
        log.Info("H2D Latency: min = 0.199951 ms, max = 0.200195 ms, mean = 0.200009 ms, median = 0.199951 ms, percentile(90%) = 0.200195 ms, percentile(95%) = 0.200195 ms, percentile(99%) = 0.200195 ms");
        log.Info("GPU Compute Time: min = 41 ms, max = 41.3 ms, mean = 41.1491 ms, median = 41.15 ms, percentile(90%) = 41.3 ms, percentile(95%) = 41.3 ms, percentile(99%) = 41.3 ms");
        log.Info("D2H Latency: min = 0.0998535 ms, max = 0.100098 ms, mean = 0.099967 ms, median = 0.0999756 ms, percentile(90%) = 0.100037 ms, percentile(95%) = 0.100037 ms, percentile(99%) = 0.100098 ms");
        log.Info("Total Host Walltime: 2.3067 s");
        log.Info("Total GPU Compute Time: 2.2632 s");
        log.Info("Explanations of the performance metrics are printed in the verbose logs.");
        log.Info("");
    }

    private static string Word(this bool enabled) => enabled ? "Enabled" : "Disabled";
}
