using System.Diagnostics;
using System.Globalization;
using Digits;
using QuantSdk.Runtime;

// The build has already made the engines: this program only loads and runs them.
const int Images = 100, Batch = 20, Steps = 30, TimedSteps = 5;
const float Guidance = 2;
CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;

using var unet = QuantizedModel.Load("models/unet", log: Console.WriteLine);
using var unetFloat = QuantizedModel.Load("models/unet-float");
using var classifier = QuantizedModel.Load("models/digits_cnn");
using var classifierFloat = QuantizedModel.Load("models/digits_cnn-float");
using var encoder = QuantizedModel.Load("models/prompt_encoder");
var sampler = Sampler.FromConfig("scheduler/scheduler_config.json");

// 100 digits, 0 to 9 ten times over, in batches.
var labels = Enumerable.Range(0, Images).Select(i => (long)(i % 10)).ToArray();
var pictures = new float[Images * 32 * 32];
for (var start = 0; start < Images; start += Batch)
{
    var images = new DiffusionPipeline(unet, sampler).Run(Noise(start), Prompt(labels.AsSpan(start, Batch)), Steps, Guidance);
    images.AsSpan<float>().CopyTo(pictures.AsSpan(start * 32 * 32));
    Console.WriteLine($"{start + Batch} of {Images} digits");
}
PngFile.WriteGrid("digits.png", pictures, columns: 10, size: 32);
Console.WriteLine($"wrote {Path.GetFullPath("digits.png")}");

// One step of the same batch, float and int8 in turn, so that a busy machine slows both.
var (floatMs, int8Ms) = Time();
var generated = Accuracy(classifierFloat, pictures, labels);
var test = NpzFile.Read(Path.Combine(AppContext.BaseDirectory, "data", "digits_test.npz"));
var testImages = Array.ConvertAll(test["image"], b => b / 127.5f - 1);
var testLabels = Array.ConvertAll(test["label"], b => (long)b);
var (testInt8, testFloat) = (Accuracy(classifier, testImages, testLabels), Accuracy(classifierFloat, testImages, testLabels));
var folder = Path.Combine(AppContext.BaseDirectory, "models", "unet");
long floatBytes = unet.Manifest.FloatBytes, engineBytes = Bytes(folder, "cpu/model.onnx", "cpu/model.data"), shippedBytes = Bytes(folder, [.. Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories)]);
var sqnr = unet.Manifest.Quality[0].SqnrDb;

Console.WriteLine($"""

    |                                                  |    float |     int8 |
    |--------------------------------------------------|---------:|---------:|
    | UNet: model.onnx + model.data, MB                | {floatBytes / 1e6,8:f2} | {engineBytes / 1e6,8:f2} |
    | UNet: everything shipped, MB                     |          | {shippedBytes / 1e6,8:f2} |
    | UNet: ms a step, batch {2 * Batch} with guidance            | {floatMs,8:f1} | {int8Ms,8:f1} |
    | UNet: SQNR on held-out noise, dB                 |          | {sqnr,8:f1} |
    | generated digits recognised by the classifier    |          | {generated,8:f3} |
    | classifier: accuracy on {testLabels.Length} test images         | {testFloat,8:f3} | {testInt8,8:f3} |

    figure digits_accuracy_int8 {generated:f4}
    figure classifier_accuracy_int8 {testInt8:f4}
    figure unet_size_ratio {(double)engineBytes / floatBytes:f4}
    figure unet_shipped_ratio {(double)shippedBytes / floatBytes:f4}
    figure unet_step_speedup {floatMs / int8Ms:f3}
    """);

// Torch's CPU random numbers: the same seed gives the same digit as in Python.
static ModelTensor Noise(int firstSeed)
{
    var noise = new float[Batch * 32 * 32];
    for (var row = 0; row < Batch; row++)
        TorchRandom.Normal(1000 + firstSeed + row, noise.AsSpan(row * 32 * 32, 32 * 32));
    return ModelTensor.Create(noise, Batch, 1, 32, 32);
}

Conditioning Prompt(ReadOnlySpan<long> digits)
{
    const long Nothing = 10;
    var timeIds = ModelTensor.Create([32f, 32, 0, 0, 32, 32], 1, 6);
    return new Conditioning(Encode(digits.ToArray()), Encode([.. Enumerable.Repeat(Nothing, digits.Length)]));

    Dictionary<string, ModelTensor> Encode(long[] label) =>
        new(encoder.Run(new Dictionary<string, ModelTensor> { ["label"] = ModelTensor.Create(label, label.Length) })) { ["time_ids"] = timeIds };
}

(double Float, double Int8) Time()
{
    var prompt = Prompt(labels.AsSpan(0, Batch));
    var (floats, int8s) = (new List<double>(), new List<double>());
    Step(unetFloat);
    Step(unet);
    for (var i = 0; i < TimedSteps; i++)
    {
        floats.Add(Step(unetFloat));
        int8s.Add(Step(unet));
    }
    return (floats.Order().ElementAt(TimedSteps / 2), int8s.Order().ElementAt(TimedSteps / 2));

    double Step(QuantizedModel model)
    {
        var started = Stopwatch.GetTimestamp();
        new DiffusionPipeline(model, sampler).Run(Noise(0), prompt, steps: 1, Guidance);
        return Stopwatch.GetElapsedTime(started).TotalMilliseconds;
    }
}

static double Accuracy(QuantizedModel model, float[] images, long[] labels)
{
    var logits = model.Run(new Dictionary<string, ModelTensor> { ["image"] = ModelTensor.Create(images, labels.Length, 1, 32, 32) })["logits"];
    var right = 0;
    for (var i = 0; i < labels.Length; i++)
    {
        var row = logits.AsSpan<float>().Slice(i * 10, 10);
        right += System.Numerics.Tensors.TensorPrimitives.IndexOfMax(row) == labels[i] ? 1 : 0;
    }
    return (double)right / labels.Length;
}

static long Bytes(string folder, params IEnumerable<string> files) => files.Sum(f => new FileInfo(Path.Combine(folder, f)).Length);
