using System.Text.RegularExpressions;

namespace QuantSdk.Engines.TensorRt;

/// <summary>A line of trtexec's log: <c>[11/22/2026-00:27:05] [W] [TRT] text</c>.</summary>
/// <param name="Level">F, E, W, I or V.</param>
/// <param name="IsLibrary">TensorRT says it, not trtexec.</param>
internal sealed partial record TrtExecLine(char Level, bool IsLibrary, string Text)
{
    /// <summary>Null for a banner, or for what continues the line before.</summary>
    public static TrtExecLine? Parse(string line)
    {
        var match = LineRegex().Match(line);
        return match.Success ? new(match.Groups["level"].Value[0], match.Groups["trt"].Success, match.Groups["text"].Value) : null;
    }

    [GeneratedRegex(@"^\[\d\d/\d\d/\d{4}-\d\d:\d\d:\d\d\] \[(?<level>[FEWIV])\] (?<trt>\[TRT\] )?(?<text>.*)$")]
    private static partial Regex LineRegex();
}
