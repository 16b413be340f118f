using System.Globalization;
using System.Text.RegularExpressions;

namespace QuantSdk.Engines.TensorRt;

/// <summary>What a run of trtexec has said, line by line, from both of its streams.</summary>
internal sealed partial class TrtExecOutput(Action<string>? progress = null)
{
    /// <summary>The log has them all.</summary>
    private const int MostWarnings = 20_000;

    private readonly List<TrtExecMessage> _messages = [];
    private readonly PerformanceSummary _performance = new();
    private TrtExecMessage? _open;

    /// <summary>Errors and warnings, in the order of each stream.</summary>
    public IReadOnlyList<TrtExecMessage> Messages => _messages;

    /// <summary>The last word was PASSED.</summary>
    public bool Passed { get; private set; }

    public bool Failed { get; private set; }

    /// <summary>By the banner.</summary>
    public TensorRtVersion? Version { get; private set; }

    /// <summary>The name of the GPU.</summary>
    public string? Gpu { get; private set; }

    /// <summary>9.0, or null where it has not been said.</summary>
    public string? ComputeCapability { get; private set; }

    /// <summary>Without the wait for the GPU and without parsing.</summary>
    public double? BuildSeconds { get; private set; }

    /// <summary>Null where the summary was not printed.</summary>
    public TrtExecPerformance? Performance => _performance.Result;

    /// <param name="isError">Errors and warnings go to standard error, and only there do lines without a level continue one.</param>
    public void Read(string line, bool isError)
    {
        if (TrtExecBanner.Parse(line) is { } banner)
        {
            Version ??= banner.Version;
            (Passed, Failed) = (banner.State == "PASSED", banner.State == "FAILED");
        }
        else if (TrtExecLine.Parse(line) is { } parsed)
        {
            if (parsed.Level is 'I' or 'V')
                Inform(parsed);
            else
                Add(parsed.Level, parsed.IsLibrary, parsed.Text);
        }
        else if (isError && _open is { } open && !line.StartsWith("Cuda failure", StringComparison.Ordinal))
        {
            open.Continue(line);
        }
        else if (isError && line.Trim().Length > 0)
        {
            Add('C', false, line);
        }
    }

    private void Add(char level, bool isLibrary, string text)
    {
        _open = new TrtExecMessage(level, isLibrary, text);
        if (level != 'W' || _messages.Count < MostWarnings)
            _messages.Add(_open);
    }

    private void Inform(TrtExecLine line)
    {
        var text = line.Text;
        if (DeviceErrorRegex().IsMatch(text))
        {
            // trtexec says that there is no GPU as it says what it does.
            _messages.Add(new TrtExecMessage('E', false, text));
        }
        else if (line.IsLibrary && text.Contains("No importer registered for op:", StringComparison.Ordinal))
        {
            _messages.Add(new TrtExecMessage('W', true, text));
        }
        else if (text.StartsWith("Selected Device: ", StringComparison.Ordinal))
        {
            Gpu = text["Selected Device: ".Length..].Trim();
        }
        else if (CapabilityRegex().Match(text) is { Success: true } capability)
        {
            ComputeCapability = capability.Groups[1].Value;
        }
        else if (BuiltRegex().Match(text) is { Success: true } built)
        {
            BuildSeconds = double.TryParse(built.Groups[1].ValueSpan, NumberStyles.Float, CultureInfo.InvariantCulture, out var seconds) ? seconds : null;
            progress?.Invoke(text);
        }
        else if (ProgressRegex().IsMatch(text))
        {
            progress?.Invoke(text);
        }
        _performance.Read(text);
    }

    [GeneratedRegex(@"^Cannot find (any available devices|device ID)")]
    private static partial Regex DeviceErrorRegex();

    [GeneratedRegex(@"^Compute Capability: (\d+\.\d+)\s*$")]
    private static partial Regex CapabilityRegex();

    [GeneratedRegex(@"^Engine built in (\S+) sec")]
    private static partial Regex BuiltRegex();

    [GeneratedRegex(@"^(Start parsing network model|Finished parsing network model|Created engine with size|Engine loaded in|Engine deserialized in|Saved \d+ bytes of timing cache|Starting inference|Warmup completed)")]
    private static partial Regex ProgressRegex();
}
