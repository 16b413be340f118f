using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace QuantSdk.Bench.Building;

/// <summary>
/// Builds of one small model that are ended by SIGKILL at a chosen point, each followed by a build that is left alone. Linux only: processes are found in /proc, by a variable of their environment.
/// </summary>
internal sealed class KillTrials
{
    /// <summary>Where a build can be hit: before its tool runs, while that starts, and in each of its phases.</summary>
    public static readonly IReadOnlyList<string> Stages = ["MSBuild", "Start", "Calibrate", "Quantize", "BuildEngine", "Verify"];

    private const string Marker = "QUANTSDK_KILL_TRIAL";
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(120);
    // The tool gives its work a second and a half to stop.
    private static readonly TimeSpan s_orphanPatience = TimeSpan.FromSeconds(10);

    private readonly string _folder;
    private readonly string _model;
    private readonly string _reference;
    private readonly Dictionary<string, TimeSpan> _durations;

    /// <summary>Writes the project and builds it twice undisturbed: the second time tells how long the stages take.</summary>
    /// <param name="folder">An empty folder.</param>
    /// <param name="model">A small model; calibration data of the rows that it needs.</param>
    /// <param name="targets">The folder build/ of the repository.</param>
    /// <param name="tasks">QuantSdk.Tasks.dll.</param>
    /// <param name="tool">quantsdk.dll.</param>
    public KillTrials(string folder, string model, string data, string targets, string tasks, string tool)
    {
        (_folder, _model) = (folder, Path.Combine(folder, "model.onnx"));
        File.Copy(model, _model);
        File.Copy(data, Path.Combine(folder, "data.npz"));
        File.WriteAllText(Path.Combine(folder, "App.proj"), $"""
            <Project>
              <PropertyGroup>
                <BaseIntermediateOutputPath>obj/</BaseIntermediateOutputPath>
                <IntermediateOutputPath>obj/</IntermediateOutputPath>
                <QuantSdkTasksAssembly>{tasks}</QuantSdkTasksAssembly>
                <QuantSdkToolAssembly>{tool}</QuantSdkToolAssembly>
                <QuantSdkStoreDirectory>$(MSBuildProjectDirectory)/store</QuantSdkStoreDirectory>
                <QuantSdkVerbosity>detailed</QuantSdkVerbosity>
              </PropertyGroup>
              <Import Project="{targets}/QuantSdk.props" />
              <ItemGroup><QuantizedModel Include="model.onnx" CalibrationData="data.npz" /></ItemGroup>
              <Import Project="{targets}/QuantSdk.targets" />
            </Project>
            """);
        _durations = [];
        for (var round = 0; round < 2; round++)
        {
            Reset(withEngine: false);
            using var build = new Build(_folder, "");
            if (build.WaitForExit(s_patience) != 0) throw new InvalidOperationException("The undisturbed build failed: " + build.Text);
            _durations = build.Durations();
        }
        _reference = Engine();
    }

    /// <summary>What one kill left, and what the next build made of it.</summary>
    /// <param name="Stage">The last stage that the build had said to be in; `ended` where it was done before it could be hit.</param>
    /// <param name="Whole">After the kill there was no engine, or a whole one.</param>
    /// <param name="Right">The next build ended well, with the undisturbed build's bytes and nothing beside them.</param>
    /// <param name="Orphans">Processes of the killed build that lived on.</param>
    public sealed record Outcome(string Stage, string Victim, bool Whole, bool Right, int Orphans)
    {
        public bool Survived => Whole && Right && Orphans == 0;
    }

    /// <summary>The trial of a number: stages, victims, points within a stage, and starting with an engine or without, all go round.</summary>
    public Outcome Run(int number)
    {
        var stage = Stages[number % Stages.Count];
        var victim = stage == "MSBuild" ? "MSBuild" : ((string[])["tool", "MSBuild", "both"])[number / Stages.Count % 3];
        Reset(withEngine: number / (3 * Stages.Count) % 2 == 1);
        var mark = Guid.NewGuid().ToString("N");
        string hit;
        using (var build = new Build(_folder, mark))
        {
            build.WaitForStage(stage, s_patience);
            // The golden ratio's multiples fill the stage evenly, however many there are.
            Thread.Sleep(_durations.GetValueOrDefault(stage) * (number * 0.6180339887 % 1));
            hit = build.HasExited ? "ended" : build.Stage;
            if (victim != "tool") build.Kill();
            if (victim != "MSBuild") KillTools(mark);
            build.WaitForExit(s_patience);
        }
        var orphans = Orphans(mark);
        var left = Engine();
        using var next = new Build(_folder, "");
        var right = next.WaitForExit(s_patience) == 0 && Engine() == _reference && !Directory.EnumerateDirectories(EngineFolder, "*.tmp").Concat(Directory.EnumerateDirectories(EngineFolder, "*.scratch")).Any();
        return new Outcome(hit, victim, left.Length == 0 || left == _reference, right, orphans);
    }

    private string EngineFolder => Path.Combine(_folder, "obj", "quantsdk");

    private void Reset(bool withEngine)
    {
        var store = Path.Combine(_folder, "store");
        if (Directory.Exists(store)) DeleteReadOnly(store);
        if (withEngine) File.SetLastWriteTimeUtc(_model, DateTime.UtcNow);
        else if (Directory.Exists(EngineFolder)) Directory.Delete(EngineFolder, recursive: true);
    }

    // Entries of the store cannot be written, nor can their folders.
    private static void DeleteReadOnly(string folder)
    {
        if (!OperatingSystem.IsWindows())
        {
            foreach (var inner in Directory.EnumerateDirectories(folder, "*", SearchOption.AllDirectories))
                File.SetUnixFileMode(inner, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }
        Directory.Delete(folder, recursive: true);
    }

    /// <summary>Every file of the engine with its hash; empty where there is no engine.</summary>
    private string Engine()
    {
        var folder = Path.Combine(EngineFolder, "model");
        if (!Directory.Exists(folder)) return "";
        return string.Join('\n', Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal)
            .Select(f => $"{Path.GetRelativePath(folder, f)} {Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(f)))}"));
    }

    private static int Orphans(string mark)
    {
        var started = Stopwatch.GetTimestamp();
        while (Marked(mark).Count > 0 && Stopwatch.GetElapsedTime(started) < s_orphanPatience) Thread.Sleep(50);
        return Marked(mark).Count;
    }

    private static void KillTools(string mark)
    {
        foreach (var id in Marked(mark).Where(id => Read($"/proc/{id}/cmdline").Contains("\0serve\0", StringComparison.Ordinal)))
        {
            try
            {
                using var process = Process.GetProcessById(id);
                process.Kill();
            }
            catch (Exception e) when (e is ArgumentException or InvalidOperationException)
            {
                // It was faster.
            }
        }
    }

    /// <summary>Processes with the mark in their environment; what has ended and waits for its parent has none.</summary>
    private static List<int> Marked(string mark) =>
        [.. Directory.EnumerateDirectories("/proc").Select(Path.GetFileName).Where(n => int.TryParse(n, out _)).Select(n => int.Parse(n!, CultureInfo.InvariantCulture))
            .Where(id => Read($"/proc/{id}/environ").Contains($"{Marker}={mark}\0", StringComparison.Ordinal))];

    private static string Read(string file)
    {
        try
        {
            return File.ReadAllText(file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return "";
        }
    }

    /// <summary>A running build that tells its stage: its own lines do, at the verbosity that the project sets.</summary>
    private sealed class Build : IDisposable
    {
        private readonly Process _process;
        private readonly StringBuilder _text = new();
        private readonly List<(string Stage, long Since)> _stages = [("MSBuild", Stopwatch.GetTimestamp())];

        public Build(string folder, string mark)
        {
            var start = new ProcessStartInfo("dotnet", ["msbuild", "App.proj", "-t:QuantSdkBuildModels", "-nologo", "-v:m", "-tl:off", "-nodeReuse:false", "-m:1"])
                { WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true };
            foreach (var name in start.Environment.Keys.Where(k => k.StartsWith("MSBuild", StringComparison.OrdinalIgnoreCase)).ToArray()) start.Environment.Remove(name);
            start.Environment[Marker] = mark;
            _process = new Process { StartInfo = start };
            _process.OutputDataReceived += (_, e) => Accept(e.Data);
            _process.ErrorDataReceived += (_, e) => Accept(e.Data);
            _process.Start();
            _process.BeginOutputReadLine();
            _process.BeginErrorReadLine();
        }

        public bool HasExited => _process.HasExited;

        public string Stage
        {
            get
            {
                lock (_stages) return _stages[^1].Stage;
            }
        }

        public string Text
        {
            get
            {
                lock (_stages) return _text.ToString();
            }
        }

        public void WaitForStage(string stage, TimeSpan patience)
        {
            var started = Stopwatch.GetTimestamp();
            while (!Has(stage) && !_process.HasExited && Stopwatch.GetElapsedTime(started) < patience) Thread.Sleep(1);
        }

        public int WaitForExit(TimeSpan patience)
        {
            if (!_process.WaitForExit(patience)) throw new TimeoutException("The build did not end: " + Text);
            return _process.ExitCode;
        }

        public void Kill() => _process.Kill();

        /// <summary>How long each stage took.</summary>
        public Dictionary<string, TimeSpan> Durations()
        {
            lock (_stages)
                return _stages.Zip(_stages.Skip(1).Select(s => s.Since).Append(Stopwatch.GetTimestamp())).ToDictionary(s => s.First.Stage, s => Stopwatch.GetElapsedTime(s.First.Since, s.Second));
        }

        public void Dispose()
        {
            if (!_process.HasExited) _process.Kill(entireProcessTree: true);
            _process.Dispose();
        }

        private bool Has(string stage)
        {
            lock (_stages) return _stages.Any(s => s.Stage == stage);
        }

        // `model: model.onnx, …` when the tool is started, `model: Quantize` when it says so.
        private void Accept(string? line)
        {
            if (line is null) return;
            lock (_stages)
            {
                _text.AppendLine(line);
                var words = line.Trim().Split(' ');
                if (words is ["model:", var word, ..] && (word == "model.onnx," ? "Start" : words.Length == 2 ? word : "") is var stage && Stages.Contains(stage) && _stages.All(s => s.Stage != stage))
                    _stages.Add((stage, Stopwatch.GetTimestamp()));
            }
        }
    }
}
