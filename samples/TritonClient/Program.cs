using System.Globalization;
using System.Numerics.Tensors;
using Digits;
using QuantSdk.Runtime;
using TritonClient;

// The diffusion loop in a client, its models on a Triton server: a guided batch goes there at each step, and features come back at full ones.
//   dotnet publish -t:PublishTritonRepository -p:QuantSdkTritonRepository=repository      (this project)
//   tritonserver --model-repository=repository
//   dotnet run -- http://localhost:8000
// As many as a server joins to one batch where nothing else is said.
const int Images = 8, Steps = 30;
const float Guidance = 2;
CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;

if (args is not [var url])
{
    Console.WriteLine("usage: TritonClient URL, such as http://localhost:8000 (see docs/triton.md)");
    return;
}
using var client = new InferenceClient(new Uri(url));
var sampler = Sampler.FromConfig("scheduler_config.json");
// Torch's CPU random numbers: image i is the same in Python.
var latents = TorchNoise.Rows(Enumerable.Range(0, Images).Select(i => 1000L + i)).Normal(Images, 1, 32, 32);
const long Nothing = 10;
var prompts = new Conditioning(Encode([.. Enumerable.Range(0, Images).Select(i => (long)i)]), Encode([Nothing]));

var schedule = CacheSchedule.Every(3);
var progress = new Progress<DiffusionProgress>();
var started = TimeProvider.System.GetTimestamp();
var images = new DiffusionPipeline(new RemoteDenoiser(client, "unet", schedule, Steps), sampler).Run(latents, prompts, Steps, Guidance, progress);
Console.WriteLine($"{Images} images, {Steps} steps, full {schedule}: {TimeProvider.System.GetElapsedTime(started).TotalSeconds:f2} s on {url}");
PngFile.WriteGrid("images.png", images.AsSpan<float>().ToArray(), columns: Images, size: 32);
Console.WriteLine($"wrote {Path.GetFullPath("images.png")}");

// The same on this machine.
using var local = QuantizedModel.Load("models/unet", log: Console.WriteLine);
var own = new DiffusionPipeline(local, sampler) { Cache = schedule }.Run(latents, prompts, Steps, Guidance).AsSpan<float>();
Console.WriteLine($"relative distance to a local run: {TensorPrimitives.Distance(images.AsSpan<float>(), own) / TensorPrimitives.Norm(own):e2}");

// What the model takes as [rows], a server that joins requests takes as [rows, 1].
Dictionary<string, ModelTensor> Encode(long[] labels) => new(client.Infer("prompt_encoder", new Dictionary<string, ModelTensor> { ["label"] = ModelTensor.Create(labels, labels.Length, 1) }, ["encoder_hidden_states", "text_embeds"]))
{
    ["time_ids"] = ModelTensor.Create([32f, 32, 0, 0, 32, 32], 1, 6),
};
