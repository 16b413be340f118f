using System.Globalization;

namespace QuantSdk.TrtExecStandIn;

/// <summary>
/// The options of trtexec by version, written from the release sources' option strings, apart from the table of the code that is tested. A line
/// is: how it is parsed, since when, until before when (- : always), names. Parsed as: b switch, s text, i whole number, f number, S shapes,
/// r repeatable text, p memory pools.
/// </summary>
internal static class Grammar
{
    private const string Table = """
        s - - onnx saveEngine loadEngine exportTimes exportProfile exportOutput exportLayerInfo timingCacheFile leanDLLPath tempdir tempfileControls
        s - - sparsity profilingVerbosity hardwareCompatibilityLevel useRuntime tacticSources preview layerDeviceTypes inputIOFormats outputIOFormats loadInputs percentile remoteAutoTuningConfig dumpKernelText
        s - 9.1 model deploy output
        i - 9.1 batch maxBatch
        s - 10.0 nvtxMode
        s - 11.0 calib precisionConstraints layerPrecisions layerOutputTypes
        S - - shapes minShapes optShapes maxShapes
        S - 11.0 minShapesCalib optShapesCalib maxShapesCalib
        b - - skipInference refit noTF32 noBuilderCache versionCompatible vc excludeLeanRuntime directIO verbose dumpLayerInfo dumpProfile dumpOutput dumpRawBindingsToFile dumpRefit
        b - - ignoreParsedPluginLibs allowGPUFallback buildDLAStandalone safe consistency exposeDMA useManagedMemory threads timeDeserialize timeRefit useSpinWait noDataTransfers useCudaGraph separateProfileRun help h
        b - 10.0 buildOnly explicitBatch explicitPrecision heuristic
        b - 11.0 fp16 int8 fp8 best restricted
        i - - builderOptimizationLevel avgTiming maxAuxStreams device useDLACore iterations warmUp avgRuns infStreams streams
        i - 10.0 minTiming workspace
        f - - duration sleepTime idleTime persistentCacheRatio
        p - - memPoolSize
        r - - staticPlugins plugins dynamicPlugins setPluginsToSerialize
        b 9.1 - getPlanVersionOnly stronglyTyped noCompilationCache errorOnTimingCacheMiss dumpOptimizationProfile
        b 9.1 11.0 bf16
        i 9.1 - useProfile profile
        i 9.1 11.0 calibProfile
        b 9.1 10.0 nativeInstanceNorm ni
        b 9.3 11.0 weightless
        b 10.0 - stripWeights allowWeightStreaming pluginInstanceNorm pi
        s 10.0 - weightStreamingBudget allocationStrategy markDebug saveDebugTensors
        r 10.0 - safetyPlugins
        b 10.1 11.0 int4
        b 10.1 - stripAllWeights
        s 10.2 - runtimePlatform
        i 10.4 - maxTactics
        b 10.6 - monitorMemory
        b 10.7 - asyncFileReader
        i 10.8 - tilingOptimizationLevel l2LimitForTiling
        b 10.11 - uint8AsymmetricQuantizationDLA
        b 10.12 - distributiveIndependence markUnfusedTensorsAsDebugTensors
        s 10.12 - saveAllDebugTensors
        s 10.14 - decomposableAttentions refitFromOnnx
        b 10.15 - cpuOnly enablePluginOverride
        b 10.16 - adjustForDLA reportCapabilityDLA
        b 11.0 - noCudaGraph noSpinWait includeDataTransfers
        s 11.1 - setBuildRoute saveAllEngines tuneBuildRouteFile tuningSearch tuningCacheFile loadRefOutputs accuracyAlgorithm
        b 11.1 - tuneBuildRoutes continue dryRun helpBuildRoute
        f 11.1 - tuningTimeOut atol rtol accuracyThreshold
        r 11.1 - refPair
        """;

    /// <summary>The parse letters of a version's options.</summary>
    public static Dictionary<string, char> Of(StandInVersion version)
    {
        var options = new Dictionary<string, char>(StringComparer.Ordinal);
        foreach (var line in Table.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            var words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
            if ((words[1] == "-" || Reaches(version, words[1])) && (words[2] == "-" || !Reaches(version, words[2])))
            {
                foreach (var name in words[3..])
                    options.Add(name, words[0][0]);
            }
        }
        return options;
    }

    private static bool Reaches(StandInVersion version, string family)
    {
        var parts = family.Split('.');
        return version.AtLeast(int.Parse(parts[0], CultureInfo.InvariantCulture), int.Parse(parts[1], CultureInfo.InvariantCulture));
    }
}
