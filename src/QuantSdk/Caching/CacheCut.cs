using System.Globalization;
using QuantSdk.Runtime;

namespace QuantSdk.Caching;

/// <summary>How a cut is described.</summary>
internal enum CutKind
{
    /// <summary>What runs at every step: the modules named, and what reads the sample or follows them.</summary>
    Live,

    /// <summary>What is skipped on cached steps: the modules named.</summary>
    Cached,

    /// <summary>The outputs of modules.</summary>
    Output,

    /// <summary>Tensors.</summary>
    Tensor,

    /// <summary>A range of transformer blocks, by what they add.</summary>
    Blocks,

    /// <summary>Chosen by measurement.</summary>
    Auto,
}

/// <summary>The metadata <c>Cache</c>, read: where a denoiser is divided into a part that is cached between steps and one that is not.</summary>
/// <param name="Names">Patterns over module paths, or names of tensors; empty for blocks and auto.</param>
/// <param name="First">Index of the first block.</param>
/// <param name="Last">Index of the last block, ≥ <paramref name="First"/>.</param>
internal sealed record CacheCut(CutKind Kind, IReadOnlyList<string> Names, int First = 0, int Last = 0)
{
    private const string Grammar =
        "Allowed: PATTERN or live:PATTERN (modules that run at every step), cached:PATTERN (modules that are skipped), output:MODULE, tensor:NAME, blocks:I-J (transformer blocks), auto; several names are joined by ';'.";

    /// <summary><c>live:P</c> or a bare pattern, <c>cached:P;…</c>, <c>output:MODULE</c>, <c>tensor:NAME</c>, <c>blocks:I-J</c>, <c>auto</c>.</summary>
    /// <exception cref="QuantSdkException">QSDK3060 where the text is none of these.</exception>
    public static CacheCut Parse(string text)
    {
        text = text.Trim();
        if (text.Equals("auto", StringComparison.OrdinalIgnoreCase))
            return new CacheCut(CutKind.Auto, []);
        // A module path has dots and letters, a tensor's name may hold colons: the kind is what stands before the first one, if it is a kind.
        var colon = text.IndexOf(':', StringComparison.Ordinal);
        var word = colon < 0 ? "" : text[..colon].Trim().ToLowerInvariant();
        CutKind? kind = word switch { "live" => CutKind.Live, "cached" => CutKind.Cached, "output" => CutKind.Output, "tensor" => CutKind.Tensor, "blocks" => CutKind.Blocks, "" => CutKind.Live, _ => null };
        if (kind is null)
            throw Malformed(text, $"'{word}' is no kind of cut");
        var names = text[(colon + 1)..].Split(';', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        if (names.Length == 0)
            throw Malformed(text, "nothing is named");
        if (kind != CutKind.Blocks)
            return new CacheCut(kind.Value, names);
        var ends = names.Length == 1 ? names[0].Split('-') : [];
        if (ends.Length is not (1 or 2) || !ends.All(e => int.TryParse(e, NumberStyles.None, CultureInfo.InvariantCulture, out _)))
            throw Malformed(text, "blocks are given as I-J, counted from 0");
        var (first, last) = (int.Parse(ends[0], CultureInfo.InvariantCulture), int.Parse(ends[^1], CultureInfo.InvariantCulture));
        return first <= last ? new CacheCut(CutKind.Blocks, [], first, last) : throw Malformed(text, $"block {last} comes before block {first}");
    }

    private static QuantSdkException Malformed(string text, string problem) => new("QSDK3060", $"Cache='{text}' cannot be read: {problem}. {Grammar}");

    public override string ToString() => Kind switch
    {
        CutKind.Auto => "auto",
        CutKind.Blocks => string.Create(CultureInfo.InvariantCulture, $"blocks:{First}-{Last}"),
        _ => $"{Kind.ToString().ToLowerInvariant()}:{string.Join(';', Names)}",
    };
}
