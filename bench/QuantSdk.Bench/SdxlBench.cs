using System.Globalization;
using System.Numerics.Tensors;
using QuantSdk.Onnx;
using QuantSdk.Runtime;

namespace QuantSdk.Bench;

/// <summary>
/// A UNet of SDXL's shape that <c>quantsdk cut</c> has divided, run as an app runs it: a guided loop of 30 steps with every Nth step full. On a GPU
/// where there is one.
/// </summary>
internal static class SdxlBench
{
    private const int Steps = 30, StepRounds = 7, LoopRounds = 2;
    private const float Guidance = 5, Timestep = 500;

    /// <summary>SDXL's own scheduler.</summary>
    private const string Scheduler = """
        { "_class_name": "EulerDiscreteScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000,
          "prediction_type": "epsilon", "steps_offset": 1, "timestep_spacing": "leading" }
        """;

    /// <param name="folder">model.onnx, live.onnx and their data, as <c>quantsdk cut -o FOLDER</c> writes them; gets a manifest.</param>
    /// <param name="settings"><c>images=N</c>, and options of the CUDA provider.</param>
    public static void Run(Report report, string folder, IReadOnlyList<string> settings)
    {
        var options = settings.Select(s => s.Split('=', 2)).ToDictionary(s => s[0], s => s[1], StringComparer.Ordinal);
        var images = options.Remove("images", out var number) ? int.Parse(number, CultureInfo.InvariantCulture) : 8;
        WriteManifest(folder);
        using var model = QuantizedModel.Load(Path.GetFullPath(folder), new QuantizedModelOptions { CudaOptions = options }, report.Line);
        // Figures bear no other name on other hardware: without a GPU there are none.
        new Subject(model, images, report, model.Target == CudaProvider.Target ? images == 8 ? "sdxl_" : $"sdxl_{images}images_" : null).Measure();
    }

    private static void WriteManifest(string folder)
    {
        var (full, live) = (Ports("model.onnx"), Ports("live.onnx"));
        IReadOnlyList<TensorInfo> cached = [.. live.Inputs.Where(i => full.Inputs.All(f => f.Name != i.Name))];
        string[] names = ["model.onnx", "model.data", "live.onnx"];
        var hashes = TreeHash.OfFiles([.. names.Select(n => Path.Combine(folder, n))], Environment.ProcessorCount);
        IReadOnlyList<EngineFile> files = [.. names.Zip(hashes, (n, hash) => new EngineFile(n, new FileInfo(Path.Combine(folder, n)).Length, hash))];
        var cache = new CachedVariant("live.onnx", null, cached);
        ManifestFile.Write(Path.Combine(folder, ManifestFile.Name), new Manifest
        {
            Name = "unet",
            ToolVersion = "bench",
            Precision = "none",
            RecipeHash = "00",
            Inputs = full.Inputs,
            Outputs = live.Outputs,
            Roles = new DiffusionRoles("sample", "timestep", 1),
            Variants = [new EngineVariant(CudaProvider.Target, "model.onnx", null, [], files, cache), new EngineVariant("cpu", "model.onnx", null, [], files, cache)],
            Cache = new CacheInfo("up_blocks.2", []),
        });

        (IReadOnlyList<TensorInfo> Inputs, IReadOnlyList<TensorInfo> Outputs) Ports(string file)
        {
            var graph = OnnxFile.LoadHeaders(Path.Combine(folder, file)).Graph;
            return ([.. new GraphView(graph).Inputs.Select(Info)], [.. graph.Output.Select(Info)]);
        }

        static TensorInfo Info(ValueInfoProto value) =>
            new(value.Name, ElementType.Name(value.Type.TensorType.ElemType), [.. value.Type.TensorType.Shape.Dim.Select(d => d.HasDimValue ? d.DimValue : -1)]);
    }

    /// <param name="prefix">Of the figures; null for none.</param>
    private sealed class Subject(QuantizedModel model, int images, Report report, string? prefix)
    {
        private IEnumerable<long> SampleShape => model.Inputs.Single(i => i.Name == "sample").Shape.Skip(1);

        public void Measure()
        {
            report.Line($"  {images} images, {2 * images} rows a step; cached: {string.Join(", ", model.Cached.Select(t => $"{t.Name} {t.Type}[{string.Join(',', t.Shape)}]"))}");
            var (full, live) = MeasureStep();
            MeasureLoops(full, live);
        }

        private (double Full, double Live) MeasureStep()
        {
            using var run = model.CachedDenoiser(new CachePlan([false, false], false))!.Begin([2 * images, .. SampleShape], Prompts(1).Batch(images, guided: true));
            var row = TorchRandom.Normal(1, [1, .. SampleShape]).AsSpan<float>();
            for (var i = 0; i < 2 * images; i++)
                row.CopyTo(run.Sample[(i * row.Length)..]);
            var whole = run.Predict(0, Timestep, default).ToArray();
            var part = run.Predict(1, Timestep, default).ToArray();
            // All rows are asked for the same: kernels that lose count in tensors of more than 2^31 elements show.
            var rows = whole.Chunk(row.Length).Max(r => Difference(r, whole.AsSpan(0, r.Length)));
            var binding = run.Binding.Borrower(model.Live!);
            var times = Interleaved.Rounds(StepRounds, TimeSpan.Zero, run.Binding.Run, binding.Run);
            var (full, live) = (Interleaved.Median(times[0]), Interleaved.Median(times[1]));
            report.Row("a step", "full ms", "live ms", "live/full", "live - full", "rows differ");
            report.Row("", $"{full:f1}", $"{live:f2}", $"{live / full:p2}", $"{Difference(part, whole):e1}", $"{rows:e1}");
            Figure("full_ms", full);
            Figure("live_ms", live);
            Figure("live_difference", Difference(part, whole));
            return (full, live);
        }

        /// <summary>Whole loops: sampler, guidance, copies to and from the GPU.</summary>
        private void MeasureLoops(double full, double live)
        {
            int[] intervals = [1, 2, 3, 5];
            var (latents, prompts, sampler) = (TorchRandom.NormalRows(1, [images, .. SampleShape]), Prompts(images), Sampler.FromJson(Scheduler));
            var times = Interleaved.Rounds(LoopRounds, TimeSpan.Zero,
                [.. intervals.Select<int, Action>(n => () => new DiffusionPipeline(model, sampler) { Cache = n == 1 ? null : CacheSchedule.Every(n) }.Run(latents, prompts, Steps, Guidance))]);
            report.Row($"{Steps} steps", "N", "s", "images/s", "speedup", "bound");
            foreach (var (n, seconds) in intervals.Zip(times, (n, t) => (n, t.Min() / 1000)))
            {
                var fullSteps = CacheSchedule.Every(n).FullSteps(Steps).Count;
                var speedup = times[0].Min() / 1000 / seconds;
                report.Row("", $"{n}", $"{seconds:f2}", $"{images / seconds:f3}", $"{speedup:f2}x", $"{Steps / (fullSteps + (Steps - fullSteps) * live / full):f2}x");
                Figure($"N{n}_images_per_s", images / seconds);
                if (n > 1)
                    Figure($"N{n}_speedup", speedup);
            }
        }

        private Conditioning Prompts(int rows)
        {
            return new Conditioning(Random(2), Random(rows == 1 ? 2 : 3));

            Dictionary<string, ModelTensor> Random(long seed) => model.Inputs.Where(i => i.Name is not ("sample" or "timestep")).ToDictionary(i => i.Name, i =>
            {
                var values = TorchRandom.Normal(seed, [rows, .. i.Shape.Skip(1)]).AsSpan<float>();
                if (i.Type == "float")
                    return ModelTensor.Create(values, [rows, .. i.Shape.Skip(1)]);
                var halves = new Half[values.Length];
                TensorPrimitives.ConvertToHalf(values, halves);
                return ModelTensor.Create(halves, [rows, .. i.Shape.Skip(1)]);
            });
        }

        private void Figure(string name, double value)
        {
            if (prefix is not null)
                report.Figure(prefix + name, value);
        }

        private static double Difference(ReadOnlySpan<float> a, ReadOnlySpan<float> reference) => TensorPrimitives.Distance(a, reference) / TensorPrimitives.Norm(reference);
    }
}
