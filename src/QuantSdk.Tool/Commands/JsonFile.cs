using System.Text.Json;
using QuantSdk.Runtime;

namespace QuantSdk.Tool.Commands;

/// <summary>Reads the JSON files that the tool itself writes.</summary>
internal static class JsonFile
{
    /// <param name="what">What the file should hold, for messages.</param>
    /// <exception cref="QuantSdkException">QSDK1006 where the file is missing or something else.</exception>
    public static T Read<T>(string path, string what)
    {
        path = Path.GetFullPath(path);
        try
        {
            return QuantSdkJson.Read<T>(File.ReadAllText(path)) ?? throw new JsonException("it is null");
        }
        catch (JsonException e)
        {
            throw new QuantSdkException("QSDK1006", $"'{path}' does not hold {what}: {e.Message}", path, inner: e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new QuantSdkException("QSDK1006", $"'{path}' cannot be read: {e.Message}", path, inner: e);
        }
    }
}
