using System.Diagnostics;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;

namespace QuantSdk.Engines;

/// <summary>Times kernels in ONNX Runtime: variants in turn, the least of many rounds, one number of copies against another.</summary>
/// <param name="threads">Threads within a kernel.</param>
/// <param name="budget">Least time spent on one set of variants.</param>
internal sealed class KernelClock(int threads, TimeSpan budget, CancellationToken cancellation)
{
    private const int LeastRounds = 5;

    /// <summary>Kernels that take longer than this are not repeated as often.</summary>
    private static readonly TimeSpan s_long = TimeSpan.FromMilliseconds(2);

    /// <summary>Microseconds of each kernel on the shape; of convolutions with what brings the output to the caller's layout.</summary>
    public double[] Microseconds(WorkShape shape, params ReadOnlySpan<string> kernels)
    {
        var folder = Directory.CreateTempSubdirectory("quantsdk-");
        var runs = new List<Run>();
        try
        {
            foreach (var kernel in kernels)
            {
                runs.Add(Open(kernel, shape, 1, folder));
                runs.Add(Open(kernel, shape, Copies(shape), folder));
            }
            for (var (round, started) = (0, Stopwatch.GetTimestamp()); round < LeastRounds || Stopwatch.GetElapsedTime(started) < budget; round++)
            {
                foreach (var run in runs)
                {
                    cancellation.ThrowIfCancellationRequested();
                    run.Time();
                }
            }
            var times = new double[kernels.Length];
            for (var i = 0; i < times.Length; i++)
                times[i] = Math.Max(0, (runs[2 * i + 1].Best - runs[2 * i].Best).TotalMicroseconds / (runs[2 * i + 1].Copies - 1));
            return times;
        }
        finally
        {
            foreach (var run in runs)
                run.Dispose();
            folder.Delete(recursive: true);
        }
    }

    private static int Copies(WorkShape shape) => (double)shape.Rows * shape.Inputs * shape.Outputs * shape.Taps / shape.Groups > 2e7 ? 3 : 9;

    private Run Open(string kernel, WorkShape shape, int copies, DirectoryInfo folder)
    {
        var path = Path.Combine(folder.FullName, $"{kernel}_{copies}.onnx");
        OnnxFile.Save(KernelModels.Create(kernel, shape, copies), path, path + ".data");
        return new Run(ModelSession.Open(path, new SessionSettings
        {
            Threads = threads,
            DisabledOptimizers = CpuLowering.DisabledOptimizers,
            // The next variant needs the cores that idle workers would otherwise spin on.
            Entries = new Dictionary<string, string> { ["session.force_spinning_stop"] = "1" },
        }), copies, threads);
    }

    private sealed class Run : IDisposable
    {
        private readonly ModelSession _session;
        private readonly ModelBinding _binding;
        private readonly int _threads;

        public Run(ModelSession session, int copies, int threads)
        {
            (_session, Copies, _threads) = (session, copies, threads);
            _binding = session.Bind(session.Inputs.ToDictionary(i => i.Name, i => i.Shape.ToArray()));
            var random = new Random(2);
            foreach (var input in session.Inputs)
            {
                if (input.Type.Type != typeof(float))
                {
                    random.NextBytes(_binding.InputBytes(input.Name));
                    continue;
                }
                foreach (ref var value in _binding.Input<float>(input.Name))
                    value = (float)random.NextDouble() - 0.5f;
            }
        }

        public int Copies { get; }

        public TimeSpan Best { get; private set; } = TimeSpan.MaxValue;

        public void Time()
        {
            // Once untimed: the variant before has left its own data in the caches.
            if (Best > s_long || Best == TimeSpan.MaxValue)
                _binding.Run();
            var (started, used) = (Stopwatch.GetTimestamp(), Environment.CpuUsage.TotalTime);
            _binding.Run();
            var elapsed = Stopwatch.GetElapsedTime(started);
            // What takes long is interrupted on a busy machine; one thread's work is then what the process has used.
            if (_threads == 1 && elapsed > s_long / 2 && Environment.CpuUsage.TotalTime - used is var own && own < elapsed)
                elapsed = own;
            if (elapsed < Best)
                Best = elapsed;
        }

        public void Dispose() => _session.Dispose();
    }
}
