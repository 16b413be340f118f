using System.Globalization;

namespace QuantSdk.TrtExecStandIn;

/// <summary>trtexec's parser, with its traps.</summary>
public static class CommandLineParser
{
    private static readonly string[] s_weak = ["fp16", "bf16", "int8", "fp8", "int4", "best"];

    /// <summary>The names of a version's options.</summary>
    public static IReadOnlyCollection<string> Options(StandInVersion version) => Grammar.Of(version).Keys;

    /// <exception cref="OptionException">trtexec stops here.</exception>
    public static ParsedCommand Parse(IReadOnlyList<string> arguments, StandInVersion version)
    {
        var known = Grammar.Of(version);
        var command = new ParsedCommand();
        var left = arguments.Select(Split).ToList();
        TakeProfiles(left, command, version);
        var used = new HashSet<string>(StringComparer.Ordinal);
        var unknown = new List<(string Name, string Value)>();
        foreach (var (name, value) in left)
        {
            var bare = name.StartsWith("--", StringComparison.Ordinal) ? name[2..] : "";
            if (!known.TryGetValue(bare, out var kind) || (kind != 'r' && !used.Add(bare)))
            {
                unknown.Add((name, value));
                continue;
            }
            switch (kind)
            {
                case 'b': command.Values[bare] = ""; break;
                case 'r': command.Repeated.Add((bare, value)); break;
                default: command.Values[bare] = value; break;
            }
        }
        foreach (var (name, kind) in known)
        {
            if (command[name] is not { } value)
                continue;
            if (kind == 'i')
                CppNumbers.Stoi(value);
            else if (kind == 'f')
                CppNumbers.Stof(value);
            else if (kind == 'p')
                Pools(value, command, version);
        }
        Shapes(command, version);
        Values(command, version);
        Conflicts(command, version);
        if (unknown.Count > 0)
            throw new OptionException(string.Join('\n', unknown.Select(u => $"Unknown option: {u.Name} {u.Value}")));
        return command;
    }

    /// <summary>At the first =; a text without -- is an option of that name, which there is none of.</summary>
    private static (string Name, string Value) Split(string argument)
    {
        var equals = argument.IndexOf('=');
        return !argument.StartsWith("--", StringComparison.Ordinal) || equals < 0 ? (argument, "") : (argument[..equals], argument[(equals + 1)..]);
    }

    private static void TakeProfiles(List<(string Name, string Value)> left, ParsedCommand command, StandInVersion version)
    {
        string[] three = ["--minShapes", "--optShapes", "--maxShapes"];
        if (!version.AtLeast(9, 1))
            return;
        if (left.All(a => a.Name != "--profile"))
        {
            if (three.Any(t => left.Count(a => a.Name == t) > 1))
                throw new OptionException("Multiple --minShapes/--optShapes/--maxShapes without --profile are not allowed.");
            return;
        }
        var groups = new SortedDictionary<int, Dictionary<string, string>>();
        for (var i = 0; i < left.Count;)
        {
            if (left[i].Name != "--profile")
            {
                i++;
                continue;
            }
            var specs = new Dictionary<string, string>(StringComparer.Ordinal);
            if (!groups.TryAdd(CppNumbers.Stoi(left[i].Value), specs))
                throw new OptionException("Optimization profile index cannot be the same.");
            left.RemoveAt(i);
            while (i < left.Count && three.Contains(left[i].Name) && specs.TryAdd(left[i].Name, left[i].Value))
                left.RemoveAt(i);
        }
        if (left.Any(a => three.Contains(a.Name)))
            throw new OptionException("Multiple --minShapes/--optShapes/--maxShapes without --profile are not allowed.");
        var expected = 0;
        foreach (var (index, specs) in groups)
        {
            if (index != expected++ || specs.Count == 0)
                throw new OptionException(string.Create(CultureInfo.InvariantCulture, $"Found invalid or missing shape spec at profile index {expected - 1}."));
            command.Profiles.Add(Broadcast(specs.GetValueOrDefault("--minShapes"), specs.GetValueOrDefault("--optShapes"), specs.GetValueOrDefault("--maxShapes"), command, version));
        }
    }

    private static void Shapes(ParsedCommand command, StandInVersion version)
    {
        if (command["shapes"] is { } shapes)
            command.Inference = ShapeSpec.Parse(shapes, version);
        if (command.Profiles.Count > 0)
            return;
        if (command.Has("minShapes") || command.Has("optShapes") || command.Has("maxShapes"))
            command.Profiles.Add(Broadcast(command["minShapes"], command["optShapes"], command["maxShapes"], command, version));
        else if (command.Inference.Count > 0)
            command.Profiles.Add(command.Inference.ToDictionary(s => s.Key, s => new ProfileShape(s.Value, s.Value, s.Value), StringComparer.Ordinal));
    }

    /// <summary>A missing list is taken from another one. Inputs come from the smallest and the largest shapes: one that only the optimal ones lack has an empty shape there.</summary>
    private static Dictionary<string, ProfileShape> Broadcast(string? min, string? opt, string? max, ParsedCommand command, StandInVersion version)
    {
        if (min is null || opt is null || max is null)
            command.Warnings.Add("minShapes, optShapes or maxShapes is not given and is taken from the others.");
        var (low, best, high) = (ShapeSpec.Parse(min ?? opt ?? max!, version), ShapeSpec.Parse(opt ?? max ?? min!, version), ShapeSpec.Parse(max ?? opt ?? min!, version));
        return low.Keys.Union(high.Keys).ToDictionary(name => name, name => new ProfileShape(low.GetValueOrDefault(name) ?? [], best.GetValueOrDefault(name) ?? [], high.GetValueOrDefault(name) ?? []), StringComparer.Ordinal);
    }

    private static void Pools(string value, ParsedCommand command, StandInVersion version)
    {
        string[] pools = ["workspace", "dlaSRAM", "dlaLocalDRAM", "dlaGlobalDRAM", .. version.AtLeast(10, 0) ? ["tacticSharedMem"] : (string[])[]];
        foreach (var item in value.Split(','))
        {
            var colon = item.LastIndexOf(':');
            var (pool, size) = colon < 0 ? (item, "") : (item[..colon], item[(colon + 1)..]);
            if (!pools.Contains(pool))
                throw new OptionException($"Unknown memory pool: {pool}");
            var number = CppNumbers.Stof(size);
            var power = size.Length > 0 ? "BKMG".IndexOf(char.ToUpperInvariant(size[^1]), StringComparison.Ordinal) : -1;
            var factor = power < 0 ? 0 : Math.Pow(1024, power);
            // 10.0 multiplies and leaves the unit MiB; before, suffixes are not read at all.
            command.Pools[pool] = power < 0 || !version.AtLeast(10, 0) ? number : version.AtLeast(10, 1) ? number * factor / (1024 * 1024) : number * factor;
        }
    }

    private static void Values(ParsedCommand command, StandInVersion version)
    {
        OneOf("sparsity", ["disable", "enable", "force"], "Unknown sparsity mode: ");
        OneOf("precisionConstraints", ["none", "prefer", "obey"], "Unknown precision constraints: ");
        OneOf("profilingVerbosity", ["layer_names_only", "detailed", "none", "default", "verbose"], "Unknown profilingVerbosity: ");
        OneOf("useRuntime", ["full", "lean", "dispatch"], "Unknown useRuntime: ");
        OneOf("runtimePlatform", ["SameAsBuild", "WindowsAMD64"], "Unknown runtime platform: ");
        if (command["hardwareCompatibilityLevel"] is { } level)
        {
            if (!(level.ToLowerInvariant() is "none" or "ampere+" || (version.AtLeast(10, 9) && level.ToLowerInvariant() == "samecomputecapability")))
                throw new OptionException($"Unknown hardwareCompatibilityLevel: {level}");
        }
        string[] sources = version.Major >= 11 ? ["EDGE_MASK_CONVOLUTIONS", "JIT_CONVOLUTIONS"] : ["CUBLAS", "CUBLAS_LT", "CUDNN", "EDGE_MASK_CONVOLUTIONS", "JIT_CONVOLUTIONS"];
        foreach (var source in command["tacticSources"]?.Split(',') ?? [])
        {
            if (source.Length < 2 || source[0] is not ('+' or '-'))
                throw new OptionException("Tactic source must be prefixed with + or -, indicating whether it should be enabled or disabled respectively.");
            if (!sources.Contains(source[1..]))
                throw new OptionException($"Unknown tactic source: {source[1..]}");
        }
        foreach (var name in (string[])["inputIOFormats", "outputIOFormats"])
        {
            foreach (var format in command[name]?.Split(',') ?? [])
            {
                if (version.Major >= 11 && format.Contains(':'))
                    throw new OptionException($"Invalid TensorFormat {format}");
                if (version.Major < 11 && !format.Contains(':'))
                    throw new OptionException($"Invalid IOFormat {format}");
            }
        }
        foreach (var percentile in command["percentile"]?.Split(',') ?? [])
        {
            if (CppNumbers.Stof(percentile) is < 0 or > 100)
                throw new OptionException($"Percentile {percentile} is not in [0,100]");
        }

        void OneOf(string name, string[] allowed, string message)
        {
            if (command[name] is { } value && !allowed.Contains(value))
                throw new OptionException(message + value);
        }
    }

    private static void Conflicts(ParsedCommand command, StandInVersion version)
    {
        if (!command.Has("onnx") && !command.Has("loadEngine") && !command.Has("help"))
            throw new OptionException("Model missing or format not recognized");
        if (command.Has("saveEngine") && command.Has("loadEngine"))
            throw new OptionException("Incompatible load and save engine options selected");
        if (command.Has("int8") && command.Has("fp8"))
            throw new OptionException("Invalid usage, fp8 and int8 aren't allowed to be enabled together.");
        if (command["useRuntime"] is "lean" or "dispatch" && !command.Has("loadEngine"))
            throw new OptionException("Building an engine needs --useRuntime=full.");
        if (command.Has("weightStreamingBudget") && !command.Has("allowWeightStreaming"))
            throw new OptionException("The weight streaming budget can only be set with --allowWeightStreaming specified.");
        command.StronglyTyped = version.Major >= 11 || command.Has("stronglyTyped");
        if (command.Has("best") && command.Has("stronglyTyped"))
            throw new OptionException("Invalid usage, setting best mode is not allowed if graph is strongly typed.");
        foreach (var type in s_weak.Where(command.Has))
        {
            if (command.StronglyTyped)
                command.Warnings.Add($"Invalid usage, setting {type} mode is not allowed if graph is strongly typed. Disabling BuilderFlag::k{type.ToUpperInvariant()}.");
        }
        if (version.AtLeast(10, 14) && s_weak.Any(command.Has))
            command.Warnings.Add("Weakly-typed networks have been deprecated in TensorRT. Use strongly typed networks; ModelOpt's AutoCast converts models to mixed precision.");
        if ((command.Has("layerPrecisions") || command.Has("layerOutputTypes")) && command["precisionConstraints"] is null or "none")
            command.Warnings.Add("When --layerPrecisions or --layerOutputTypes is set, it has no effect unless --precisionConstraints is set.");
        if (command.Has("buildOnly"))
            command.Warnings.Add("--buildOnly flag has been deprecated by --skipInference flag.");
        if (command["sparsity"] == "force" && version.AtLeast(9, 1))
            command.Warnings.Add("--sparsity=force has been deprecated.");
        if (version.Major >= 11)
            command.Warnings.AddRange(((string[])["useCudaGraph", "useSpinWait", "noDataTransfers", "separateProfileRun"]).Where(command.Has).Select(o => $"--{o} is deprecated: it is the default."));
    }
}
