using System.Security.Cryptography;
using System.Text;

namespace QuantSdk.TrtExecStandIn;

/// <summary>A file with the header of a plan and what it was made of behind it.</summary>
internal static class Engine
{
    public static byte[] Make(StandInVersion version, ParsedCommand command)
    {
        var bytes = new byte[4096];
        "ftrt"u8.CopyTo(bytes);
        (bytes[24], bytes[25], bytes[26], bytes[27]) = ((byte)version.Major, (byte)version.Minor, (byte)version.Patch, (byte)version.Build);
        // The same engine for the same model and options, whatever the files are called.
        string[] files = ["onnx", "saveEngine", "timingCacheFile", "exportLayerInfo"];
        var options = string.Join('\n', command.Values.Where(v => !files.Contains(v.Key)).OrderBy(v => v.Key, StringComparer.Ordinal).Select(v => $"{v.Key}={v.Value}"));
        var model = command["onnx"] is { } onnx ? SHA256.HashData(File.ReadAllBytes(onnx)) : [];
        SHA256.HashData([.. model, .. Encoding.UTF8.GetBytes(options)]).CopyTo(bytes, 64);
        return bytes;
    }

    /// <summary>a.b.c.d, or null for what is no plan.</summary>
    public static string? Version(byte[] plan) => plan.Length >= 28 && plan.AsSpan(0, 4).SequenceEqual("ftrt"u8) ? $"{plan[24]}.{plan[25]}.{plan[26]}.{plan[27]}" : null;
}
