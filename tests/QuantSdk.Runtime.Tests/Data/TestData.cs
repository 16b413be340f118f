using System.Text.Json;
using System.Text.RegularExpressions;

namespace QuantSdk.Runtime.Tests;

/// <summary>The reference files that the project copies beside the tests.</summary>
internal static partial class TestData
{
    public static string Path(params string[] parts) => System.IO.Path.Combine([AppContext.BaseDirectory, "data", .. parts]);

    public static NpzFile Golden(string name) => new(Path("golden", name));

    /// <summary>A JSON file of Python's, in which bare numbers that JSON does not know are put in quotes.</summary>
    public static JsonElement Json(string name) =>
        JsonDocument.Parse(BareNumber().Replace(File.ReadAllText(Path("golden", name)), "\"$0\"")).RootElement;

    [GeneratedRegex(@"(?<=[\s:\[,])-?(Infinity|NaN)")]
    private static partial Regex BareNumber();
}
