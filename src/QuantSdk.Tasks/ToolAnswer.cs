using System.Text.Json;
using System.Text.Json.Serialization;

namespace QuantSdk.Tasks;

/// <summary>One line of the tool's standard output. <see cref="T"/> says which of the other members are set.</summary>
internal sealed record ToolAnswer(
    string T,
    string? Phase = null,
    long Done = 0,
    long Total = 0,
    string? Code = null,
    string? File = null,
    string? Node = null,
    string? Message = null,
    string? Importance = null,
    string? Text = null,
    string? Summary = null,
    string? Key = null,
    bool? Hit = null,
    IReadOnlyDictionary<string, string>? Stages = null,
    IReadOnlyList<string>? Files = null)
{
    /// <exception cref="JsonException">The line is no answer.</exception>
    public static ToolAnswer Parse(string line)
    {
        var answer = JsonSerializer.Deserialize(line, AnswerJson.Default.ToolAnswer);
        return string.IsNullOrEmpty(answer?.T) ? throw new JsonException("no \"t\"") : answer;
    }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(ToolAnswer))]
internal sealed partial class AnswerJson : JsonSerializerContext;
