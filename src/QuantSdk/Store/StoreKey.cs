using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace QuantSdk.Store;

/// <summary>The key of a stage's result: SHA-256 over what the result is a function of, each part with its length before it, in lower-case hexadecimal.</summary>
internal static class StoreKey
{
    public static string Of(string stage, params IEnumerable<string> parts)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Span<byte> length = stackalloc byte[sizeof(int)];
        foreach (var part in parts.Prepend(stage))
        {
            var bytes = Encoding.UTF8.GetBytes(part);
            BinaryPrimitives.WriteInt32LittleEndian(length, bytes.Length);
            hash.AppendData(length);
            hash.AppendData(bytes);
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    public static bool IsKey(string text) => text.Length == 2 * SHA256.HashSizeInBytes && text.All(char.IsAsciiHexDigitLower);
}
