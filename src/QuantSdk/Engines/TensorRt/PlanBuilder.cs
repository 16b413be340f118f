using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using QuantSdk.Recipes;
using QuantSdk.Runtime;
using QuantSdk.Store;

namespace QuantSdk.Engines.TensorRt;

/// <summary>Has trtexec build a plan, and lets it stand only where everything speaks for it.</summary>
internal sealed class PlanBuilder
{
    private const string Phase = "BuildEngine";

    /// <summary>Model read, engine built, plan checked, plan measured.</summary>
    private const int Steps = 4;

    private readonly TrtExec _trtExec;
    private readonly TrtExecSettings _settings;
    private readonly TensorRtOptions _options;
    private readonly PlanRequest _request;
    private readonly IBuildLog _log;
    private readonly CancellationToken _cancellation;

    private PlanBuilder(TrtExec trtExec, TrtExecSettings settings, TensorRtOptions options, PlanRequest request, IBuildLog log, CancellationToken cancellation) =>
        (_trtExec, _settings, _options, _request, _log, _cancellation) = (trtExec, settings, options, request, log, cancellation);

    /// <summary>Builds <see cref="PlanRequest.Plan"/>, which is there whole afterwards, or as it was before where this throws.</summary>
    /// <exception cref="QuantSdkException">QSDK4022, QSDK4024, QSDK4026 to QSDK4046.</exception>
    public static BuiltPlan Build(TrtExec trtExec, TrtExecSettings settings, TensorRtOptions options, PlanRequest request, IBuildLog log, CancellationToken cancellation) =>
        new PlanBuilder(trtExec, settings, options, request, log, cancellation).Build();

    /// <summary>Where the timing cache of a version on a kind of GPU is.</summary>
    public static string TimingCache(string folder, TensorRtVersion version, GpuIdentity gpu) => Path.Combine(folder, $"{version.Release}-{GpuIdentity.FileName(gpu.Model)}.timing");

    private BuiltPlan Build()
    {
        var gpu = GpuIdentity.Of(_options.GpuDevice);
        var cache = _request.TimingCaches is { } folder && Writable(folder) ? TimingCache(folder, _trtExec.Version, gpu) : null;
        var layers = _settings.Layers is { } place && Writable(place) ? Path.Combine(place, _request.Name + ".layers.json") : null;
        var temporary = $"{_request.Plan}.{Guid.NewGuid():N}.tmp";
        var command = PlanCommand.Of(_trtExec.Version, _options, _request, temporary, cache, layers);
        if (_trtExec.IsUnknown)
            _log.Warning("QSDK4055", $"trtexec is of TensorRT {_trtExec.Version.Release}; options are known up to {TrtExec.Newest.Major}.{TrtExec.Newest.Minor}, and this one is told the same.", _request.Source ?? _request.Model);
        using var turn = Turn(gpu);
        using var runLog = new RunLog(_settings.Layers is null ? null : Path.Combine(_settings.Layers, _request.Name + ".trtexec.log"));
        if (layers is not null)
            Delete(layers);
        try
        {
            var clock = Stopwatch.StartNew();
            _log.Notice($"{_request.Name}: trtexec of TensorRT {_trtExec.Version.Release} builds the engine{(gpu.Model == GpuIdentity.Unknown ? "" : $" on {gpu.Model}")}, which takes minutes.");
            var output = RunBuild(command, cache, runLog);
            var seconds = clock.Elapsed.TotalSeconds;
            var (bytes, version) = CheckPlan(temporary, runLog.Path);
            if (output.ComputeCapability is not { } capability || output.Gpu is not { } name)
                throw new QuantSdkException("QSDK4045", $"{_request.Name}: trtexec did not say which GPU it built for, so that nothing could tell whether another runs the plan.{In(runLog.Path)}", _request.Source ?? _request.Model);
            _log.Progress(Phase, 3, Steps);
            TrtExecWarnings.Tell(output, passed: true, _request, runLog.Path, _log);
            var performance = command.Measure is null ? null : Measure(command.Measure, runLog);
            if (_options.MeasureEngine && command.Measure is null)
                _log.Warning("QSDK4054", $"{_request.Name}: trtexec of TensorRT {_trtExec.Version.Release} cannot measure an engine without weights; from 10.14 on it can.", _request.Source ?? _request.Model);
            Place(temporary);
            _log.Progress(Phase, Steps, Steps);
            return new BuiltPlan(version, capability, name, command.Profiles, bytes, seconds, [.. command.Build.Select(a => a.Replace(temporary, _request.Plan, StringComparison.Ordinal))], performance);
        }
        catch
        {
            if (layers is not null)
                Delete(layers);
            throw;
        }
        finally
        {
            Delete(temporary);
        }
    }

    /// <summary>One trtexec at a time on a GPU: two that time kernels side by side choose wrong ones and may run out of its memory.</summary>
    private StoreLock? Turn(GpuIdentity gpu)
    {
        var slots = _settings.Parallelism ?? 1;
        if (slots is < 1 or > 64)
            throw new QuantSdkException("QSDK4024", string.Create(CultureInfo.InvariantCulture, $"QuantSdkTrtExecParallelism={slots} is not allowed. Allowed: 1 to 64."));
        if (_request.Locks is not { } folder)
            return null;
        string[] paths = [.. Enumerable.Range(0, slots).Select(s => Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"trtexec-{GpuIdentity.FileName(gpu.Lock)}.{s}.lock")))];
        return StoreLock.TakeAny(paths, () => _log.Notice($"{_request.Name}: waits for another build's trtexec on the same GPU (QuantSdkTrtExecParallelism={slots})."), _cancellation).Inherited();
    }

    private TrtExecOutput RunBuild(PlanCommand command, string? cache, RunLog runLog)
    {
        var (status, output) = Run(command.Build, runLog);
        if (status == 0 && output.Passed)
            return output;
        // A damaged timing cache stops the build; without it, it is only slower.
        if (cache is not null && File.Exists(cache) && output.Messages.FirstOrDefault(m => m.Text.Contains("Failed to create ITimingCache", StringComparison.Ordinal)) is { } damaged)
        {
            _log.Warning("QSDK4052", $"{_request.Name}: the timing cache '{cache}' is damaged ({damaged.Text.Split('\n')[0]}); it is made anew.", _request.Source ?? _request.Model);
            Delete(cache);
            (status, output) = Run(command.Build, runLog);
            if (status == 0 && output.Passed)
                return output;
        }
        TrtExecWarnings.Tell(output, passed: false, _request, runLog.Path, _log);
        throw TrtExecFailure.Of(status, output, _trtExec, _request, runLog.Path);
    }

    /// <summary>The plan as trtexec left it.</summary>
    private (long Bytes, TensorRtVersion Version) CheckPlan(string plan, string? log)
    {
        var source = _request.Source ?? _request.Model;
        var (bytes, version) = PlanFile.Read(plan);
        if (version is not { } built)
        {
            var what = !File.Exists(plan) ? "wrote no plan" : bytes == 0 ? "wrote an empty plan" : bytes < PlanFile.HeaderBytes ? $"wrote a plan of {bytes} bytes, which is cut off" : "wrote a file that does not begin as a plan does";
            throw new QuantSdkException("QSDK4043", $"{_request.Name}: trtexec said PASSED and {what}. Look whether the disk is full.{In(log)}", source);
        }
        if (built.Release != _trtExec.Version.Release)
            throw new QuantSdkException("QSDK4044", $"{_request.Name}: '{_trtExec.Path}' is trtexec of TensorRT {_trtExec.Version.Release}, and its plan is of {built}: it loaded another version's libraries. Correct LD_LIBRARY_PATH (PATH on Windows), or name the trtexec that belongs to them.{In(log)}", source);
        return (bytes, built);
    }

    /// <summary>A figure for the report: where it cannot be had, the plan is as good as before, but for a plan that cannot be loaded.</summary>
    private TrtExecPerformance? Measure(IReadOnlyList<string> arguments, RunLog runLog)
    {
        var (status, output) = Run(arguments, runLog);
        if (status == 0 && output is { Passed: true, Performance: { } performance })
            return performance;
        if (status != 0 || !output.Passed)
        {
            var failure = TrtExecFailure.Of(status, output, _trtExec, _request, runLog.Path);
            if (failure.Code == "QSDK4042")
                throw failure;
            _log.Warning("QSDK4054", $"{_request.Name}: the engine was built and could not be measured. {failure.Message}", _request.Source ?? _request.Model);
            return null;
        }
        _log.Warning("QSDK4054", $"{_request.Name}: the engine was built and run, and trtexec printed no figures.{In(runLog.Path)}", _request.Source ?? _request.Model);
        return null;
    }

    private (int Status, TrtExecOutput Output) Run(IReadOnlyList<string> arguments, RunLog runLog)
    {
        var output = new TrtExecOutput(text =>
        {
            _log.Detail($"{_request.Name}: trtexec: {text}");
            var done = text.StartsWith("Finished parsing", StringComparison.Ordinal) ? 1 : text.StartsWith("Engine built", StringComparison.Ordinal) ? 2 : 0;
            if (done > 0)
                _log.Progress(Phase, done, Steps);
        });
        _log.Detail($"{_request.Name}: {CommandText.Of(_trtExec.Path, arguments)}");
        runLog.Write(CommandText.Of(_trtExec.Path, arguments));
        try
        {
            var status = TrtExecProcess.Run(_trtExec.Path, arguments, (line, isError) =>
            {
                runLog.Write(line);
                output.Read(line, isError);
            }, _cancellation);
            runLog.Write(string.Create(CultureInfo.InvariantCulture, $"exit status {status}"));
            return (status, output);
        }
        catch (Exception e) when (e is Win32Exception || FileSystemError.Is(e))
        {
            throw new QuantSdkException("QSDK4022", $"'{_trtExec.Path}' cannot be run: {e.Message} Name a trtexec for this machine in QuantSdkTrtExecPath.", _trtExec.Path, inner: e);
        }
    }

    private void Place(string temporary)
    {
        try
        {
            File.Move(temporary, _request.Plan, overwrite: true);
        }
        catch (Exception e) when (FileSystemError.Is(e))
        {
            throw new QuantSdkException("QSDK4046", $"{_request.Name}: the plan cannot be put at '{_request.Plan}': {FileSystemError.Reason(e)} Free the disk or correct the permissions.", _request.Plan, inner: e);
        }
    }

    /// <summary>Whether a folder for what can be done without is there.</summary>
    private bool Writable(string folder)
    {
        try
        {
            Directory.CreateDirectory(folder);
            return true;
        }
        catch (Exception e) when (FileSystemError.Is(e))
        {
            _log.Detail($"{_request.Name}: '{folder}' cannot be made: {FileSystemError.Reason(e)}");
            return false;
        }
    }

    private static void Delete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception e) when (FileSystemError.Is(e))
        {
            // It has a name that nothing reads.
        }
    }

    private static string In(string? log) => log is null ? "" : $" trtexec's whole log: {log}.";
}
