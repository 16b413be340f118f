using System.CommandLine;
using System.CommandLine.Invocation;
using QuantSdk.Tool.Output;

namespace QuantSdk.Tool.Commands;

/// <summary>The stages of the build by hand, as commands.</summary>
internal static class CommandLine
{
    public static int Run(string[] arguments)
    {
        var root = new RootCommand("""
            Makes ONNX models small and fast: calibrates, quantises, builds engines and measures them.

            A build does all of this for the QuantizedModel items of a project; these commands do it by hand, stage by stage.
            Exit codes: 0 done, 1 an error with a code (docs/diagnostics has a page for each), 2 wrong usage, 130 cancelled.

            Examples:
              quantsdk inspect unet.onnx
              quantsdk build classifier.onnx --data images.npz --output models/classifier
              quantsdk build unet.onnx --data prompts.npz --conditioned-by prompt_encoder.onnx --scheduler scheduler_config.json --guidance-scale 2 --output models/unet
              quantsdk compare classifier.onnx models/classifier --data test.npz --json
            """)
        {
            new InspectCommand(),
            new CheckCommand(),
            new CalibrateCommand(),
            new QuantizeCommand(),
            new BuildCommand(),
            new ExportCommand(),
            new SensitivityCommand(),
            new CompareCommand(),
            new ReportCommand(),
            new TuneCommand(),
            new CutCommand(),
            new TrtExecCommand(),
            new TritonCommand(),
            new StoreCommand(),
            new Command("serve", "Speaks JSON lines with the build: a request on standard input, answers on standard output. For MSBuild, not for people."),
        };
        // A file whose name begins with @ is a file.
        var parse = root.Parse(arguments, new ParserConfiguration { ResponseFileTokenReplacer = null });
        if (parse.Action is ParseErrorAction || (parse.Action is null && parse.Errors.Count == 0))
            return Refuse(parse, arguments);
        (parse.CommandResult.Command as IExplained)?.Explain();
        return parse.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
    }

    private static int Refuse(ParseResult parse, string[] arguments)
    {
        var message = parse.Errors.Count == 0 ? "`serve` takes no options." : string.Join(" ", parse.Errors.Select(e => e.Message));
        var command = string.Join(' ', Path(parse.CommandResult.Command));
        if (arguments.Contains("--json"))
            JsonDocuments.Write(JsonDocuments.Error(new Failure("QSDK1030", message, null, null, null)));
        else
            Console.Error.WriteLine($"error QSDK1030: {message} See `{command} --help`.");
        return ExitCode.Usage;
    }

    private static IEnumerable<string> Path(Command command) =>
        command.Parents.OfType<Command>().FirstOrDefault() is { } parent ? Path(parent).Append(command.Name) : ["quantsdk"];
}
