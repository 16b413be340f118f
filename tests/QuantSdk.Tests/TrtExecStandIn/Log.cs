using System.Globalization;
using System.Text;

namespace QuantSdk.TrtExecStandIn;

/// <summary>trtexec's log: F, E and W to standard error, I and V to standard output, the time before each.</summary>
internal sealed class Log(StandInVersion version, string program, IReadOnlyList<string> arguments)
{
    private readonly StreamWriter _output = new(System.Console.OpenStandardOutput(), new UTF8Encoding(false)) { AutoFlush = true };
    private readonly StreamWriter _error = new(System.Console.OpenStandardError(), new UTF8Encoding(false)) { AutoFlush = true };

    public void Banner(string state) => _output.Write($"&&&& {state} TensorRT.trtexec {version.Banner} # {string.Join(' ', arguments.Prepend(program))}\n");

    public void Info(string text) => _output.Write(Line('I', text));

    public void Warn(string text) => _error.Write(Line('W', text));

    public void Error(string text) => _error.Write(Line('E', text));

    /// <summary>Without time and level, as CUDA's errors are printed.</summary>
    public void Bare(string text) => _error.Write(text + "\n");

    public void Plain(string text) => _output.Write(text + "\n");

    private static string Line(char level, string text) => $"[{DateTime.Now.ToString("MM/dd/yyyy-HH:mm:ss", CultureInfo.InvariantCulture)}] [{level}] {text}\n";
}
