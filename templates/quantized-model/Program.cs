using Digits;
using QuantSdk.Runtime;

// The build has made the engine; this program only loads and runs it. Its inputs and outputs:
using var model = QuantizedModel.Load("models/digits_cnn", log: Console.WriteLine);
foreach (var input in model.Manifest.Inputs) Console.WriteLine($"input {input.Name}");
foreach (var output in model.Manifest.Outputs) Console.WriteLine($"output {output.Name}");

var test = NpzFile.Read(Path.Combine(AppContext.BaseDirectory, "models", "digits_test.npz"));
var images = Array.ConvertAll(test["image"], b => b / 127.5f - 1);
var labels = test["label"];

var logits = model.Run(new Dictionary<string, ModelTensor> { ["image"] = ModelTensor.Create(images, labels.Length, 1, 32, 32) })["logits"].AsSpan<float>();
var right = 0;
for (var i = 0; i < labels.Length; i++)
{
    var row = logits.Slice(i * 10, 10);
    var best = 0;
    for (var digit = 1; digit < 10; digit++)
        if (row[digit] > row[best]) best = digit;
    if (best == labels[i]) right++;
}
Console.WriteLine($"{right} of {labels.Length} digits recognised");
