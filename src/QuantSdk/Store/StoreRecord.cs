using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using QuantSdk.Runtime;

namespace QuantSdk.Store;

/// <summary>What one stage made, by its key.</summary>
/// <param name="Stage">calibration, plan, rounding, engine, quality, model or externals.</param>
/// <param name="Name">Of the model it was first made for: for people who look.</param>
/// <param name="Values">Small texts.</param>
/// <param name="Files">Whatever is larger, by content.</param>
/// <param name="Warnings">What was said while it was made, and is said again where it is used.</param>
internal sealed record StoreRecord(
    string Stage, string Name, IReadOnlyDictionary<string, string> Values, IReadOnlyList<EngineFile> Files, IReadOnlyList<StoredWarning> Warnings)
{
    private const int ChecksumLength = 2 * SHA256.HashSizeInBytes;

    public long Bytes => Files.Sum(f => f.Bytes);

    /// <summary>JSON behind a line with its own SHA-256.</summary>
    public byte[] Serialize()
    {
        var json = JsonSerializer.SerializeToUtf8Bytes(this, StoreJson.Default.StoreRecord);
        return [.. Encoding.ASCII.GetBytes(Convert.ToHexStringLower(SHA256.HashData(json))), (byte)'\n', .. json];
    }

    /// <summary>Null where the bytes are not what was written.</summary>
    public static StoreRecord? Deserialize(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length <= ChecksumLength || bytes[ChecksumLength] != '\n')
            return null;
        var json = bytes[(ChecksumLength + 1)..];
        if (Encoding.ASCII.GetString(bytes[..ChecksumLength]) != Convert.ToHexStringLower(SHA256.HashData(json)))
            return null;
        try
        {
            return JsonSerializer.Deserialize(json, StoreJson.Default.StoreRecord) is { Files: not null, Values: not null, Warnings: not null } record && record.Files.All(f => StoreKey.IsKey(f.Hash)) ? record : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }
}

/// <summary>A warning of a stage.</summary>
/// <param name="Message">With <see cref="StoredWarning.NamePlace"/> where the model's name stood in front.</param>
/// <param name="OnModel">It named the model's file.</param>
internal sealed record StoredWarning(string Code, string Message, bool OnModel)
{
    public const string NamePlace = "{name}";
}

[System.Text.Json.Serialization.JsonSerializable(typeof(StoreRecord))]
internal sealed partial class StoreJson : System.Text.Json.Serialization.JsonSerializerContext;
