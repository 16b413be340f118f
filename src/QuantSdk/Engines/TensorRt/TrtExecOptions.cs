using static QuantSdk.Engines.TensorRt.OptionUse;
using static QuantSdk.Engines.TensorRt.OptionValue;

namespace QuantSdk.Engines.TensorRt;

/// <summary>The options of trtexec from 8.6 to 11.1 and the versions that have each, as its sources at the tags of these releases have them.</summary>
internal static class TrtExecOptions
{
    private static readonly (int, int) v91 = (9, 1), v93 = (9, 3), v100 = (10, 0), v101 = (10, 1), v102 = (10, 2), v104 = (10, 4), v106 = (10, 6), v107 = (10, 7), v108 = (10, 8),
        v1011 = (10, 11), v1012 = (10, 12), v1014 = (10, 14), v1015 = (10, 15), v1016 = (10, 16), v110 = (11, 0), v111 = (11, 1);

    private static readonly Dictionary<string, TrtExecOption> s_all = Table().ToDictionary(o => o.Name, StringComparer.Ordinal);

    public static IReadOnlyCollection<TrtExecOption> All => s_all.Values;

    public static TrtExecOption? Find(string name) => s_all.GetValueOrDefault(name);

    private static IEnumerable<TrtExecOption> Table()
    {
        const string precision = "StronglyTyped=false with Precision and HighPrecision", files = "nothing: it names files", shapes = "MinShapes, OptShapes, MaxShapes";

        // What we say ourselves.
        yield return new("onnx", FileName, Owned, Instead: "the item");
        yield return new("saveEngine", FileName, Owned, Instead: "the item");
        yield return new("loadEngine", FileName, Owned, Instead: "MeasureEngine");
        yield return new("skipInference", None, Owned, Instead: "MeasureEngine");
        yield return new("buildOnly", None, Owned, Until: v100, Instead: "MeasureEngine");
        yield return new("getPlanVersionOnly", None, Owned, v91, Instead: "`quantsdk trtexec`");
        foreach (var name in (string[])["shapes", "minShapes", "optShapes", "maxShapes"])
            yield return new(name, Text, Owned, Instead: shapes);
        yield return new("profile", Whole, Owned, v91, Instead: "several texts in " + shapes);
        yield return new("useProfile", Whole, Owned, v91, Instead: "several texts in " + shapes);
        yield return new("stronglyTyped", None, Owned, v91, Instead: "StronglyTyped");
        yield return new("fp16", None, Owned, Until: v110, Instead: precision);
        yield return new("bf16", None, Owned, v91, v110, precision);
        yield return new("int8", None, Owned, Until: v110, Instead: precision);
        yield return new("fp8", None, Owned, Until: v110, Instead: precision);
        yield return new("int4", None, Owned, v101, v110, precision);
        yield return new("best", None, Owned, Until: v110, Instead: precision);
        yield return new("builderOptimizationLevel", Whole, Owned, Instead: "BuilderOptimizationLevel");
        yield return new("memPoolSize", Text, Owned, Instead: "Workspace");
        yield return new("workspace", Whole, Owned, Until: v100, Instead: "Workspace");
        yield return new("timingCacheFile", FileName, Owned, Instead: "nothing: one is kept for each version and GPU");
        yield return new("sparsity", Text, Owned, Instead: "Sparsity");
        yield return new("refit", None, Owned, Instead: "Refit");
        yield return new("stripWeights", None, Owned, v100, Instead: "StripWeights");
        yield return new("stripAllWeights", None, Owned, v101, Instead: "StripWeights with Refit");
        yield return new("weightless", None, Owned, v93, v110, "StripWeights");
        yield return new("refitFromOnnx", FileName, Owned, v1014, Instead: "StripWeights");
        yield return new("versionCompatible", None, Owned, Instead: "VersionCompatible");
        yield return new("vc", None, Owned, Instead: "VersionCompatible");
        yield return new("hardwareCompatibilityLevel", Text, Owned, Instead: "HardwareCompatibility");
        yield return new("profilingVerbosity", Text, Owned, Instead: "ProfilingVerbosity");
        yield return new("exportLayerInfo", FileName, Owned, Instead: "LayerInfo");
        foreach (var name in (string[])["staticPlugins", "plugins", "dynamicPlugins"])
            yield return new(name, FileName, Owned, Instead: "Plugins");
        yield return new("setPluginsToSerialize", FileName, Owned, Instead: "Plugins");
        yield return new("device", Whole, Owned, Instead: "GpuDevice");
        yield return new("useRuntime", Text, Owned, Instead: "nothing: building needs the full one");
        yield return new("help", None, Owned, Instead: "`trtexec --help`");
        yield return new("h", None, Owned, Instead: "`trtexec --help`");

        // Types and layouts of what goes in and out are in the manifest, which is the model's.
        foreach (var name in (string[])["inputIOFormats", "outputIOFormats"])
            yield return new(name, Text, Owned, Instead: "the types of the model's inputs and outputs");
        yield return new("directIO", None, Owned, Instead: "the types of the model's inputs and outputs");

        // Files.
        foreach (var name in (string[])["calib", "leanDLLPath", "tempdir", "exportTimes", "exportProfile", "exportOutput"])
            yield return new(name, FileName, Files, Until: name == "calib" ? v110 : null, Instead: files);
        yield return new("loadInputs", FileName, Files, Instead: files);
        foreach (var (name, since) in ((string, (int, int)?)[])[("dumpRawBindingsToFile", null), ("saveDebugTensors", v100), ("saveAllDebugTensors", v1012)])
            yield return new(name, FileName, Files, since, Instead: files);
        foreach (var name in (string[])["tuneBuildRouteFile", "tuningCacheFile", "loadRefOutputs", "refPair", "saveAllEngines"])
            yield return new(name, FileName, Files, v111, Instead: files);
        foreach (var name in (string[])["remoteAutoTuningConfig", "dumpKernelText"])
            yield return new(name, FileName, Files, Instead: files);
        yield return new("safetyPlugins", FileName, Files, v100, Instead: files);

        // How kernels are searched for.
        yield return new("avgTiming", Whole, Build);
        yield return new("minTiming", Whole, Build, Until: v100);
        yield return new("maxTactics", Whole, Build, v104);
        yield return new("tilingOptimizationLevel", Whole, Build, v108, Allowed: ["0", "1", "2", "3"]);
        yield return new("l2LimitForTiling", Whole, Build, v108);
        yield return new("noTF32", None, Build);
        yield return new("noBuilderCache", None, Build);
        yield return new("noCompilationCache", None, Build, v91);
        yield return new("errorOnTimingCacheMiss", None, Build, v91);
        yield return new("heuristic", None, Build, Until: v100);
        yield return new("tacticSources", Text, Build);
        yield return new("preview", Text, Build);
        yield return new("maxAuxStreams", Whole, Build);
        yield return new("precisionConstraints", Text, Build, Until: v110, Allowed: ["none", "prefer", "obey"]);
        yield return new("layerPrecisions", Text, Build, Until: v110);
        yield return new("layerOutputTypes", Text, Build, Until: v110);
        yield return new("layerDeviceTypes", Text, Build);
        yield return new("pluginInstanceNorm", None, Build, v100);
        yield return new("pi", None, Build, v100);
        yield return new("nativeInstanceNorm", None, Build, v91, v100);
        yield return new("ni", None, Build, v91, v100);
        yield return new("excludeLeanRuntime", None, Build);
        yield return new("runtimePlatform", Text, Build, v102, Allowed: ["SameAsBuild", "WindowsAMD64"]);
        yield return new("allowWeightStreaming", None, Build, v100);
        yield return new("distributiveIndependence", None, Build, v1012);
        yield return new("decomposableAttentions", Text, Build, v1014);
        yield return new("enablePluginOverride", None, Build, v1015);
        yield return new("monitorMemory", None, Build, v106);
        yield return new("tempfileControls", Text, Build);
        yield return new("ignoreParsedPluginLibs", None, Build);
        yield return new("useDLACore", Whole, Build);
        yield return new("allowGPUFallback", None, Build);
        yield return new("uint8AsymmetricQuantizationDLA", None, Build, v1011);
        yield return new("adjustForDLA", None, Build, v1016);
        yield return new("verbose", None, Build);
        yield return new("dumpLayerInfo", None, Build);
        yield return new("dumpOptimizationProfile", None, Build, v91);

        // How the engine is run to be measured.
        foreach (var name in (string[])["iterations", "warmUp", "avgRuns", "infStreams"])
            yield return new(name, Whole, Measure);
        foreach (var name in (string[])["duration", "sleepTime", "idleTime", "persistentCacheRatio"])
            yield return new(name, Number, Measure);
        yield return new("percentile", Text, Measure);
        foreach (var name in (string[])["exposeDMA", "useManagedMemory", "threads", "timeDeserialize", "timeRefit", "useSpinWait", "noDataTransfers", "useCudaGraph", "dumpProfile", "separateProfileRun"])
            yield return new(name, None, Measure);
        foreach (var name in (string[])["noCudaGraph", "noSpinWait", "includeDataTransfers"])
            yield return new(name, None, Measure, v110);
        yield return new("weightStreamingBudget", Text, Measure, v100);
        yield return new("allocationStrategy", Text, Measure, v100, Allowed: ["static", "profile", "runtime"]);
        yield return new("asyncFileReader", None, Measure, v107);

        // Other uses of trtexec.
        foreach (var (name, since, until) in ((string, (int, int)?, (int, int)?)[])
            [("model", null, v91), ("deploy", null, v91), ("output", null, v91), ("batch", null, v91), ("maxBatch", null, v91), ("explicitBatch", null, v100), ("explicitPrecision", null, v100), ("nvtxMode", null, v100),
             ("minShapesCalib", null, v110), ("optShapesCalib", null, v110), ("maxShapesCalib", null, v110), ("calibProfile", v91, v110), ("restricted", null, v110),
             ("dumpOutput", null, null), ("dumpRefit", null, null), ("streams", null, null), ("safe", null, null), ("consistency", null, null), ("buildDLAStandalone", null, null), ("markDebug", v100, null),
             ("markUnfusedTensorsAsDebugTensors", v1012, null), ("cpuOnly", v1015, null), ("reportCapabilityDLA", v1016, null),
             ("setBuildRoute", v111, null), ("tuneBuildRoutes", v111, null), ("tuningSearch", v111, null), ("tuningTimeOut", v111, null), ("continue", v111, null), ("dryRun", v111, null), ("helpBuildRoute", v111, null),
             ("accuracyAlgorithm", v111, null), ("atol", v111, null), ("rtol", v111, null), ("accuracyThreshold", v111, null)])
        {
            yield return new(name, Text, Foreign, since, until, "trtexec by hand");
        }
    }
}
