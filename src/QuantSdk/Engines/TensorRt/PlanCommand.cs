using System.Globalization;
using QuantSdk.Recipes;
using QuantSdk.Runtime;

namespace QuantSdk.Engines.TensorRt;

/// <summary>What trtexec is told, as one list of arguments for each run: a pure function of what is asked for and of the version that is asked.</summary>
/// <param name="Build">Builds the plan.</param>
/// <param name="Measure">Runs the plan; null where that is not wanted, or where this version cannot.</param>
internal sealed record PlanCommand(IReadOnlyList<string> Build, IReadOnlyList<string>? Measure, IReadOnlyList<TensorRtProfile> Profiles)
{
    /// <summary>Narrow types that came to TensorRT later than the oldest version that is known.</summary>
    private static readonly (string Type, int Major, int Minor)[] s_firstWith = [("int4", 10, 0), ("fp4", 10, 8)];

    /// <param name="plan">The file that trtexec writes.</param>
    /// <param name="timingCache">Or null.</param>
    /// <param name="layers">Where the description of the engine's layers goes; only used where LayerInfo asks for it.</param>
    /// <exception cref="QuantSdkException">QSDK4026: this version cannot do what is asked. QSDK4027 to QSDK4029: shapes. QSDK4030: an argument. QSDK4031: a plugin.</exception>
    public static PlanCommand Of(TensorRtVersion version, TensorRtOptions options, PlanRequest request, string plan, string? timingCache, string? layers)
    {
        var profiles = ShapeProfiles.Of(options, request);
        var (extraBuild, extraMeasure) = ExtraArguments.Check(options, version);
        string[] device = options.GpuDevice == 0 ? [] : [$"--device={Text(options.GpuDevice)}"];
        string[] plugins = [.. options.Plugins.Select(p => $"--staticPlugins={Plugin(p, request)}")];
        List<string> build =
        [
            $"--onnx={request.Model}", $"--saveEngine={plan}", "--skipInference",
            .. Types(version, options, request), .. Shapes(version, profiles, request),
            .. options.BuilderOptimizationLevel is { } level ? [$"--builderOptimizationLevel={Text(level)}"] : (string[])[],
            // A bare number is MiB in every version; suffixes are not.
            .. options.Workspace is { } workspace ? [$"--memPoolSize=workspace:{Text(workspace)}"] : (string[])[],
            .. timingCache is null ? (string[])[] : [$"--timingCacheFile={timingCache}"],
            .. Compatibility(version, options), .. Weights(version, options),
            .. options.Sparsity == "disable" ? (string[])[] : [$"--sparsity={options.Sparsity}"],
            .. Layers(options, layers), .. plugins, .. device, .. extraBuild,
        ];
        return new PlanCommand(build, options.MeasureEngine ? MeasureRun(version, options, request, plan, profiles, [.. plugins, .. device, .. extraMeasure]) : null, profiles);
    }

    private static string[] Types(TensorRtVersion version, TensorRtOptions options, PlanRequest request)
    {
        var quantised = QuantisedTypes.Of(request.Graph);
        foreach (var (type, major, minor) in s_firstWith)
        {
            if (quantised.Contains(type) && (version.Major, version.Minor).CompareTo((major, minor)) < 0)
                throw Missing(version, $"has no {type}", string.Create(CultureInfo.InvariantCulture, $"{major}.{minor}"), "take another format");
        }
        if (options.StronglyTyped)
        {
            return Has("stronglyTyped", version) ? ["--stronglyTyped"] : throw Missing(version,
                "has no strongly typed networks", "9.1", "set StronglyTyped=false, which lets TensorRT choose the types (--fp16 --int8)");
        }
        if (!Has("int8", version))
            throw new QuantSdkException("QSDK4026", $"StronglyTyped=false asks for a network whose types TensorRT chooses (--fp16 --int8), and this trtexec is of TensorRT {version.Release}: from 11 on, all networks are strongly typed. Leave StronglyTyped out: types are then written into the graph by HighPrecision and Precision.");
        if (quantised.Contains("int8") && quantised.Contains("fp8"))
            throw new QuantSdkException("QSDK4026", $"{request.Name}: the model has int8 and fp8, and trtexec does not take --int8 and --fp8 together. Leave StronglyTyped out, or use one format.", request.Source ?? request.Model);
        if (quantised.Contains("fp4"))
            throw new QuantSdkException("QSDK4026", $"{request.Name}: the model has 4-bit floats, for which only strongly typed networks are. Leave StronglyTyped out.", request.Source ?? request.Model);
        var flags = new List<string>();
        if (request.HighPrecision != "fp32")
            flags.Add(Flag(request.HighPrecision));
        foreach (var type in (string[])["int8", "fp8", "int4"])
        {
            if (quantised.Contains(type))
                flags.Add(Flag(type));
        }
        return [.. flags];

        string Flag(string type) => Has(type, version) ? "--" + type : throw Missing(version, $"has no --{type}", since: TrtExecOptions.Find(type)!.Since is { } s ? $"{s.Major}.{s.Minor}" : "", "take another Precision or HighPrecision");
    }

    private static IEnumerable<string> Shapes(TensorRtVersion version, IReadOnlyList<TensorRtProfile> profiles, PlanRequest request)
    {
        var model = request.Source ?? request.Model;
        if (profiles.Count > 1 && !Has("profile", version))
            throw Missing(version, $"builds one profile, and {profiles.Count} are asked for", "9.1", "give one text in MinShapes, OptShapes and MaxShapes");
        if (version.Major < 10 && profiles.SelectMany(p => p.Inputs).FirstOrDefault(r => r.Min.Count == 0) is { } scalar)
            throw Missing(version, $"cannot be told the shape of the scalar '{scalar.Input}'", "10.0", "give the input a fixed shape");
        if (profiles is [var only] && only.Inputs.All(r => r.Min.SequenceEqual(r.Opt) && r.Opt.SequenceEqual(r.Max)))
            return [$"--shapes={ShapeText.Write(only.Inputs.Select(r => (r.Input, r.Opt)), model)}"];
        return profiles.SelectMany((profile, index) => (string[])
        [
            .. profiles.Count == 1 ? (string[])[] : [$"--profile={Text(index)}"],
            $"--minShapes={ShapeText.Write(profile.Inputs.Select(r => (r.Input, r.Min)), model)}",
            $"--optShapes={ShapeText.Write(profile.Inputs.Select(r => (r.Input, r.Opt)), model)}",
            $"--maxShapes={ShapeText.Write(profile.Inputs.Select(r => (r.Input, r.Max)), model)}",
        ]);
    }

    private static IEnumerable<string> Compatibility(TensorRtVersion version, TensorRtOptions options)
    {
        if (options.VersionCompatible)
            yield return "--versionCompatible";
        if (options.HardwareCompatibility.Equals("none", StringComparison.OrdinalIgnoreCase))
            yield break;
        if (options.HardwareCompatibility.Equals("sameComputeCapability", StringComparison.OrdinalIgnoreCase) && version < new TensorRtVersion(10, 9, 0))
            throw Missing(version, "has no HardwareCompatibility=sameComputeCapability", "10.9", "take ampere+ or none");
        yield return $"--hardwareCompatibilityLevel={options.HardwareCompatibility}";
    }

    private static IEnumerable<string> Weights(TensorRtVersion version, TensorRtOptions options)
    {
        if (options.Refit)
            yield return "--refit";
        if (!options.StripWeights)
            yield break;
        yield return Has("stripWeights", version) ? "--stripWeights" : Has("weightless", version) ? "--weightless"
            : throw Missing(version, "builds no engines without weights", "9.3", "leave StripWeights out");
    }

    private static IEnumerable<string> Layers(TensorRtOptions options, string? file)
    {
        var wanted = options.LayerInfo && file is not null;
        // Without details a layer is a name and nothing else.
        var verbosity = wanted && options.ProfilingVerbosity == "layer_names_only" ? "detailed" : options.ProfilingVerbosity;
        if (verbosity != "layer_names_only")
            yield return $"--profilingVerbosity={verbosity}";
        if (wanted)
            yield return $"--exportLayerInfo={file}";
    }

    /// <summary>Up to 10.16 transfers are measured unless told otherwise and CUDA graphs are off; from 11 on it is the other way round. Both shall measure alike.</summary>
    private static List<string>? MeasureRun(TensorRtVersion version, TensorRtOptions options, PlanRequest request, string plan, IReadOnlyList<TensorRtProfile> profiles, string[] shared)
    {
        if (options.StripWeights && !Has("refitFromOnnx", version))
            return null;
        string[] alike = version.Major < 11 ? ["--noDataTransfers", "--useCudaGraph", "--useSpinWait"] : [];
        return
        [
            $"--loadEngine={plan}",
            .. options.StripWeights ? [$"--refitFromOnnx={request.Model}"] : (string[])[],
            .. profiles is [var first, ..] ? [$"--shapes={ShapeText.Write(first.Inputs.Select(r => (r.Input, r.Opt)), request.Source ?? request.Model)}"] : (string[])[],
            .. options.VersionCompatible ? ["--versionCompatible"] : (string[])[],
            .. alike.Where(a => !shared.Contains(a)), .. shared,
        ];
    }

    private static string Plugin(string plugin, PlanRequest request)
    {
        var path = Path.GetFullPath(plugin, request.ProjectDirectory.Length > 0 ? request.ProjectDirectory : Path.GetDirectoryName(request.Model)!);
        return File.Exists(path) ? path : throw new QuantSdkException("QSDK4031", $"{request.Name}: the plugin library '{plugin}' does not exist (looked for as '{path}'). Plugins are relative to the project.", path);
    }

    private static bool Has(string option, TensorRtVersion version) => TrtExecOptions.Find(option)!.IsIn(version);

    private static QuantSdkException Missing(TensorRtVersion version, string what, string since, string instead) =>
        new("QSDK4026", $"This trtexec is of TensorRT {version.Release}, which {what}{(since.Length > 0 ? $" (TensorRT {since} has)" : "")}. Use a newer TensorRT, or {instead}.");

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}
