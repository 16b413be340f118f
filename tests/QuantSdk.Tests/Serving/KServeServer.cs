using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using QuantSdk.Runtime;

namespace QuantSdk.Tests.Serving;

/// <summary>
/// A small inference server: the KServe v2 protocol over HTTP with JSON and binary tensors, over ONNX models of a Triton repository. It checks requests against
/// config.pbtxt as Triton does: names, types, dimensions, and the batch.
/// </summary>
internal sealed class KServeServer : IDisposable
{
    private const string JsonLength = "Inference-Header-Content-Length";

    private readonly HttpListener _listener = new();
    private readonly Dictionary<string, (JsonObject Config, ModelSession Session)> _models = [];
    private readonly Task _loop;

    public KServeServer(string repository)
    {
        foreach (var folder in Directory.GetDirectories(repository))
        {
            var config = TextProtoParser.Parse(File.ReadAllText(Path.Combine(folder, "config.pbtxt")));
            if (config["name"]!.GetValue<string>() != Path.GetFileName(folder))
                throw new FormatException($"{folder}: the name in its configuration is another one");
            if (config["platform"]!.GetValue<string>() != "onnxruntime_onnx")
                throw new NotSupportedException(folder);
            // The latest version; the model is a file or a folder of that name.
            var version = Directory.GetDirectories(folder).Select(d => Path.GetFileName(d)!).Where(n => n.All(char.IsAsciiDigit) && n[0] != '0').Max(n => int.Parse(n, CultureInfo.InvariantCulture));
            var model = Path.Combine(folder, $"{version}", "model.onnx");
            if (Directory.Exists(model))
                model = Path.Combine(model, "model.onnx");
            var session = ModelSession.Open(model, new SessionSettings { Threads = 2 });
            _models[Path.GetFileName(folder)] = (config, session);
            Check(config, "input", session.Inputs);
            Check(config, "output", session.Outputs);
        }
        using (var probe = new TcpListener(IPAddress.Loopback, 0))
        {
            probe.Start();
            Url = new Uri($"http://127.0.0.1:{((IPEndPoint)probe.LocalEndpoint).Port}/");
        }
        _listener.Prefixes.Add(Url.ToString());
        _listener.Start();
        _loop = Task.Run(Serve);
    }

    public Uri Url { get; }

    /// <summary>Requests for inference, by model.</summary>
    public Dictionary<string, int> Runs { get; } = [];

    public void Dispose()
    {
        _listener.Stop();
        _loop.Wait();
        _listener.Close();
        foreach (var (_, session) in _models.Values)
            session.Dispose();
    }

    private void Serve()
    {
        while (true)
        {
            HttpListenerContext context;
            try
            {
                context = _listener.GetContext();
            }
            catch (Exception e) when (e is HttpListenerException or ObjectDisposedException or InvalidOperationException)
            {
                return;
            }
            Answer answer;
            try
            {
                answer = Handle(context.Request);
            }
            catch (Exception e)
            {
                answer = new Answer(e is KeyNotFoundException ? 404 : 400, new JsonObject { ["error"] = e.Message }, []);
            }
            var json = System.Text.Encoding.UTF8.GetBytes(answer.Json.ToJsonString());
            context.Response.StatusCode = answer.Status;
            if (answer.Binary.Length > 0)
                context.Response.Headers[JsonLength] = json.Length.ToString(CultureInfo.InvariantCulture);
            context.Response.Close([.. json, .. answer.Binary], willBlock: true);
        }
    }

    private sealed record Answer(int Status, JsonNode Json, byte[] Binary);

    private Answer Handle(HttpListenerRequest request)
    {
        var path = request.Url!.AbsolutePath.Split('/', StringSplitOptions.RemoveEmptyEntries);
        switch (request.HttpMethod, path)
        {
            case ("GET", ["v2", "health", "ready"]):
                return new(200, new JsonObject(), []);
            case ("GET", ["v2", "models", var name]):
                var (config, session) = Find(name);
                return new(200, new JsonObject { ["name"] = name, ["versions"] = new JsonArray("1"), ["platform"] = config["platform"]!.DeepClone(), ["inputs"] = Describe(config, "input"), ["outputs"] = Describe(config, "output") }, []);
            case ("GET", ["v2", "models", var name, "config"]):
                return new(200, Find(name).Config.DeepClone(), []);
            case ("POST", ["v2", "models", var name, "infer"]):
                return Infer(name, request);
            default:
                throw new KeyNotFoundException($"nothing is at {request.Url}");
        }
    }

    private Answer Infer(string name, HttpListenerRequest request)
    {
        var (config, session) = Find(name);
        Runs[name] = Runs.GetValueOrDefault(name) + 1;
        using var stream = new MemoryStream();
        request.InputStream.CopyTo(stream);
        var body = stream.ToArray();
        var length = request.Headers[JsonLength] is { } header ? int.Parse(header, CultureInfo.InvariantCulture) : body.Length;
        var json = JsonNode.Parse(body.AsSpan(0, length))!;
        var rest = body.AsMemory(length);
        var inputs = new Dictionary<string, ModelTensor>();
        long? batch = null;
        foreach (var input in json["inputs"]!.AsArray())
        {
            var tensor = input!["name"]!.GetValue<string>();
            var declared = config["input"]!.AsArray().SingleOrDefault(i => i!["name"]!.GetValue<string>() == tensor) ?? throw new FormatException($"unexpected inference input '{tensor}' for model '{name}'");
            var type = declared["data_type"]!.GetValue<string>()["TYPE_".Length..];
            if (input["datatype"]!.GetValue<string>() != type)
                throw new FormatException($"inference input '{tensor}' data-type is '{input["datatype"]}', model '{name}' expects '{type}'");
            long[] shape = [.. input["shape"]!.AsArray().Select(d => d!.GetValue<long>())];
            CheckShape(config, declared, tensor, shape, ref batch);
            long[] own = declared["reshape"] is null ? shape : [.. shape.Take(shape.Length - 1)];
            var count = own.Aggregate(1L, (product, d) => product * d);
            var onnx = OnnxType(type);
            if (input["parameters"]?["binary_data_size"]?.GetValue<int>() is { } size)
            {
                if (size != count * onnx.Bytes || size > rest.Length)
                    throw new FormatException($"'{tensor}' has {size} bytes, {count * onnx.Bytes} are expected");
                inputs[tensor] = ModelTensor.FromBytes(onnx, own, rest.Span[..size]);
                rest = rest[size..];
            }
            else
            {
                var values = input["data"]!.AsArray();
                if (values.Count != count)
                    throw new FormatException($"'{tensor}' has {values.Count} values, {count} are expected");
                inputs[tensor] = type == "INT64" ? ModelTensor.Create(values.Select(v => v!.GetValue<long>()).ToArray(), own) : ModelTensor.Create(values.Select(v => v!.GetValue<float>()).ToArray(), own);
            }
        }
        if (rest.Length > 0)
            throw new FormatException($"{rest.Length} bytes behind the last tensor");
        var results = session.Run(inputs);
        string[] wanted = json["outputs"] is { } asked ? [.. asked.AsArray().Select(o => o!["name"]!.GetValue<string>())] : [.. results.Keys];
        var (outputs, binary) = (new JsonArray(), new List<byte[]>());
        foreach (var output in wanted)
        {
            var tensor = results.GetValueOrDefault(output) ?? throw new FormatException($"unexpected inference output '{output}' for model '{name}'");
            var description = new JsonObject { ["name"] = output, ["datatype"] = WireName(tensor.Type), ["shape"] = new JsonArray([.. Shape(config, output, tensor).Select(d => JsonValue.Create(d))]) };
            if (json["outputs"]?.AsArray().Single(o => o!["name"]!.GetValue<string>() == output)?["parameters"]?["binary_data"]?.GetValue<bool>() == true)
            {
                binary.Add(tensor.Bytes.ToArray());
                description["parameters"] = new JsonObject { ["binary_data_size"] = binary[^1].Length };
            }
            else
            {
                description["data"] = new JsonArray([.. MemoryMarshal.Cast<byte, float>(tensor.Bytes).ToArray().Select(v => JsonValue.Create(v))]);
            }
            outputs.Add(description);
        }
        return new(200, new JsonObject { ["model_name"] = name, ["model_version"] = "1", ["outputs"] = outputs }, [.. binary.SelectMany(b => b)]);
    }

    private (JsonObject Config, ModelSession Session) Find(string name) => _models.TryGetValue(name, out var model) ? model : throw new KeyNotFoundException($"Request for unknown model: '{name}' is not found");

    private static long MaxBatch(JsonObject config) => config["max_batch_size"]?.GetValue<long>() ?? 0;

    /// <summary>Metadata shows whole shapes: with the batch, where there is one, as −1.</summary>
    private static JsonArray Describe(JsonObject config, string kind) => new([.. config[kind]!.AsArray().Select(t => new JsonObject
    {
        ["name"] = t!["name"]!.DeepClone(),
        ["datatype"] = t["data_type"]!.GetValue<string>()["TYPE_".Length..],
        ["shape"] = new JsonArray([.. Whole(config, t).Select(d => JsonValue.Create(d))]),
    })]);

    private static IEnumerable<long> Whole(JsonObject config, JsonNode tensor)
    {
        var dims = tensor["dims"]!.AsArray().Select(d => d!.GetValue<long>());
        return MaxBatch(config) > 0 ? dims.Prepend(-1) : dims;
    }

    /// <summary>As the configuration has it: with a dimension of 1 where the model has none.</summary>
    private static IEnumerable<long> Shape(JsonObject config, string output, ModelTensor tensor) =>
        config["output"]!.AsArray().Single(o => o!["name"]!.GetValue<string>() == output)!["reshape"] is null ? tensor.Shape : tensor.Shape.Append(1);

    private static void CheckShape(JsonObject config, JsonNode declared, string tensor, long[] shape, ref long? batch)
    {
        long[] whole = [.. Whole(config, declared)];
        if (!TensorShape.Fits(shape, whole))
            throw new FormatException($"unexpected shape for input '{tensor}'. Expected {TensorShape.Text(whole)}, got {TensorShape.Text(shape)}");
        if (MaxBatch(config) == 0)
            return;
        if (shape[0] > MaxBatch(config))
            throw new FormatException($"inference request batch-size must be <= {MaxBatch(config)}");
        if ((batch ??= shape[0]) != shape[0])
            throw new FormatException($"input '{tensor}' batch size does not match other inputs");
    }

    /// <summary>As a server does when it loads a model: the configuration must be what the model has.</summary>
    private static void Check(JsonObject config, string kind, IReadOnlyList<Port> ports)
    {
        var declared = config[kind]!.AsArray();
        if (!declared.Select(t => t!["name"]!.GetValue<string>()).Order().SequenceEqual(ports.Select(p => p.Name).Order()))
            throw new FormatException($"{config["name"]}: {kind}s are {declared.ToJsonString()}, the model has {string.Join(", ", ports.Select(p => p.Name))}");
        foreach (var port in ports)
        {
            var tensor = declared.Single(t => t!["name"]!.GetValue<string>() == port.Name)!;
            long[] dims = tensor["reshape"] is null ? [.. tensor["dims"]!.AsArray().Select(d => d!.GetValue<long>())] : [];
            long[] whole = MaxBatch(config) > 0 ? [-1, .. dims] : dims;
            if (dims.Length == 0 && tensor["reshape"] is null || tensor["dims"]!.AsArray().Count == 0)
                throw new FormatException($"{config["name"]}: '{port.Name}' has no dims");
            if (WireName(port.Type.Name) != tensor["data_type"]!.GetValue<string>()["TYPE_".Length..] || port.Shape.Length != whole.Length || port.Shape.Zip(whole).Any(p => p.First >= 0 && p.Second >= 0 && p.First != p.Second))
                throw new FormatException($"{config["name"]}: '{port.Name}' is {port}, the configuration says {tensor.ToJsonString()}");
        }
    }

    private static string WireName(string onnx) => onnx switch { "float" => "FP32", "float16" => "FP16", "double" => "FP64", _ => onnx.ToUpperInvariant() };

    private static TensorType OnnxType(string wire) => TensorType.Of(wire switch { "FP32" => "float", "FP16" => "float16", "FP64" => "double", _ => wire.ToLowerInvariant() })!;
}
