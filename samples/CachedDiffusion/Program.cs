using System.Globalization;
using System.Numerics.Tensors;
using CachedDiffusion;
using Digits;
using QuantSdk.Runtime;

// The build has cut both models: this program runs them with more and fewer full steps, and shows what that saves and what it costs.
const int Images = 10, Rounds = 2;
const float Guidance = 2;
CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;

Show("unet", steps: 30, new Dictionary<string, ModelTensor> { ["time_ids"] = ModelTensor.Create([32f, 32, 0, 0, 32, 32], 1, 6) });
Show("transformer", steps: 28, []);

static void Show(string name, int steps, Dictionary<string, ModelTensor> constants)
{
    using var model = QuantizedModel.Load($"models/{name}", log: Console.WriteLine);
    using var encoder = QuantizedModel.Load($"models/{name}_prompts");
    var sampler = Sampler.FromConfig($"{name}/scheduler_config.json");
    (string Name, CacheSchedule? Schedule)[] variants =
    [
        ("every step full", null),
        ("every 2nd", CacheSchedule.Every(2)),
        ("every 3rd", CacheSchedule.Every(3)),
        ("every 3rd, extrapolated", CacheSchedule.Every(3).Extrapolated()),
        ("quadratic, a third", CacheSchedule.Quadratic((steps + 2) / 3, steps / 3, 1.4)),
        ("searched, a third", CacheSchedule.Built(3)),
        ("every 5th", CacheSchedule.Every(5)),
        ("searched, a fifth", CacheSchedule.Built(5)),
    ];

    // Torch's CPU random numbers: image i is the same in Python.
    var latents = TorchNoise.Rows(Enumerable.Range(0, Images).Select(i => 1000L + i)).Normal(Images, 1, 32, 32);
    const long Nothing = 10;
    var prompts = new Conditioning(Encode([.. Enumerable.Range(0, Images).Select(i => (long)i)]), Encode([Nothing]));

    var images = new ModelTensor[variants.Length];
    var full = new int[variants.Length];
    var seconds = Enumerable.Repeat(double.MaxValue, variants.Length).ToArray();
    // In turn, so that a busy machine slows all alike; the least of some rounds counts.
    for (var round = 0; round < Rounds; round++)
    {
        for (var i = 0; i < variants.Length; i++)
        {
            var progress = new LastProgress();
            images[i] = new DiffusionPipeline(model, sampler) { Cache = variants[i].Schedule }.Run(latents, prompts, steps, Guidance, progress);
            (seconds[i], full[i]) = (Math.Min(seconds[i], progress.Value.Elapsed.TotalSeconds), progress.FullSteps);
            if (round == 0)
                Console.WriteLine($"  {variants[i].Name,-24} {progress.Steps}");
        }
    }

    // One strip of images a schedule, and all of them in a plot.
    var reference = images[0].AsSpan<float>();
    var points = new List<PlotPoint>();
    Console.WriteLine($"""

        | {name,-24} | full steps | speed-up | change of the images |
        |--------------------------|-----------:|---------:|---------------------:|
        """);
    for (var i = 0; i < variants.Length; i++)
    {
        var values = images[i].AsSpan<float>();
        var (speedup, change) = (seconds[0] / seconds[i], TensorPrimitives.Distance(values, reference) / TensorPrimitives.Norm(reference));
        Console.WriteLine($"| {variants[i].Name,-24} | {full[i],10} | {speedup,8:f2} | {change,20:f4} |");
        points.Add(new PlotPoint(variants[i].Name, speedup, change));
    }
    PngFile.WriteGrid($"{name}.png", [.. images.SelectMany(tensor => tensor.AsSpan<float>().ToArray())], columns: Images, size: 32);
    SvgPlot.Write($"{name}.svg", $"{name}, {steps} steps", points, $"{name}.png", Images);
    Console.WriteLine($"\nwrote {Path.GetFullPath($"{name}.png")} and {Path.GetFullPath($"{name}.svg")}\n");

    Dictionary<string, ModelTensor> Encode(long[] labels) =>
        new(encoder.Run(new Dictionary<string, ModelTensor> { ["label"] = ModelTensor.Create(labels, labels.Length) }).Concat(constants));
}
