// Speaks the protocol of `quantsdk serve` without quantising anything. What it does is said by the file MODEL.script, one command a line:
//   wait-for PATH      until the file exists, or until told to stop
//   fail CODE TEXT     reports an error and ends with 1
//   warn CODE TEXT     reports a warning
//   print TEXT         writes the text to standard output as it stands
//   error-print TEXT   writes the text to standard error
//   die                ends itself by SIGKILL
//   crash              ends itself by SIGSEGV, as native code does
//   long-line          writes a line of 2 MiB
//   exit CODE          ends with that code and says nothing
//   deaf               does not stop when standard input closes
//   inputs PATH        reports a file that it read on the way
//   key TEXT           ends with that key
//   hit                ends as one that found everything in the store
//   forget PATH        leaves out one of the declared files
// Every run appends a line to MODEL.runs, where it may.
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using QuantSdk.StandInTool;

using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, context => context.Cancel = true);
using var request = JsonDocument.Parse(Console.In.ReadLine()!);
var root = request.RootElement;
var model = root.GetProperty("model").GetString()!;
var script = File.Exists(model + ".script") ? File.ReadAllLines(model + ".script") : [];
if (Environment.GetEnvironmentVariable("STAND_IN_KEEPS_NO_COUNT") is null)
    File.AppendAllText(model + ".runs", string.Create(CultureInfo.InvariantCulture, $"{Environment.ProcessId} {request.RootElement.GetRawText()}\n"));

using var stop = new CancellationTokenSource();
new Thread(() =>
{
    while (Console.In.ReadLine() is not null) { }
    if (!script.Contains("deaf")) stop.Cancel();
}) { IsBackground = true }.Start();

try
{
    Answers.Write(new { t = "phase", phase = "Calibrate" });
    Answers.Write(new { t = "progress", phase = "Calibrate", done = 1, total = 2 });
    var forgotten = "";
    string? key = null;
    var hit = false;
    foreach (var line in script)
    {
        var words = line.Split(' ', 3);
        switch (words[0])
        {
            case "wait-for":
                while (!File.Exists(line["wait-for ".Length..])) { stop.Token.ThrowIfCancellationRequested(); Thread.Sleep(20); }
                break;
            case "fail":
                Answers.Write(new { t = "error", code = words[1], file = model, node = "conv_in", message = words[2] });
                return 1;
            case "warn": Answers.Write(new { t = "warning", code = words[1], message = words[2] }); break;
            case "print": Console.Out.WriteLine(line["print ".Length..]); break;
            case "error-print": Console.Error.WriteLine(line["error-print ".Length..]); break;
            case "die":
                EngineFolder.Begin(root);
                Signals.KillSelf();
                break;
            case "crash":
                EngineFolder.Begin(root);
                Signals.Crash();
                break;
            case "long-line": Console.Out.WriteLine("{" + new string('x', 2 * 1024 * 1024)); break;
            case "exit": return int.Parse(words[1], CultureInfo.InvariantCulture);
            case "inputs": Answers.Write(new { t = "inputs", files = new[] { line["inputs ".Length..] } }); break;
            case "key": key = words[1]; break;
            case "hit": hit = true; break;
            case "forget": forgotten = words[1]; break;
        }
    }
    Answers.Write(new { t = "phase", phase = "Quantize" });
    var folder = EngineFolder.Begin(root);
    Answers.Write(new { t = "phase", phase = "BuildEngine" });
    folder.Complete(forgotten);
    Answers.Write(new { t = "phase", phase = "Verify" });
    var name = root.GetProperty("name").GetString();
    Answers.Write(new { t = "done", summary = $"{name} -> models/{name} (int8, 10.9 → 3.8 MB, SQNR 27.4 dB)", key, hit });
    return 0;
}
catch (OperationCanceledException)
{
    return 130;
}
