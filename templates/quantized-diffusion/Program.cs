using Digits;
using QuantSdk.Runtime;

// Draws digits and writes digits.png. Usage: dotnet run -- [DIGITS], such as 0123456789 or 4711.
var digits = args.Length > 0 ? args[0] : "0123456789";
if (!digits.All(char.IsAsciiDigit) || digits.Length is 0 or > 100)
{
    Console.Error.WriteLine($"'{digits}' is not a row of 1 to 100 digits.");
    return 1;
}

// The build has made the engines; this program only loads and runs them.
using var unet = QuantizedModel.Load("models/unet", log: Console.WriteLine);
using var encoder = QuantizedModel.Load("models/prompt_encoder");
var sampler = Sampler.FromConfig("models/unet/scheduler_config.json");

const int Size = 32;
const long NoDigit = 10; // what the model knows as an empty prompt
var labels = digits.Select(d => (long)(d - '0')).ToArray();
var conditioning = new Conditioning(Encode(labels), Encode([.. labels.Select(_ => NoDigit)]));

// Torch's CPU random numbers: a seed gives the digit that it gives in Python.
var noise = new float[labels.Length * Size * Size];
for (var i = 0; i < labels.Length; i++)
    TorchRandom.Normal(i, noise.AsSpan(i * Size * Size, Size * Size));

var pictures = new DiffusionPipeline(unet, sampler).Run(ModelTensor.Create(noise, labels.Length, 1, Size, Size), conditioning, steps: 30, guidanceScale: 2);
PngFile.WriteGrid("digits.png", pictures.AsSpan<float>(), columns: labels.Length, size: Size);
Console.WriteLine($"wrote {Path.GetFullPath("digits.png")}");
return 0;

Dictionary<string, ModelTensor> Encode(long[] label) =>
    new(encoder.Run(new Dictionary<string, ModelTensor> { ["label"] = ModelTensor.Create(label, label.Length) }))
    {
        // Size, crop and target size, as SDXL has them.
        ["time_ids"] = ModelTensor.Create([(float)Size, Size, 0, 0, Size, Size], 1, 6),
    };
