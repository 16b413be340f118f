using System.Runtime.InteropServices;
using QuantSdk.Engines;

namespace QuantSdk.Tool.Serve;

/// <summary>`quantsdk serve`: builds one model for MSBuild. A request line comes in on standard input, JSON lines go out on standard output.</summary>
internal static class ServeCommand
{
    public static int Run()
    {
        // Ctrl+C reaches every process of the terminal; the build decides and closes our input.
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, context => context.Cancel = true);
        using var cancellation = new CancellationTokenSource();
        void Stop(PosixSignalContext context)
        {
            context.Cancel = true;
            ProcessEnd.Cancel(cancellation);
        }
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
        using var hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, Stop);
        var log = new JsonLinesLog(Console.OpenStandardOutput());
        AppDomain.CurrentDomain.UnhandledException += (_, e) =>
        {
            Report((Exception)e.ExceptionObject, null, log);
            Environment.Exit(ExitCode.Failed);
        };
        string? output = null;
        try
        {
            var reader = new RequestReader(Console.OpenStandardInput());
            var request = ServeRequest.Parse(reader.ReadLine());
            output = request.Output;
            reader.WhenClosed(() => ProcessEnd.Cancel(cancellation));
            var result = ModelBuilder.Build(request, log, cancellation.Token);
            if (result.DiscoveredInputs.Count > 0)
                log.Inputs(result.DiscoveredInputs);
            log.Done(result);
            return ExitCode.Done;
        }
        catch (Exception e) when (cancellation.IsCancellationRequested && Failure.IsCancellation(e))
        {
            return ExitCode.Cancelled;
        }
        catch (Exception e)
        {
            Report(e, output, log);
            return ExitCode.Failed;
        }
    }

    private static void Report(Exception exception, string? output, JsonLinesLog log)
    {
        var failure = Failure.Of(exception, output);
        log.Error(failure);
        if (failure.Stack is not null)
            Console.Error.WriteLine(failure.Stack);
    }
}
