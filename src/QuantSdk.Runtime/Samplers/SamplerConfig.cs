using System.Globalization;
using System.Text;
using System.Text.Json;

namespace QuantSdk.Runtime;

/// <summary>
/// The keys of a diffusers <c>scheduler_config.json</c>. Unknown keys are left alone; keys listed in <c>_use_default_values</c>
/// count as missing; the bare tokens <c>NaN</c>, <c>Infinity</c> and <c>-Infinity</c>, which Python writes, are understood.
/// </summary>
internal sealed class SamplerConfig
{
    private readonly Dictionary<string, JsonElement> _values;

    private SamplerConfig(string? file, string className, Dictionary<string, JsonElement> values) =>
        (File, ClassName, _values) = (file, className, values);

    /// <summary>The file the configuration came from, for messages.</summary>
    public string? File { get; }

    /// <summary>diffusers' class name of the scheduler.</summary>
    public string ClassName { get; }

    private string Where => File is null ? "the scheduler configuration" : $"'{File}'";

    public static SamplerConfig Parse(string json, string? file)
    {
        var where = file is null ? "The scheduler configuration" : $"'{file}'";
        JsonElement root;
        try
        {
            using var document = JsonDocument.Parse(QuoteBareNumbers(json));
            root = document.RootElement.Clone();
        }
        catch (JsonException e)
        {
            throw new QuantSdkException("QSDK7030", $"{where} is not valid JSON: {e.Message}", file, inner: e);
        }
        if (root.ValueKind != JsonValueKind.Object)
            throw new QuantSdkException("QSDK7030", $"{where} holds a JSON {root.ValueKind}; the object that diffusers' save_pretrained writes is expected.", file);
        var values = new Dictionary<string, JsonElement>(StringComparer.Ordinal);
        foreach (var property in root.EnumerateObject())
            values[property.Name] = property.Value;
        if (values.TryGetValue("_use_default_values", out var defaults) && defaults.ValueKind == JsonValueKind.Array)
            foreach (var key in defaults.EnumerateArray().Where(item => item.ValueKind == JsonValueKind.String))
                values.Remove(key.GetString()!);
        if (!values.TryGetValue("_class_name", out var name) || name.ValueKind != JsonValueKind.String)
            throw new QuantSdkException("QSDK7030", $"{where} has no '_class_name': it is not a scheduler configuration of diffusers.", file);
        return new SamplerConfig(file, name.GetString()!, values);
    }

    public bool Bool(string key, bool fallback) => Find(key) switch
    {
        null => fallback,
        { ValueKind: JsonValueKind.True } => true,
        { ValueKind: JsonValueKind.False } => false,
        var value => throw Wrong(key, value, "true or false"),
    };

    public int Int(string key, int fallback, int least)
    {
        if (Find(key) is not { } value)
            return fallback;
        return value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out var number) && number >= least
            ? number
            : throw Wrong(key, value, $"an integer of {least} or more");
    }

    public double? OptionalDouble(string key) => Find(key) is { } value ? ToDouble(key, value) : null;

    /// <summary>A finite number.</summary>
    public double Double(string key, double fallback)
    {
        var number = OptionalDouble(key) ?? fallback;
        return double.IsFinite(number) ? number : throw Wrong(key, Find(key), "a finite number");
    }

    public float[]? OptionalFloats(string key)
    {
        if (Find(key) is not { } value)
            return null;
        return value.ValueKind == JsonValueKind.Array
            ? [.. value.EnumerateArray().Select(item => (float)ToDouble(key, item))]
            : throw Wrong(key, value, "a list of numbers");
    }

    /// <summary>Integers; none where the key is missing.</summary>
    public int[] Ints(string key)
    {
        if (Find(key) is not { } value)
            return [];
        return value.ValueKind == JsonValueKind.Array && value.EnumerateArray().All(item => item.ValueKind == JsonValueKind.Number && item.TryGetInt32(out _))
            ? [.. value.EnumerateArray().Select(item => item.GetInt32())]
            : throw Wrong(key, value, "a list of integers");
    }

    /// <summary>Whether a key is there with a value other than null.</summary>
    public bool Has(string key) => Find(key) is not null;

    /// <summary>One of a fixed set of words.</summary>
    public string Choice(string key, string fallback, params ReadOnlySpan<string> allowed)
    {
        if (Find(key) is not { } value)
            return fallback;
        var word = value.ValueKind == JsonValueKind.String ? value.GetString()! : null;
        return word is not null && allowed.Contains(word) ? word : throw Wrong(key, value, $"one of {string.Join(", ", allowed)}");
    }

    /// <summary>The error for a value that diffusers knows and this sampler does not.</summary>
    public QuantSdkException Unsupported(string key, string advice) =>
        Unusable($"'{key}' of {Where} is {Find(key)?.GetRawText() ?? "missing"}, which {ClassName} does not support here. {advice}");

    public QuantSdkException Unusable(string message) => new("QSDK7032", message, File);

    private JsonElement? Find(string key) =>
        _values.TryGetValue(key, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;

    private double ToDouble(string key, JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Number => value.GetDouble(),
        JsonValueKind.String when value.GetString() is "NaN" or "Infinity" or "-Infinity" => double.Parse(value.GetString()!, CultureInfo.InvariantCulture),
        _ => throw Wrong(key, value, "a number"),
    };

    private QuantSdkException Wrong(string key, JsonElement? value, string expected) =>
        Unusable($"'{key}' of {Where} is {value?.GetRawText() ?? "missing"}; {expected} is expected.");

    /// <summary>Puts quotes around the numbers that Python's json writes bare and JSON does not know; text inside strings stays as it is.</summary>
    private static string QuoteBareNumbers(string json)
    {
        var text = new StringBuilder(json.Length + 16);
        var inString = false;
        for (var i = 0; i < json.Length; i++)
        {
            var rest = json.AsSpan(i);
            var token = inString ? "" : rest.StartsWith("-Infinity") ? "-Infinity" : rest.StartsWith("Infinity") ? "Infinity" : rest.StartsWith("NaN") ? "NaN" : "";
            if (token.Length > 0)
            {
                text.Append('"').Append(token).Append('"');
                i += token.Length - 1;
                continue;
            }
            text.Append(json[i]);
            if (inString && json[i] == '\\' && i + 1 < json.Length)
                text.Append(json[++i]);
            else if (json[i] == '"')
                inString = !inString;
        }
        return text.ToString();
    }
}
