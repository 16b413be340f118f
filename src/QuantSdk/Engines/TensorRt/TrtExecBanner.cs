using System.Globalization;
using System.Text.RegularExpressions;

namespace QuantSdk.Engines.TensorRt;

/// <summary>The first and the last line of a run: <c>&amp;&amp;&amp;&amp; PASSED TensorRT.trtexec [TensorRT v101303] [b9] # trtexec --onnx=…</c>; the build in brackets since 10.4.</summary>
internal sealed partial record TrtExecBanner(string State, TensorRtVersion Version)
{
    public static TrtExecBanner? Parse(string line)
    {
        var match = BannerRegex().Match(line);
        return !match.Success || !int.TryParse(match.Groups["number"].ValueSpan, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            ? null
            : new(match.Groups["state"].Value, TensorRtVersion.OfNumber(number, int.TryParse(match.Groups["build"].ValueSpan, NumberStyles.None, CultureInfo.InvariantCulture, out var build) ? build : 0));
    }

    [GeneratedRegex(@"^&&&& (?<state>RUNNING|PASSED|FAILED|WAIVED) TensorRT\.trtexec \[TensorRT v(?<number>\d+)\](?: \[b(?<build>\d+)\])? # ")]
    private static partial Regex BannerRegex();
}
