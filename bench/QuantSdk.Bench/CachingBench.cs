using System.Diagnostics;
using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using QuantSdk.Caching.Schedules;
using QuantSdk.Calibration;
using QuantSdk.Onnx;
using QuantSdk.Runtime;

namespace QuantSdk.Bench;

/// <summary>
/// Deep features cached between steps, on the digits UNet and MMDiT, in float and in int8: speed against the uncached loop and against what the cost of the live
/// part promises, accuracy and change of the images on held-out noise, searched schedules against published ones, memory, what scheduling costs, and what was recorded
/// elsewhere: runs of samplers, and PyTorch's images.
/// </summary>
internal static class CachingBench
{
    private const int Images = 20, HeldOut = 100;

    /// <summary>Noise that schedules are searched on and noise that they are judged on.</summary>
    private const long CalibrationSeed = 5000, HeldOutSeed = 7000;

    private const string Speed = "speed", Quality = "quality", Schedules = "schedules", Memory = "memory", Int8 = "int8", Overhead = "overhead", Hoist = "hoist", Golden = "golden";

    /// <summary>Of the samples that schedules are searched on, those that bad ones are told from good ones with; schedules that are run on all of them.</summary>
    private const int FewRows = 8, SearchRuns = 14;

    /// <summary>The samples that schedules are searched on: few where they take long. The first cut of a model is the one its figures are named after.</summary>
    /// <remarks>Intervals: those that PyTorch's images of cached loops are recorded for, by the name that the file calls the cut.</remarks>
    private static readonly (string Model, int SearchRows, Cut[] Cuts)[] s_models =
    [
        ("unet", 24, [new("", "output:up_blocks.2.resnets.1", "deepcache", [2, 3, 5]), new("block_", "up_blocks.2", "blockcache", [2, 3])]),
        ("mmdit", 40, [new("", "blocks:1-4")]),
    ];

    /// <param name="Prefix">Of the names of its figures.</param>
    /// <param name="Text">The metadata <c>Cache</c>.</param>
    /// <param name="Golden">What the file of PyTorch's images of cached loops calls it.</param>
    /// <param name="Intervals">The N of every N steps that it holds.</param>
    private sealed record Cut(string Prefix, string Text, string? Golden = null, params int[] Intervals);

    private static readonly string[] s_sections = [Speed, Quality, Schedules, Memory, Int8, Overhead, Hoist, Golden];

    /// <summary>What is wrong with the arguments, or null.</summary>
    public static string? Unknown(IReadOnlyList<string> parts) =>
        parts.FirstOrDefault(p => !s_sections.Contains(p) && s_models.All(m => m.Model != p)) is { } unknown
            ? $"caching knows no '{unknown}'. Models: {string.Join(", ", s_models.Select(m => m.Model))}. Sections: {string.Join(", ", s_sections)}." : null;

    /// <param name="parts">Models and sections; none of a kind: all of it.</param>
    public static void Run(Report report, IReadOnlyList<string> parts)
    {
        string[] sections = s_sections.Intersect(parts).ToArray() is { Length: > 0 } some ? some : s_sections;
        if (sections.Contains(Golden))
            MeasureSamplers(report);
        using var scratch = new ScratchFolder();
        foreach (var (name, searchRows, cuts) in s_models.Where(m => !s_models.Any(o => parts.Contains(o.Model)) || parts.Contains(m.Model)))
            new Subject(ProtocolModel.Read(name), cuts, searchRows, scratch, report).Measure(sections);
    }

    /// <summary>The samplers alone, against runs that were recorded elsewhere.</summary>
    private static void MeasureSamplers(Report report)
    {
        var recorded = SamplerGoldens.Recorded();
        report.Row($"{recorded.Count} recorded runs of samplers", "runs", "worst", "<= 1e-9");
        foreach (var scheduler in recorded.GroupBy(run => run.Scheduler))
            report.Row("  " + scheduler.Key, $"{scheduler.Count()}", $"{scheduler.Max(run => run.Error):0.00e-0}", $"{scheduler.Count(run => run.Error <= 1e-9)}");
        report.Figure("samplers_recorded_error", recorded.Max(run => run.Error));
        report.Figure("samplers_recorded_exact", recorded.Count(run => run.Error <= 1e-9));
        var pipelines = SamplerGoldens.Pipelines();
        report.Row("with tables in double, run in float", "worst");
        foreach (var (name, error) in pipelines)
            report.Row("  " + name, $"{error:0.00e-0}");
        report.Figure("samplers_extra_error", pipelines.Max(run => run.Error));
        report.Line();
    }

    /// <summary>Private MB of the whole engine in a process of its own, and what the live part adds to it: opened, and after a run of each.</summary>
    /// <param name="args">The whole engine, the live part.</param>
    public static double[] MemoryInChild(string[] args)
    {
        var settings = new SessionSettings { Threads = Quantisation.Threads, Optimisation = Microsoft.ML.OnnxRuntime.GraphOptimizationLevel.ORT_DISABLE_ALL };
        _ = ModelSession.OnnxRuntimeVersion;
        var before = ProcessMemory.Private();
        using var full = ModelSession.Open(args[0], settings);
        var whole = ProcessMemory.Private() - before;
        using var live = ModelSession.Open(args[1], settings);
        return [whole, ProcessMemory.Private() - before - whole];
    }

    /// <summary>One model on the bench.</summary>
    private sealed class Subject(ProtocolModel protocol, Cut[] cuts, int searchRows, ScratchFolder scratch, Report report)
    {
        private readonly DiffusionProtocol _diffusion = protocol.Diffusion!;
        private readonly Dictionary<(CachedEngine, string), (double Error, double Accuracy)> _judged = [];
        private float[]? _uncached;

        private string Name => protocol.Name;

        private int Steps => _diffusion.GoldenSteps;

        public void Measure(IReadOnlyList<string> sections)
        {
            foreach (var measured in cuts)
            {
                var (prefix, cut) = (measured.Prefix, measured.Text);
                if (prefix.Length > 0 && !sections.Any(s => s is Speed or Memory or Quality or Golden))
                    continue;
                using var engine = CachedEngine.Build(protocol, cut, "none", scratch);
                report.Line($"  {Name}, {cut}: {string.Join(", ", engine.Model.Cached.Select(t => t.Name))}");
                if (prefix.Length == 0 && sections.Contains(Int8))
                    MeasureInt8(engine, cut, speed: sections.Contains(Speed));
                else if (sections.Contains(Speed))
                    ReportSpeed(engine, prefix, Times(engine.Pipeline(null), engine.Pipeline(CacheSchedule.Every(3)), engine.Pipeline(CacheSchedule.Every(3).Extrapolated())));
                if (sections.Contains(Golden))
                    MeasureGolden(engine, measured);
                if (sections.Contains(Memory) || sections.Contains(Golden))
                    MeasureMemory(engine, prefix);
                if (sections.Contains(Quality))
                {
                    Judge("N = 3", engine, CacheSchedule.Every(3), $"{prefix}cache_N3");
                    Judge("N = 3, extrapolated", engine, CacheSchedule.Every(3).Extrapolated(), $"{prefix}cache_N3_extrapolated");
                }
                if (prefix.Length == 0 && sections.Contains(Schedules))
                    Search(engine);
                if (prefix.Length == 0 && sections.Contains(Overhead))
                    MeasureOverhead(engine);
                if (prefix.Length == 0 && sections.Contains(Hoist))
                    MeasureHoist(engine, cut);
            }
            report.Line();
        }

        /// <param name="loops">Milliseconds of uncached loops, of those with every third step full, and of those with features extrapolated.</param>
        private void ReportSpeed(CachedEngine engine, string prefix, double[][] loops)
        {
            var (uncached, cached) = (loops[0].Min(), loops[1].Min());
            var (full, live) = StepTimes(engine);
            var fullSteps = CacheSchedule.Every(3).FullSteps(Steps).Count;
            var (speedup, predicted) = (Ratio(loops[0], loops[1]), Steps / (fullSteps + (Steps - fullSteps) * live / full));
            report.Row($"{Images} images, {Steps} steps, N = 3", "uncached s", "cached s", "speedup", "predicted", "full ms", "live ms");
            report.Row("", $"{uncached / 1000:f2}", $"{cached / 1000:f2}", $"{speedup:f2}x", $"{predicted:f2}x", $"{full:f1}", $"{live:f1}");
            report.Figure($"{Name}_{prefix}cache_N3_speedup", speedup);
            report.Figure($"{Name}_{prefix}cache_N3_extrapolated_speedup", Ratio(loops[0], loops[2]));
            report.Figure($"{Name}_{prefix}cache_N3_predicted", predicted);
            report.Figure($"{Name}_{prefix}live_share", live / full);
        }

        /// <summary>Milliseconds of whole loops, in turn, by pipeline and round. Each loop is long, and only its first steps are slow where an engine was not run before: a short one precedes them.</summary>
        private double[][] Times(params DiffusionPipeline[] pipelines)
        {
            const int Rounds = 3, FirstSteps = 4;
            var (latents, prompts, first) = (_diffusion.Noise(Images, HeldOutSeed), _diffusion.Conditioning(Images), pipelines.ToHashSet());
            return Interleaved.Rounds(Rounds, TimeSpan.Zero, [.. pipelines.Select<DiffusionPipeline, Action>(p => () => p.Run(latents, prompts, first.Remove(p) ? FirstSteps : Steps, DiffusionProtocol.Guidance))]);
        }

        /// <summary>Rounds are few and long, and others on the machine only ever add time: the fastest of one over the fastest of the other.</summary>
        private static double Ratio(double[] one, double[] other) => one.Min() / other.Min();

        /// <summary>Milliseconds of one run of the whole engine and of the live part on its features, in the order of the loop.</summary>
        private (double Full, double Live) StepTimes(CachedEngine engine)
        {
            const int Rounds = 11;
            using var run = Begin(engine.Model, new CachePlan([false, false], false));
            run.Predict(0, 500, default);
            var live = run.Binding.Borrower(engine.Model.Live!);
            var times = Interleaved.Rounds(Rounds, TimeSpan.Zero, run.Binding.Run, live.Run, live.Run);
            return (times[0].Min(), (times[1].Min() + times[2].Min()) / 2);
        }

        private CachedDenoiserRun Begin(QuantizedModel model, CachePlan plan, int images = Images)
        {
            var run = model.CachedDenoiser(plan)!.Begin([2 * images, .. _diffusion.SampleShape], _diffusion.Conditioning(images).Batch(images, guided: true));
            _diffusion.Noise(2 * images, HeldOutSeed).AsSpan<float>().CopyTo(run.Sample);
            return run;
        }

        private void MeasureMemory(CachedEngine engine, string prefix)
        {
            var variant = engine.Model.Manifest.Variants[0];
            var memory = Children.Measure("caching", Path.Combine(engine.Folder, variant.Optimised!.Model), Path.Combine(engine.Folder, variant.Cache!.Optimised!.Model));
            report.Row("private memory", "full MB", "live adds MB");
            report.Row("", $"{memory[0]:f1}", $"{memory[1]:f1}");
            report.Figure($"{Name}_{prefix}live_private_mb", memory[1]);
        }

        /// <summary>PyTorch's images of cached loops, every step full against uncached, and the files that both engines read their weights from.</summary>
        private void MeasureGolden(CachedEngine engine, Cut cut)
        {
            if (cut.Golden is not null)
            {
                var latents = ReadFloats(_diffusion.Golden, "latents");
                var cachedImages = Path.Combine(Path.GetDirectoryName(_diffusion.Golden)!, "golden_cached_ddim30_cfg2.npz");
                foreach (var interval in cut.Intervals)
                {
                    var expected = ReadFloats(cachedImages, $"{cut.Golden}_{interval}").AsSpan();
                    var images = Sample(engine, CacheSchedule.Every(interval), latents[..expected.Length]);
                    var error = TensorPrimitives.Distance<float>(images, expected) / TensorPrimitives.Norm<float>(expected);
                    report.Row($"as PyTorch, {cut.Golden}, N = {interval}", $"error {error:0.00e-0}");
                    report.Figure($"golden_{cut.Golden}_{interval}_error", error);
                }
            }
            var noise = _diffusion.Noise(DiffusionProtocol.Classes, HeldOutSeed).AsSpan<float>().ToArray();
            var differing = Sample(engine, CacheSchedule.Every(1), noise).Zip(Sample(engine, null, noise)).Count(pair => BitConverter.SingleToInt32Bits(pair.First) != BitConverter.SingleToInt32Bits(pair.Second));
            var files = DataFiles(engine);
            report.Row("every step full, against uncached", $"{differing} differ");
            report.Row(["weights of both engines", .. files]);
            report.Figure($"{Name}_{cut.Prefix}cache_N1_differing", differing);
            report.Figure($"{Name}_{cut.Prefix}data_files", files.Length);
        }

        private static float[] ReadFloats(string file, string name) => MemoryMarshal.Cast<byte, float>(CalibrationFiles.Read([file], null)[name].Data.Span).ToArray();

        /// <summary>Samples from noise; the labels are 0 to 9 in turn.</summary>
        private float[] Sample(CachedEngine engine, CacheSchedule? schedule, float[] noise)
        {
            var rows = noise.Length / (int)_diffusion.SampleShape.Aggregate(1L, (a, b) => a * b);
            return engine.Pipeline(schedule).Run(ModelTensor.Create(noise, [rows, .. _diffusion.SampleShape]), _diffusion.Conditioning(rows), Steps, DiffusionProtocol.Guidance).AsSpan<float>().ToArray();
        }

        /// <summary>The data files that the optimised whole engine and its live part name.</summary>
        private static string[] DataFiles(CachedEngine engine)
        {
            var variant = engine.Model.Manifest.Variants[0];
            return [.. new[] { variant.Optimised!.Model, variant.Cache!.Optimised!.Model }.SelectMany(model =>
            {
                using var stream = File.OpenRead(Path.Combine(engine.Folder, model));
                return ModelProto.Parser.ParseFrom(stream).Graph.Initializer.SelectMany(tensor => tensor.ExternalData).Where(entry => entry.Key == "location").Select(entry => entry.Value).ToArray();
            }).Distinct()];
        }

        /// <summary>Images of the held-out noise.</summary>
        private float[] Make(CachedEngine engine, CacheSchedule? schedule)
        {
            var length = (int)_diffusion.SampleShape.Aggregate(1L, (a, b) => a * b);
            var images = new float[HeldOut * length];
            var (pipeline, prompts) = (engine.Pipeline(schedule), _diffusion.Conditioning(Images));
            for (var start = 0; start < HeldOut; start += Images)
                pipeline.Run(_diffusion.Noise(Images, HeldOutSeed + start), prompts, Steps, DiffusionProtocol.Guidance).AsSpan<float>().CopyTo(images.AsSpan(start * length));
            return images;
        }

        private float[] Uncached(CachedEngine engine) => _uncached ??= Make(engine, null);

        private double Accuracy(float[] images) => DigitsClassifier.Accuracy(images, [.. Enumerable.Range(0, HeldOut).Select(i => (byte)(i % DiffusionProtocol.Classes))], _diffusion.SampleShape);

        private double Judge(string what, CachedEngine engine, CacheSchedule schedule, string? figure)
        {
            if (!_judged.TryGetValue((engine, schedule.ToString()), out var found))
            {
                var (images, uncached) = (Make(engine, schedule), Uncached(engine));
                _judged[(engine, schedule.ToString())] = found = (TensorPrimitives.Distance(images, uncached) / TensorPrimitives.Norm(uncached), Accuracy(images));
            }
            var (error, accuracy) = found;
            report.Row(what, $"error {error:f4}", $"accuracy {accuracy:f3}", $"  {string.Join(' ', schedule.FullSteps(Steps))}");
            if (figure is not null)
            {
                report.Figure($"{Name}_{figure}_accuracy", accuracy);
                report.Figure($"{Name}_{figure}_error", error);
            }
            return error;
        }

        /// <summary>
        /// Schedules searched on other noise than they are judged on, beside every N, standing still and extrapolated, and the quadratic one of the whole grid that did
        /// best in the search.
        /// </summary>
        private void Search(CachedEngine engine)
        {
            var started = Stopwatch.GetTimestamp();
            var loop = engine.Loop(searchRows, CalibrationSeed);
            var search = new ScheduleSearch(loop, FewRows, longestReuse: 12, text => report.Line("    " + text), CancellationToken.None);
            foreach (var interval in (ReadOnlySpan<int>)[3, 5])
            {
                var every = CacheSchedule.Every(interval);
                var count = every.FullSteps(Steps).Count;
                var found = search.Best(count, SearchRuns);
                report.Line($"  searched {Stopwatch.GetElapsedTime(started).TotalSeconds:f0} s");
                var quadratic = ScheduleCandidates.Quadratic(Steps, count).Select(q => string.Join(' ', q.Full)).ToHashSet(StringComparer.Ordinal);
                var suffix = interval == 3 ? "" : $"_N{interval}";
                var uniform = Judge($"every {interval}, {count} full steps", engine, every, null);
                var line = Judge($"every {interval}, extrapolated", engine, every.Extrapolated(), null);
                var best = Judge("quadratic", engine, CacheSchedule.Explicit(search.Tried(count).First(t => quadratic.Contains(t.Schedule.Key)).Schedule.Full), null);
                var auto = Judge($"auto, extrapolated {found.Extrapolation} ({found.Error:f4} in search)", engine, CacheSchedule.Explicit(found.Full).Extrapolated(found.Extrapolation), null);
                report.Figure($"{Name}_cache_uniform_error{suffix}", uniform);
                report.Figure($"{Name}_cache_uniform_extrapolated_error{suffix}", line);
                report.Figure($"{Name}_cache_quadratic_error{suffix}", best);
                report.Figure($"{Name}_cache_auto_error{suffix}", auto);
                started = Stopwatch.GetTimestamp();
            }
        }

        /// <summary>int8 alone, every third step full alone, and both, against the uncached float loop, round after round.</summary>
        private void MeasureInt8(CachedEngine floats, string cut, bool speed)
        {
            using var engine = CachedEngine.Build(protocol, cut, "int8", scratch);
            var loops = Times(floats.Pipeline(null), engine.Pipeline(null), floats.Pipeline(CacheSchedule.Every(3)), engine.Pipeline(CacheSchedule.Every(3)), floats.Pipeline(CacheSchedule.Every(3).Extrapolated()));
            if (speed)
                ReportSpeed(floats, "", [loops[0], loops[2], loops[4]]);
            var (int8, cached, both) = (Ratio(loops[0], loops[1]), Ratio(loops[0], loops[2]), Ratio(loops[0], loops[3]));
            report.Row("against uncached float", "int8", "N = 3", "both", "of product");
            report.Row("", $"{int8:f2}x", $"{cached:f2}x", $"{both:f2}x", $"{both / (int8 * cached):f3}");
            report.Figure($"{Name}_int8_speedup", int8);
            report.Figure($"{Name}_cache_int8_N3_speedup", both);
            report.Figure($"{Name}_cache_int8_N3_of_product", both / (int8 * cached));
            Uncached(floats);
            Judge("int8, N = 3, against float", engine, CacheSchedule.Every(3), "cache_int8_N3");
            JudgePredictions(floats, engine);
        }

        /// <summary>
        /// SQNR of predictions against the float model's on the same samples, along each engine's own loop: of quantisation, of features up to two steps old, and of both
        /// beside what both would be if their errors were independent.
        /// </summary>
        private void JudgePredictions(CachedEngine floats, CachedEngine engine)
        {
            using var reference = ModelSession.Open(protocol.Path, new SessionSettings { Threads = Quantisation.Threads });
            var (quantised, cached, both) = (Sqnr(engine, 1), Sqnr(floats, 3), Sqnr(engine, 3));
            var independent = -10 * Math.Log10(Math.Pow(10, -quantised / 10) + Math.Pow(10, -cached / 10));
            report.Row("SQNR of predictions, dB", "int8", "N = 3", "both", "independent");
            report.Row("", $"{quantised:f1}", $"{cached:f1}", $"{both:f1}", $"{independent:f1}");
            report.Figure($"{Name}_int8_loop_sqnr", quantised);
            report.Figure($"{Name}_cache_N3_sqnr", cached);
            report.Figure($"{Name}_cache_int8_N3_sqnr", both);

            double Sqnr(CachedEngine measured, int interval)
            {
                var loop = measured.Loop(DiffusionProtocol.Classes, HeldOutSeed);
                return loop.Quality(reference, loop.Every(interval), CancellationToken.None).Min(quality => quality.SqnrDb);
            }
        }

        /// <summary>
        /// What does not depend on the sample, computed apart: steps at a timestep and on a prompt that were run before, and live steps at a timestep that was not.
        /// For one image and for many: what is hoisted does not grow with the pixels, but with the rows.
        /// </summary>
        private void MeasureHoist(CachedEngine plain, string cut)
        {
            const int FullRounds = 7, LiveRounds = 31, Least = 300;
            using var hoisted = CachedEngine.Build(protocol, cut, "none", scratch, hoist: true);
            report.Row("hoisted", "full ms", "hoisted ms", "live ms", "hoisted ms", "first ms");
            foreach (var images in (ReadOnlySpan<int>)[1, Images])
            {
                using var run = Begin(plain.Model, new CachePlan([true, false], false), images);
                using var hoistedRun = Begin(hoisted.Model, new CachePlan([true, false], false), images);
                // As many rounds again where they are short.
                var more = images == 1 ? 4 : 1;
                var full = Interleaved.Rounds(FullRounds * more, TimeSpan.Zero, Step(run, 0), Step(hoistedRun, 0)).Select(t => t.Min()).ToArray();
                float timestep = Least;
                var live = Interleaved.Rounds(LiveRounds * more, TimeSpan.Zero, Step(run, 1), Step(hoistedRun, 1), () => hoistedRun.Predict(1, timestep++, default)).Select(t => t.Min()).ToArray();
                report.Row($"{images} image{(images == 1 ? "" : "s")}", $"{full[0]:f2}", $"{full[1]:f2}", $"{live[0]:f2}", $"{live[1]:f2}", $"{live[2]:f2}");
                var many = images == 1 ? "" : $"_{images}";
                report.Figure($"{Name}_hoist_speedup{many}", full[0] / full[1]);
                report.Figure($"{Name}_live_hoist_speedup{many}", live[0] / live[1]);
                report.Figure($"{Name}_live_hoist_first_speedup{many}", live[0] / live[2]);
            }

            static Action Step(CachedDenoiserRun run, int step) => () => run.Predict(step, 200, default);
        }

        /// <summary>
        /// What a live step costs beside the run of its engine, over the time of that run. The first is measured on a model that computes next to nothing:
        /// no copy grows with the model.
        /// </summary>
        private void MeasureOverhead(CachedEngine engine)
        {
            const int Calls = 2000, Rounds = 15;
            var (_, liveMs) = StepTimes(engine);
            var folder = TinyCachedModel.Write(scratch.Folder($"{Name}-tiny"));
            using var model = QuantizedModel.Load(folder);
            using var run = model.CachedDenoiser(new CachePlan([true, false], false))!.Begin([1, 1], new Dictionary<string, ModelTensor>());
            run.Predict(0, 1, default);
            var live = run.Binding.Borrower(model.Live!);
            var times = Interleaved.Rounds(Rounds, TimeSpan.Zero, () => Repeat(() => run.Predict(1, 1, default)), () => Repeat(live.Run));
            var overheadMs = Math.Max(0, times[0].Min() - times[1].Min()) / Calls;
            report.Row("scheduling", "us a live step", "of it");
            report.Row("", $"{overheadMs * 1000:f2}", $"{overheadMs / liveMs:p4}");
            report.Figure(Name == "unet" ? "scheduling_overhead" : $"{Name}_scheduling_overhead", overheadMs / liveMs);

            static void Repeat(Action action)
            {
                for (var i = 0; i < Calls; i++)
                    action();
            }
        }
    }
}
