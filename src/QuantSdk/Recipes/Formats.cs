namespace QuantSdk.Recipes;

/// <summary>The formats' names, and what each Precision stands for.</summary>
internal static class Formats
{
    public static IReadOnlyList<string> OfWeights { get; } = ["int8", "fp8", "fp8-e5m2", "int4", "int2", "nf4", "mxfp8", "nvfp4", "float"];

    public static IReadOnlyList<string> OfActivations { get; } = ["int8", "int8-dynamic", "fp8", "fp8-e5m2", "mxfp8", "nvfp4", "float"];

    public static IReadOnlyList<string> OfPrecision { get; } = ["int8", "fp8", "int4", "int2", "nf4", "mxfp8", "nvfp4", "auto", "none"];

    /// <summary>The two formats that a Precision is a shorthand for: below 8 bits without its own hardware type, weights alone.</summary>
    public static (string Weights, string Activations) Of(string precision) => precision switch
    {
        "none" => ("float", "float"),
        "auto" => ("int8", "int8"),
        "int4" or "int2" or "nf4" => (precision, "float"),
        _ => (precision, precision),
    };
}
