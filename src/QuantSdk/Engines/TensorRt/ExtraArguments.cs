using System.Globalization;
using QuantSdk.Recipes;
using QuantSdk.Runtime;

namespace QuantSdk.Engines.TensorRt;

/// <summary>
/// TrtExecArguments, checked against what trtexec's parser makes of each: it takes a value on a switch for yes whatever it is, the first of two
/// numbers for all of it, and the second of two equal options for an unknown one.
/// </summary>
internal static class ExtraArguments
{
    /// <returns>What goes to the run that builds, and what to the run that measures.</returns>
    /// <exception cref="QuantSdkException">QSDK4030: an argument that is not passed on. QSDK4026: an option that this version does not have.</exception>
    public static (IReadOnlyList<string> Build, IReadOnlyList<string> Measure) Check(TensorRtOptions options, TensorRtVersion version)
    {
        var (build, measure) = (new List<string>(), new List<string>());
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var argument in options.TrtExecArguments)
        {
            var option = Option(argument, out var value);
            if (!option.IsIn(version))
                throw new QuantSdkException("QSDK4026", $"TrtExecArguments has '{argument}'; this trtexec is of TensorRT {version.Release}, and there is --{option.Name} {option.Versions}. Leave it out, or use such a version.");
            CheckValue(argument, option, value);
            if (!seen.Add(option.Name))
                throw Refused(argument, $"--{option.Name} is there twice, and trtexec takes the second for an unknown option.");
            if (option.Name is "pi" or "pluginInstanceNorm" && (options.VersionCompatible || options.HardwareCompatibility.Equals("ampere+", StringComparison.OrdinalIgnoreCase)))
                throw Refused(argument, $"it does not go with {(options.VersionCompatible ? "VersionCompatible" : "HardwareCompatibility=ampere+")}.");
            if (options.StronglyTyped && option.Name is "precisionConstraints" or "layerPrecisions" or "layerOutputTypes")
                throw Refused(argument, "a strongly typed network has the types that the graph says. Set StronglyTyped=false, or leave it out.");
            if (option.Use == OptionUse.Measure && !options.MeasureEngine)
                throw Refused(argument, "it says how an engine is run, and MeasureEngine is not set.");
            (option.Use == OptionUse.Measure ? measure : build).Add(argument);
        }
        if (build.Contains("--allowWeightStreaming") && !options.StronglyTyped)
            throw Refused("--allowWeightStreaming", "weights are streamed to strongly typed networks only. Leave StronglyTyped out.");
        if (seen.Contains("weightStreamingBudget") && !build.Contains("--allowWeightStreaming"))
            throw Refused(measure.First(m => m.StartsWith("--weightStreamingBudget", StringComparison.Ordinal)), "it needs --allowWeightStreaming.");
        return (build, seen.Contains("weightStreamingBudget") ? [.. measure, "--allowWeightStreaming"] : measure);
    }

    private static TrtExecOption Option(string argument, out string? value)
    {
        value = null;
        if (argument.Any(char.IsControl))
            throw Refused(argument.ReplaceLineEndings("␤"), "it has a control character.");
        if (!argument.StartsWith("--", StringComparison.Ordinal) || argument.Length == 2)
            throw Refused(argument, "trtexec's arguments are --NAME or --NAME=VALUE, with no blank between name and value.");
        var equals = argument.IndexOf('=');
        var name = equals < 0 ? argument[2..] : argument[2..equals];
        value = equals < 0 ? null : argument[(equals + 1)..];
        var option = TrtExecOptions.Find(name) ?? throw Refused(argument, $"trtexec has no option --{name}.{NearNames.Suggest(name, TrtExecOptions.All.Where(o => o.Use is OptionUse.Build or OptionUse.Measure).Select(o => o.Name))}");
        return option.Use switch
        {
            OptionUse.Owned => throw Refused(argument, $"the build says it itself; use {option.Instead}."),
            OptionUse.Files => throw Refused(argument, "options that name files to read or write are not passed on."),
            OptionUse.Foreign => throw Refused(argument, "it is not for building engines; run trtexec by hand."),
            _ => option,
        };
    }

    private static void CheckValue(string argument, TrtExecOption option, string? value)
    {
        if (option.Value == OptionValue.None)
        {
            if (value is not null)
                throw Refused(argument, $"--{option.Name} takes no value: trtexec takes any for yes, false too.");
            return;
        }
        if (value is null or "")
            throw Refused(argument, $"--{option.Name} needs a value: --{option.Name}=…");
        if (option.Allowed is { } allowed && !allowed.Contains(value))
            throw Refused(argument, $"allowed: {string.Join(", ", allowed)}.");
        if (option.Value == OptionValue.Whole && !int.TryParse(value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out _) && !(option.Name == "l2LimitForTiling" && long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out _)))
            throw Refused(argument, $"'{value}' is not a whole number.");
        if (option.Value == OptionValue.Number && !float.TryParse(value, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out _))
            throw Refused(argument, $"'{value}' is not a number.");
    }

    private static QuantSdkException Refused(string argument, string why) => new("QSDK4030", $"TrtExecArguments has '{argument}': {why}");
}
