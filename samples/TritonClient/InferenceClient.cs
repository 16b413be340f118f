using System.Globalization;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.Json.Nodes;
using QuantSdk.Runtime;

namespace TritonClient;

/// <summary>Speaks the KServe v2 inference protocol over HTTP, tensors as bytes behind the JSON (the binary tensor data extension).</summary>
/// <param name="server">Such as <c>http://localhost:8000</c>.</param>
internal sealed class InferenceClient(Uri server) : IDisposable
{
    private const string JsonLength = "Inference-Header-Content-Length";

    private readonly HttpClient _http = new() { BaseAddress = server, Timeout = TimeSpan.FromMinutes(10) };

    /// <summary>Names, types and whole shapes of a model's inputs and outputs.</summary>
    public JsonNode Metadata(string model) => Get($"v2/models/{Uri.EscapeDataString(model)}");

    /// <summary>The model's configuration: config.pbtxt as JSON (Triton's model configuration extension).</summary>
    public JsonNode Configuration(string model) => Get($"v2/models/{Uri.EscapeDataString(model)}/config");

    /// <summary>Runs a model.</summary>
    /// <param name="outputs">The outputs that shall come back; the others are not sent.</param>
    public Dictionary<string, ModelTensor> Infer(string model, IReadOnlyDictionary<string, ModelTensor> inputs, IEnumerable<string> outputs, CancellationToken cancellationToken = default)
    {
        byte[][] tensors = [.. inputs.Values.Select(WireTensor.Bytes)];
        var json = JsonSerializer.SerializeToUtf8Bytes(new JsonObject
        {
            ["inputs"] = new JsonArray([.. inputs.Zip(tensors, (input, bytes) => new JsonObject
            {
                ["name"] = input.Key,
                ["datatype"] = WireTensor.TypeName(input.Value.Type),
                ["shape"] = new JsonArray([.. input.Value.Shape.Select(d => JsonValue.Create(d))]),
                ["parameters"] = new JsonObject { ["binary_data_size"] = bytes.Length },
            })]),
            ["outputs"] = new JsonArray([.. outputs.Select(name => new JsonObject { ["name"] = name, ["parameters"] = new JsonObject { ["binary_data"] = true } })]),
        });
        using var content = new ByteArrayContent([.. json, .. tensors.SelectMany(bytes => bytes)]);
        content.Headers.ContentType = new MediaTypeHeaderValue("application/octet-stream");
        content.Headers.Add(JsonLength, json.Length.ToString(CultureInfo.InvariantCulture));
        using var request = new HttpRequestMessage(HttpMethod.Post, $"v2/models/{Uri.EscapeDataString(model)}/infer") { Content = content };
        using var response = _http.Send(request, cancellationToken);
        var body = Read(response, cancellationToken);
        var length = response.Headers.TryGetValues(JsonLength, out var values) || response.Content.Headers.TryGetValues(JsonLength, out values) ? int.Parse(values.Single(), CultureInfo.InvariantCulture) : body.Length;
        var answer = JsonNode.Parse(body.AsSpan(0, length))!;
        var rest = body.AsSpan(length);
        var results = new Dictionary<string, ModelTensor>();
        foreach (var output in answer["outputs"]!.AsArray())
        {
            var size = output!["parameters"]!["binary_data_size"]!.GetValue<int>();
            results[output["name"]!.GetValue<string>()] = WireTensor.Create(output["datatype"]!.GetValue<string>(), [.. output["shape"]!.AsArray().Select(d => d!.GetValue<long>())], rest[..size]);
            rest = rest[size..];
        }
        return results;
    }

    public void Dispose() => _http.Dispose();

    private JsonNode Get(string path)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path);
        using var response = _http.Send(request);
        return JsonNode.Parse(Read(response, default))!;
    }

    private static byte[] Read(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        using var stream = new MemoryStream();
        response.Content.CopyTo(stream, null, cancellationToken);
        var body = stream.ToArray();
        if (response.IsSuccessStatusCode)
            return body;
        // {"error": "…"}
        throw new HttpRequestException($"The server answers {(int)response.StatusCode}: {System.Text.Encoding.UTF8.GetString(body)}", null, response.StatusCode);
    }
}
