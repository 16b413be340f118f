using System.CommandLine;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using QuantSdk.Engines;
using QuantSdk.Tool.Output;
using Spectre.Console;

namespace QuantSdk.Tool.Commands;

/// <summary>
/// A command that ends in a result or in a coded error: printed for people, or as one JSON document with --json.
/// Progress and warnings go to standard error, the result alone to standard output.
/// </summary>
internal abstract class StageCommand<T> : Command, IExplained
{
    private readonly string _details;
    private readonly JsonTypeInfo<T> _json;
    private readonly Option<bool> _asJson = new("--json") { Description = "One JSON document on standard output, errors too, and nothing else." };

    /// <param name="summary">One line for the list of commands.</param>
    /// <param name="details">More, and examples, for the command's own help.</param>
    /// <param name="json">How the result is written with --json.</param>
    protected StageCommand(string name, string summary, string details, JsonTypeInfo<T> json)
        : base(name, summary)
    {
        (_details, _json) = (details, json);
        Add(_asJson);
        SetAction(Run);
    }

    public void Explain() => Description += Environment.NewLine + _details;

    /// <summary>What the command is about, for errors of the file system that do not say so themselves.</summary>
    protected virtual string? OutputOf(ParseResult parse) => null;

    /// <summary>The model's name in progress lines, or null for a command that takes no time.</summary>
    protected virtual string? ProgressName(ParseResult parse) => null;

    /// <exception cref="Runtime.QuantSdkException">Whatever is wrong with what was given.</exception>
    protected abstract T Execute(ParseResult parse, IBuildLog log, CancellationToken cancellation);

    /// <summary>What the process ends with where there is a result.</summary>
    protected virtual int ExitCodeOf(T result) => ExitCode.Done;

    /// <summary>Writes the result for people.</summary>
    protected abstract void Print(T result, IAnsiConsole console);

    private int Run(ParseResult parse)
    {
        using var cancellation = new CancellationTokenSource();
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
        var asJson = parse.GetValue(_asJson);
        try
        {
            T result;
            if (asJson)
            {
                var log = new CollectingLog();
                result = Execute(parse, log, cancellation.Token);
                JsonDocuments.Write(JsonDocuments.Result(result, _json, log.Warnings));
            }
            else
            {
                result = ConsoleProgress.Run(ProgressName(parse), log => Execute(parse, log, cancellation.Token));
                Print(result, Terminal.Output);
            }
            return ExitCodeOf(result);
        }
        catch (Exception e) when (cancellation.IsCancellationRequested && Failure.IsCancellation(e))
        {
            return ExitCode.Cancelled;
        }
        catch (Exception e)
        {
            Report(Failure.Of(e, OutputOf(parse)), asJson);
            return ExitCode.Failed;
        }

        void Stop(PosixSignalContext context)
        {
            context.Cancel = true;
            ProcessEnd.Cancel(cancellation);
        }
    }

    private static void Report(Failure failure, bool asJson)
    {
        if (asJson)
            JsonDocuments.Write(JsonDocuments.Error(failure));
        else
            Console.Error.WriteLine($"error {failure.Code}: {failure.Message}");
        if (failure.Stack is not null)
            Console.Error.WriteLine(failure.Stack);
    }
}
