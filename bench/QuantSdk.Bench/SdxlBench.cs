using System.Globalization;
using System.Numerics.Tensors;
using QuantSdk.Calibration;
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

    /// <summary>Relative L2 difference of a row from PyTorch's, beyond which it is no rounding of half precision.</summary>
    private const double LargestError = 0.05;

    /// <summary>SDXL's own scheduler.</summary>
    private const string Scheduler = """
        { "_class_name": "EulerDiscreteScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000,
          "prediction_type": "epsilon", "steps_offset": 1, "timestep_spacing": "leading" }
        """;

    /// <param name="folder">model.onnx, live.onnx and their data, as <c>quantsdk cut -o FOLDER</c> writes them; gets a manifest. Beside it PyTorch's reference.</param>
    /// <param name="settings"><c>images=N</c>, and options of the CUDA provider.</param>
    public static void Run(Report report, string folder, IReadOnlyList<string> settings)
    {
        var options = settings.Select(s => s.Split('=', 2)).ToDictionary(s => s[0], s => s[1], StringComparer.Ordinal);
        var images = options.Remove("images", out var number) ? int.Parse(number, CultureInfo.InvariantCulture) : 8;
        WriteManifest(folder);
        using var model = QuantizedModel.Load(Path.GetFullPath(folder), new QuantizedModelOptions { CudaOptions = options }, report.Line);
        var reference = Directory.EnumerateFiles(Path.Combine(Path.GetFullPath(folder), "..", "reference"), "*.npy").ToDictionary(f => Path.GetFileNameWithoutExtension(f), f => Rows(f, 2 * images));
        new Subject(model, images, reference, report).Measure();
    }

    /// <summary>As many rows as asked for of an array, from the first again after the last.</summary>
    private static ModelTensor Rows(string file, int rows)
    {
        using var stream = File.OpenRead(file);
        var array = NpyFile.Read(stream, stream.Length, file, file);
        var bytes = new byte[rows * array.RowBytes];
        for (var i = 0; i < rows; i++)
            array.Data.Span.Slice((int)(i % array.Rows) * array.RowBytes, array.RowBytes).CopyTo(bytes.AsSpan(i * array.RowBytes));
        return ModelTensor.FromBytes(TensorType.Of(ElementType.Name((int)array.Type))!, [rows, .. array.Shape.Skip(1)], bytes);
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

    /// <param name="reference">Inputs, and what PyTorch predicts for them, at <see cref="Timestep"/>.</param>
    private sealed class Subject(QuantizedModel model, int images, IReadOnlyDictionary<string, ModelTensor> reference, Report report)
    {
        // Figures bear no other name on other hardware: without a GPU there are none.
        private readonly string? _prefix = model.Target == CudaProvider.Target ? images == 8 ? "sdxl_" : $"sdxl_{images}images_" : null;

        private IEnumerable<long> SampleShape => model.Inputs.Single(i => i.Name == "sample").Shape.Skip(1);

        public void Measure()
        {
            report.Line($"  {images} images, {2 * images} rows a step; cached: {string.Join(", ", model.Cached.Select(t => $"{t.Name} {t.Type}[{string.Join(',', t.Shape)}]"))}");
            if (MeasureStep() is { } step)
                MeasureLoops(step.Full, step.Live);
        }

        /// <summary>Milliseconds of a step; null where what it computes is wrong.</summary>
        private (double Full, double Live)? MeasureStep()
        {
            using var run = model.CachedDenoiser(new CachePlan([false, false], false))!.Begin(
                [2 * images, .. SampleShape], reference.Where(r => model.Inputs.Any(i => i.Name == r.Key && IsConditioning(i))).ToDictionary());
            Floats(reference["sample"]).CopyTo(run.Sample);
            var whole = run.Predict(0, Timestep, default).ToArray();
            var part = run.Predict(1, Timestep, default).ToArray();
            var length = whole.Length / (2 * images);
            var error = whole.Chunk(length).Zip(Floats(reference["noise_pred"]).Chunk(length), (row, torch) => Difference(row, torch)).Max();
            var binding = run.Binding.Borrower(model.Live!);
            var times = Interleaved.Rounds(StepRounds, TimeSpan.Zero, run.Binding.Run, binding.Run);
            var (full, live) = (Interleaved.Median(times[0]), Interleaved.Median(times[1]));
            report.Row("a step", "full ms", "live ms", "live/full", "live - full", "- PyTorch's");
            report.Row("", $"{full:f1}", $"{live:f2}", $"{live / full:p2}", $"{Difference(part, whole):e1}", $"{error:e1}");
            if (!(error <= LargestError))
            {
                report.Line($"  A row is off by {error:p0} from what PyTorch predicts: some kernel loses count in tensors this large (attention has rows x heads x tokens^2 elements). No figures.");
                return null;
            }
            Figure("error", error);
            Figure("full_ms", full);
            Figure("live_ms", live);
            Figure("live_difference", Difference(part, whole));
            return (full, live);
        }

        /// <summary>Whole loops: sampler, guidance, copies to and from the GPU.</summary>
        private void MeasureLoops(double full, double live)
        {
            int[] intervals = [1, 2, 3, 5];
            var (latents, prompts, sampler) = (TorchRandom.NormalRows(1, [images, .. SampleShape]), Prompts(), Sampler.FromJson(Scheduler));
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

        /// <summary>The first half of the reference's rows, and as the unconditional ones the second.</summary>
        private Conditioning Prompts()
        {
            return new Conditioning(Part(0), Part(1));

            Dictionary<string, ModelTensor> Part(int part) => model.Inputs.Where(IsConditioning).ToDictionary(i => i.Name, i =>
            {
                var bytes = reference[i.Name].Bytes;
                return ModelTensor.FromBytes(reference[i.Name].ElementType, [images, .. i.Shape.Skip(1)], bytes.Slice(part * bytes.Length / 2, bytes.Length / 2));
            });
        }

        private static bool IsConditioning(TensorInfo input) => input.Name is not ("sample" or "timestep");

        private static float[] Floats(ModelTensor tensor)
        {
            if (tensor.Type == "float")
                return tensor.AsSpan<float>().ToArray();
            var floats = new float[tensor.Count];
            TensorPrimitives.ConvertToSingle(tensor.AsSpan<Half>(), floats);
            return floats;
        }

        private void Figure(string name, double value)
        {
            if (_prefix is not null)
                report.Figure(_prefix + name, value);
        }

        private static double Difference(ReadOnlySpan<float> a, ReadOnlySpan<float> reference) => TensorPrimitives.Distance(a, reference) / TensorPrimitives.Norm(reference);
    }
}
