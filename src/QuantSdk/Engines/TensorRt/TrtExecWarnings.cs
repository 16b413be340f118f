using System.Globalization;
using System.Text.RegularExpressions;

namespace QuantSdk.Engines.TensorRt;

/// <summary>Warnings of a run as ours: equal but for numbers are one, with how often it was said.</summary>
internal static partial class TrtExecWarnings
{
    /// <summary>Kinds of warnings that are told; the rest is in the log.</summary>
    private const int Most = 12;

    /// <param name="passed">Errors of a run that succeeded are warnings.</param>
    public static void Tell(TrtExecOutput output, bool passed, PlanRequest request, string? logFile, IBuildLog log)
    {
        var source = request.Source ?? request.Model;
        var kinds = output.Messages.Where(m => m.Level == 'W' || (passed && m.Level is 'E' or 'F')).Select(m => m.Text.Split('\n')[0].Trim()).Where(t => t.Length > 0)
            // Hints on how to read the times of a measuring run.
            .Where(t => !t.StartsWith("* ", StringComparison.Ordinal))
            .GroupBy(t => NumberRegex().Replace(t, "#"), StringComparer.Ordinal).Select(g => (Text: g.First(), Count: g.Count())).ToArray();
        foreach (var (text, count) in kinds.Take(Most))
        {
            var node = TrtExecFailure.NodeIn(text, request.Graph);
            var at = node is not null && !text.Contains($"'{node}'", StringComparison.Ordinal) ? $" (node '{node}')" : "";
            var times = count > 1 ? string.Create(CultureInfo.InvariantCulture, $" (said {count} times)") : "";
            log.Warning(Code(text), $"{request.Name}: trtexec: {text}{at}{times}", source);
        }
        if (kinds.Length > Most)
            log.Warning("QSDK4050", string.Create(CultureInfo.InvariantCulture, $"{request.Name}: trtexec: {kinds.Length - Most} more kinds of warnings{(logFile is null ? "" : $" are in {logFile}")}."), source);
        foreach (var message in output.Messages.Where(m => m.Level == 'C'))
            log.Detail($"{request.Name}: trtexec: {message.Text}");
    }

    private static string Code(string text) =>
        TrtExecFailure.IsAboutMemory(text) ? "QSDK4051"
        : text.Contains("timing cache", StringComparison.OrdinalIgnoreCase) || text.Contains("ITimingCache", StringComparison.Ordinal) ? "QSDK4052"
        : text.Contains("Weakly-typed networks have been deprecated", StringComparison.Ordinal) ? "QSDK4053"
        : "QSDK4050";

    [GeneratedRegex(@"0x[0-9a-fA-F]+|\d+(\.\d+)?")]
    private static partial Regex NumberRegex();
}
