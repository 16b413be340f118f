using System.Text.Encodings.Web;
using System.Text.Json;

namespace QuantSdk.StandInTool;

internal static class Answers
{
    private static readonly JsonSerializerOptions s_options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static void Write(object answer)
    {
        Console.Out.WriteLine(JsonSerializer.Serialize(answer, s_options));
        Console.Out.Flush();
    }
}
