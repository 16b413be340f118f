using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using QuantSdk.Engines;
using QuantSdk.Runtime;
using QuantSdk.Serving;
using TritonClient;

namespace QuantSdk.Tests.Serving;

/// <summary>The sample's client against a server over the repository: engines of real builds, the protocol on a socket.</summary>
[TestClass]
public sealed class ServedDiffusionTests
{
    private const int Images = 2, Steps = 7;

    private static TempFolder? s_folder;
    private static KServeServer? s_server;

    private static TempFolder Folder => s_folder!;

    private static KServeServer Server => s_server!;

    [ClassInitialize]
    public static void Build(TestContext _)
    {
        s_folder = new TempFolder();
        Build("unet", ("Precision", "none"), ("Cache", "output:up_blocks.2.resnets.1"), ("Prepacked", "false"));
        Build("prompt_encoder", ("Precision", "none"));
        Build("digits_cnn", ("Precision", "int8"), ("CalibrationData", "random"));
        TritonRepository.Write([Folder["unet"], Folder["prompt_encoder"], Folder["digits_cnn"]], Folder["repository"], new TritonOptions());
        s_server = new KServeServer(Folder["repository"]);

        static void Build(string name, params (string Name, string Value)[] metadata) =>
            ModelBuilder.Build(new BuildRequest(name, Repository.Digits($"{name}.onnx"), Folder.Path, Folder[name], null, 2, metadata.ToDictionary(m => m.Name, m => m.Value), null), new SilentLog(), default);
    }

    [ClassCleanup]
    public static void CleanUp()
    {
        s_server?.Dispose();
        s_folder?.Dispose();
    }

    [TestMethod]
    [DataRow(false), DataRow(true)]
    public void Images_are_those_of_a_local_run(bool cached)
    {
        var schedule = cached ? CacheSchedule.Every(3) : null;
        var sampler = Sampler.FromConfig(Repository.Digits("scheduler/scheduler_config.json"));
        using var client = new InferenceClient(Server.Url);
        var latents = TorchNoise.Rows(Enumerable.Range(0, Images).Select(i => 1000L + i)).Normal(Images, 1, 32, 32);
        Server.Runs.Clear();
        var prompts = new Conditioning(Remote(3, 8), Remote(10));
        var served = new DiffusionPipeline(new RemoteDenoiser(client, "unet", schedule, Steps), sampler).Run(latents, prompts, Steps, 2);
        Assert.AreEqual(cached ? 3 : Steps, Server.Runs["unet"]);
        Assert.AreEqual(cached ? 4 : 0, Server.Runs.GetValueOrDefault("unet_live"));

        using var unet = QuantizedModel.Load(Folder["unet"], new QuantizedModelOptions { Threads = 2 });
        using var encoder = QuantizedModel.Load(Folder["prompt_encoder"], new QuantizedModelOptions { Threads = 2 });
        var own = new Conditioning(Local(3, 8), Local(10));
        var local = new DiffusionPipeline(unet, sampler) { Cache = schedule }.Run(latents, own, Steps, 2);
        CollectionAssert.AreEqual(local.AsSpan<float>().ToArray(), served.AsSpan<float>().ToArray(), "bit for bit");

        // What a model takes as [rows], a server that joins requests takes as [rows, 1].
        Dictionary<string, ModelTensor> Remote(params long[] labels) => WithTimeIds(client.Infer("prompt_encoder", new Dictionary<string, ModelTensor> { ["label"] = ModelTensor.Create(labels, labels.Length, 1) }, ["encoder_hidden_states", "text_embeds"]));
        Dictionary<string, ModelTensor> Local(params long[] labels) => WithTimeIds(encoder.Run(new Dictionary<string, ModelTensor> { ["label"] = ModelTensor.Create(labels, labels.Length) }));
        static Dictionary<string, ModelTensor> WithTimeIds(IReadOnlyDictionary<string, ModelTensor> prompts) => new(prompts) { ["time_ids"] = ModelTensor.Create([32f, 32, 0, 0, 32, 32], 1, 6) };
    }

    [TestMethod]
    public void Json_tensors_give_what_binary_ones_do()
    {
        using var client = new InferenceClient(Server.Url);
        var image = Enumerable.Range(0, 2 * 32 * 32).Select(i => MathF.Sin(i)).ToArray();
        var metadata = client.Metadata("digits_cnn");
        var (input, output) = (metadata["inputs"]![0]!, metadata["outputs"]![0]!["name"]!.GetValue<string>());
        Assert.AreEqual("[-1,1,32,32]", input["shape"]!.ToJsonString());
        using var local = QuantizedModel.Load(Folder["digits_cnn"], new QuantizedModelOptions { Threads = 2 });
        var own = local.Run(new Dictionary<string, ModelTensor> { [input["name"]!.GetValue<string>()] = ModelTensor.Create(image, 2, 1, 32, 32) })[output];
        var binary = client.Infer("digits_cnn", new Dictionary<string, ModelTensor> { [input["name"]!.GetValue<string>()] = ModelTensor.Create(image, 2, 1, 32, 32) }, [output])[output];
        CollectionAssert.AreEqual(own.AsSpan<float>().ToArray(), binary.AsSpan<float>().ToArray());
        using var http = new HttpClient();
        var request = new JsonObject { ["inputs"] = new JsonArray(new JsonObject { ["name"] = input["name"]!.DeepClone(), ["datatype"] = "FP32", ["shape"] = new JsonArray(2, 1, 32, 32), ["data"] = new JsonArray([.. image.Select(v => JsonValue.Create(v))]) }) };
        using var content = new StringContent(request.ToJsonString(), Encoding.UTF8, "application/json");
        var answer = JsonNode.Parse(http.PostAsync(new Uri(Server.Url, "v2/models/digits_cnn/infer"), content).Result.Content.ReadAsStringAsync().Result)!;
        CollectionAssert.AreEqual(binary.AsSpan<float>().ToArray(), answer["outputs"]![0]!["data"]!.AsArray().Select(v => v!.GetValue<float>()).ToArray());
    }

    [TestMethod]
    public void The_servers_refusals_reach_the_app()
    {
        using var client = new InferenceClient(Server.Url);
        Dictionary<string, ModelTensor> Image(params long[] shape) => new() { ["image"] = ModelTensor.Create(new float[shape.Aggregate(1L, (a, b) => a * b)], shape) };
        Refuses(HttpStatusCode.NotFound, "unknown model", () => client.Metadata("nothing"));
        Refuses(HttpStatusCode.BadRequest, "batch-size must be ", () => client.Infer("digits_cnn", Image(9, 1, 32, 32), ["logits"]));
        Refuses(HttpStatusCode.BadRequest, "unexpected shape", () => client.Infer("digits_cnn", Image(1, 1, 32, 31), ["logits"]));
        Refuses(HttpStatusCode.BadRequest, "unexpected inference input", () => client.Infer("digits_cnn", new Dictionary<string, ModelTensor> { ["picture"] = Image(1, 1, 32, 32)["image"] }, ["logits"]));

        static void Refuses(HttpStatusCode status, string reason, Action action)
        {
            var error = Assert.ThrowsExactly<HttpRequestException>(action);
            Assert.AreEqual(status, error.StatusCode);
            Assert.Contains(reason, error.Message);
        }
    }
}
