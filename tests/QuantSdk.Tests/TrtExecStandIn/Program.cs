// Plays trtexec of one version: its grammar, its output, the files it writes and the ways in which it fails; it builds nothing. See StandInTrtExec.
using System.Diagnostics;
using System.Globalization;
using QuantSdk.TrtExecStandIn;

var version = StandInVersion.Of(Environment.GetEnvironmentVariable("STAND_IN_VERSION")!);
var failure = Environment.GetEnvironmentVariable("STAND_IN_FAILURE") ?? "";
var record = Environment.GetEnvironmentVariable("STAND_IN_RECORD") ?? "";
var run = new Run(version, failure, Path.GetDirectoryName(record)!, new Log(version, args[0], args[1..]), args[1..]);
if (args.Length > 1 && args[1] is "--help" or "-h")
{
    File.AppendAllText(record + ".probes", "probe\n");
    return run.Help();
}
File.AppendAllText(record, string.Create(CultureInfo.InvariantCulture, $"begin\t{Environment.ProcessId}\t{DateTime.UtcNow.Ticks}\t{string.Join('\t', args[1..])}\n"));
var status = run.Build();
File.AppendAllText(record, string.Create(CultureInfo.InvariantCulture, $"end\t{Environment.ProcessId}\t{DateTime.UtcNow.Ticks}\n"));
return status;
