using System.Text;
using QuantSdk.Runtime;

namespace QuantSdk.Recipes;

/// <summary>Which target runs which pair of formats. docs/formats.md shows the table.</summary>
internal static class TargetSupport
{
    /// <summary>The targets of the table; the simulation runs every pair.</summary>
    public static IReadOnlyList<string> Targets { get; } = ["cpu", "tensorrt", "cuda", "sim"];

    /// <summary>What a target runs, and on which layers where not on all.</summary>
    private static readonly (string Target, FormatPair Pair, string Note)[] s_runs =
    [
        ("cpu", new("int8", "int8"), ""),
        ("cpu", new("int8", "int8-dynamic"), "linear layers; int8 elsewhere"),
        ("cpu", new("int8", "float"), "yes; convolutions for size alone"),
        ("cpu", new("int4", "float"), "yes; convolutions for size alone"),
        ("cpu", new("int2", "float"), "yes; convolutions for size alone"),
        ("cpu", new("nf4", "float"), "linear layers"),
        ("tensorrt", new("int8", "int8"), ""),
        ("tensorrt", new("fp8", "fp8"), ""),
        ("tensorrt", new("int4", "float"), "linear layers, block 64 or 128"),
        ("tensorrt", new("mxfp8", "mxfp8"), "linear layers; fp8 elsewhere"),
        ("tensorrt", new("nvfp4", "nvfp4"), "linear layers; fp8 elsewhere"),
        ("cuda", new("int8", "float"), "linear layers"),
        ("cuda", new("int4", "float"), "linear layers"),
        ("cuda", new("int2", "float"), "linear layers"),
        ("cuda", new("nf4", "float"), "linear layers"),
    ];

    /// <summary>The pairs that have a row in the table: what some target runs, and the others that a recipe may reasonably ask for.</summary>
    private static readonly FormatPair[] s_rows =
    [
        new("int8", "int8"), new("int8", "int8-dynamic"), new("int8", "float"), new("fp8", "fp8"), new("fp8", "float"), new("fp8-e5m2", "fp8-e5m2"),
        new("int4", "float"), new("int4", "int8"), new("int2", "float"), new("nf4", "float"), new("mxfp8", "mxfp8"), new("nvfp4", "nvfp4"), new("float", "float"),
    ];

    /// <summary>True where <paramref name="target"/> runs the pair in the types it names, on some layers at least.</summary>
    public static bool Runs(string target, FormatPair pair) => target == "sim" || pair == new FormatPair("float", "float") || Note(target, pair) is not null;

    /// <summary>The pairs that a target runs.</summary>
    public static IReadOnlyList<FormatPair> Pairs(string target) => [.. s_rows.Where(p => Runs(target, p))];

    /// <exception cref="QuantSdkException">QSDK3030 where a target of the recipe does not run its formats, saying what is possible instead.</exception>
    public static void Check(Recipe recipe)
    {
        foreach (var target in recipe.Targets)
            Check(recipe, target, target.StartsWith("tensorrt", StringComparison.Ordinal) ? "tensorrt" : target);
    }

    /// <summary>The table in Markdown: a row a pair, a column a target.</summary>
    public static string Table()
    {
        var text = new StringBuilder($"| weights | activations | {string.Join(" | ", Targets)} |\n|---|---|{string.Concat(Targets.Select(_ => "---|"))}\n");
        foreach (var pair in s_rows)
        {
            text.Append($"| {pair.Weights} | {pair.Activations} |");
            foreach (var target in Targets)
                text.Append(!Runs(target, pair) ? " – |" : Note(target, pair) is { Length: > 0 } note ? $" {note} |" : " yes |");
            text.Append('\n');
        }
        return text.ToString();
    }

    private static void Check(Recipe recipe, string target, string lowering)
    {
        var pair = new FormatPair(recipe.Weights, recipe.Activations);
        if (!Runs(lowering, pair))
        {
            string[] others = [.. Targets.Where(t => t != "sim" && Runs(t, pair))];
            var elsewhere = others.Length > 0 ? $"{pair} runs on {string.Join(" and ", others)}" : $"no target runs {pair}; its accuracy can be simulated";
            throw Error($"{target} does not run {Say(pair)}{Because(lowering, pair)}. It runs {string.Join(", ", Pairs(lowering))} (weights/activations); {elsewhere}.");
        }
        if (recipe.WeightZeroPoint && recipe.Weights is not ("int4" or "int2"))
            throw Error($"WeightZeroPoint is for int4 and int2 weights; {recipe.Weights} has none. Remove it.");
        if (recipe.WeightZeroPoint && lowering == "tensorrt")
            throw Error($"{target} takes symmetric weights alone. Remove WeightZeroPoint.");
        if (recipe.BlockSize is not { } block)
            return;
        if (recipe.Weights is "mxfp8" or "nvfp4" && block != (recipe.Weights == "mxfp8" ? 32 : 16))
            throw Error($"BlockSize={block}: {recipe.Weights} is defined with blocks of {(recipe.Weights == "mxfp8" ? 32 : 16)}. Remove BlockSize.");
        if (recipe.Weights == "nf4" && (block < 16 || !int.IsPow2(block)))
            throw Error($"BlockSize={block}: nf4 takes powers of two from 16. Remove BlockSize for 64.");
        if (lowering == "tensorrt" && recipe.Weights == "int4" && block is not (64 or 128))
            throw Error($"BlockSize={block}: {target} takes int4 in blocks of 64 or 128.");
        if (lowering == "tensorrt" && recipe.Weights is "int8" or "fp8" && block != 0)
            throw Error($"BlockSize={block}: {target} takes {recipe.Weights} with one scale an output channel. Remove BlockSize.");

        QuantSdkException Error(string what) => new("QSDK3030", $"{recipe.Name}: {what}");
    }

    private static string? Note(string target, FormatPair pair)
    {
        foreach (var run in s_runs)
        {
            if (run.Target == target && run.Pair == pair)
                return run.Note;
        }
        return null;
    }

    private static string Say(FormatPair pair) =>
        pair.Activations == "float" ? $"{pair.Weights} weights with float activations" : $"{pair.Weights} weights with {pair.Activations} activations";

    /// <summary>The reason, where one is worth a word.</summary>
    private static string Because(string lowering, FormatPair pair) => (lowering, pair.Weights, pair.Activations) switch
    {
        ("tensorrt", "fp8-e5m2", _) or ("tensorrt", _, "fp8-e5m2") => ": TensorRT has no E5M2",
        ("tensorrt", "int2" or "nf4", _) => ": TensorRT has no such type",
        ("tensorrt", _, "int8-dynamic") => ": TensorRT imports no DynamicQuantizeLinear",
        ("tensorrt", "int4", _) => ": TensorRT multiplies int4 weights with activations in high precision only",
        ("tensorrt", _, "float") => ": a layer with one quantised operand runs in high precision",
        ("cpu", "int4" or "int2" or "nf4", _) => ": ONNX Runtime multiplies 4-bit weights with float activations only",
        ("cpu", _, _) when pair.Weights.StartsWith("int", StringComparison.Ordinal) => "",
        ("cpu", _, _) => ": ONNX Runtime has no such kernels for the CPU",
        ("cuda", _, not "float") => ": ONNX Runtime fuses no quantised activations on CUDA",
        _ => "",
    };
}
