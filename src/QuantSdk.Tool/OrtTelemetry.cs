using System.Runtime.InteropServices;

namespace QuantSdk.Tool;

/// <summary>
/// ONNX Runtime 1.29 for Linux and macOS writes a device id below ~/.cache/Microsoft and sends usage data to its makers unless
/// ORT_DISABLE_TELEMETRY is set before it starts. A build does neither.
/// </summary>
internal static partial class OrtTelemetry
{
    /// <summary>Must be called before anything of ONNX Runtime is. Whoever has set the variable decides for himself.</summary>
    public static void Disable()
    {
        // .NET keeps its own copy of the environment there, which native code does not see.
        if (!OperatingSystem.IsWindows())
            SetVariable("ORT_DISABLE_TELEMETRY", "1", 0);
    }

    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetVariable(string name, string value, int overwrite);
}
