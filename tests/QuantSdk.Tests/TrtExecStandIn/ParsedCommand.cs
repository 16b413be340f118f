namespace QuantSdk.TrtExecStandIn;

/// <summary>The three shapes of one input in one profile; an empty Opt is one that nothing gave.</summary>
public sealed record ProfileShape(IReadOnlyList<int> Min, IReadOnlyList<int> Opt, IReadOnlyList<int> Max);

/// <summary>What trtexec made of its command line.</summary>
public sealed class ParsedCommand
{
    /// <summary>First values, and an empty text for switches.</summary>
    public Dictionary<string, string> Values { get; } = new(StringComparer.Ordinal);

    public List<(string Name, string Value)> Repeated { get; } = [];

    /// <summary>By profile, then input.</summary>
    public List<Dictionary<string, ProfileShape>> Profiles { get; } = [];

    /// <summary>Shapes of the inference run.</summary>
    public Dictionary<string, int[]> Inference { get; set; } = new(StringComparer.Ordinal);

    public List<string> Warnings { get; } = [];

    /// <summary>MiB by memory pool, as this version understands the sizes.</summary>
    public Dictionary<string, double> Pools { get; } = new(StringComparer.Ordinal);

    public bool StronglyTyped { get; set; }

    public bool Has(string name) => Values.ContainsKey(name);

    public string? this[string name] => Values.GetValueOrDefault(name);
}
