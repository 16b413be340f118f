using System.Globalization;
using System.Text.Json;
using QuantSdk.Onnx;
using QuantSdk.Runtime;

namespace QuantSdk.Serving;

/// <summary>One model of a repository: its configuration and the files of its version folder.</summary>
/// <param name="Files">Plans by their name in the version folder; or one graph, by <see cref="Graph"/>.</param>
/// <param name="Notes">What whoever starts the server should know.</param>
internal sealed record TritonLayout(TritonConfig Config, IReadOnlyDictionary<string, string> Files, IReadOnlyList<string> Notes)
{
    public const string Plan = "model.plan", Graph = "model.onnx", LiveSuffix = "_live";

    /// <summary>The models that engines of one name become: one, or two where it is cached.</summary>
    /// <param name="engines">More than one only where they were built for different GPUs.</param>
    /// <exception cref="QuantSdkException">QSDK4073.</exception>
    public static IReadOnlyList<TritonLayout> Of(IReadOnlyList<ServedEngine> engines, TritonOptions options)
    {
        CheckTogether(engines);
        var (manifest, variant) = (engines[0].Manifest, engines[0].Variant);
        if (variant.Cache is not { } cache)
            return [One(engines, options, manifest.Name, variant.Model, e => e.Variant.TensorRt?.Plan, manifest.Inputs, manifest.Outputs, Roles(manifest))];
        var cached = JsonSerializer.Serialize(cache.Tensors.Select(t => t.Name));
        var full = new Dictionary<string, string>(Roles(manifest)) { ["quantsdk.cached"] = cached, ["quantsdk.live"] = manifest.Name + LiveSuffix };
        var live = new Dictionary<string, string>(Roles(manifest)) { ["quantsdk.cached"] = cached, ["quantsdk.full"] = manifest.Name };
        return
        [
            One(engines, options, manifest.Name, variant.Model, e => e.Variant.TensorRt?.Plan, manifest.Inputs, [.. manifest.Outputs, .. cache.Tensors], full),
            One(engines, options, manifest.Name + LiveSuffix, cache.Live, e => e.Variant.TensorRt?.LivePlan, [.. manifest.Inputs, .. cache.Tensors], manifest.Outputs, live),
        ];
    }

    private static TritonLayout One(
        IReadOnlyList<ServedEngine> engines, TritonOptions options, string name, string model, Func<ServedEngine, string?> plan,
        IReadOnlyList<TensorInfo> inputs, IReadOnlyList<TensorInfo> outputs, Dictionary<string, string> parameters)
    {
        var engine = engines[0];
        var graph = OnnxFile.LoadHeaders(engine.PathOf(model)).Graph;
        // A part of a model may read fewer inputs than the whole.
        inputs = [.. inputs.Where(i => graph.Input.Any(v => v.Name == i.Name)).Select(i => WithShape(i, graph))];
        outputs = [.. outputs.Select(o => WithShape(o, graph))];
        var info = engine.Variant.TensorRt;
        var notes = new List<string>();
        var batch = Batch(options, info, TritonBatch.Obstacle(inputs.Concat(outputs), graph), notes);
        var config = new TritonConfig
        {
            Name = name,
            Platform = info is null ? TritonConfig.OnnxRuntime : TritonConfig.TensorRt,
            MaxBatchSize = batch,
            Inputs = [.. inputs.Select(t => Tensor(t, batch > 0))],
            Outputs = [.. outputs.Select(t => Tensor(t, batch > 0))],
            Instances = options.Instances,
            OnGpu = engine.Variant.Target != "cpu",
            Gpus = engine.Variant.Target != "cpu" ? options.Gpus : [],
            QueueDelay = batch > 0 ? options.QueueDelay : null,
            TensorRtAccelerator = engine.Variant.Target == ServedEngine.TensorRtOnnx,
        };
        parameters["quantsdk.tool_version"] = engine.Manifest.ToolVersion;
        parameters["quantsdk.recipe"] = engine.Manifest.RecipeHash;
        var files = new SortedDictionary<string, string>(StringComparer.Ordinal);
        if (info is null)
        {
            files[Graph] = engine.PathOf(model);
            if (engine.Variant.DisabledOptimizers.Count > 0 && engine.Manifest.Precision != "none")
                notes.Add($"At the build {string.Join(", ", engine.Variant.DisabledOptimizers)} of ONNX Runtime was off, which a server cannot be told: layers may run in float.");
        }
        else
        {
            parameters["quantsdk.trt_version"] = Release(info);
            notes.AddRange(PlanNotes(info));
            foreach (var e in engines)
                files[engines.Count == 1 ? Plan : $"model_sm{e.Variant.TensorRt!.ComputeCapability.Replace(".", "", StringComparison.Ordinal)}.plan"] =
                    e.PathOf(plan(e) ?? throw new QuantSdkException("QSDK7003", $"The manifest of '{e.Directory}' cannot be used: the model is cached, and its live part has no plan. Build the model again.", e.Directory));
            config = config with
            {
                CudaGraphs = info.CudaGraph,
                Profiles = info.Profiles.Count,
                PreferredBatches = batch > 0 && info.Profiles.Count > 1 ? [.. info.Profiles.Select(p => p.Inputs[0].Opt[0]).Where(b => b <= batch).Distinct().Order()] : [],
                DefaultFile = engines.Count > 1 ? files.First().Key : null,
                FileOfCapability = engines.Count > 1
                    ? new SortedDictionary<string, string>(engines.ToDictionary(e => e.Variant.TensorRt!.ComputeCapability, e => files.Single(f => f.Value == e.PathOf(plan(e)!)).Key), StringComparer.Ordinal)
                    : config.FileOfCapability,
            };
        }
        return new TritonLayout(
            config with { Parameters = new SortedDictionary<string, string>(parameters, StringComparer.Ordinal), Comments = [$"{name}: {engine.Manifest.Precision}, for {engine.Variant.Target}. Written by quantsdk triton.", .. notes] }, files, notes);
    }

    /// <summary>max_batch_size.</summary>
    private static int Batch(TritonOptions options, TensorRtInfo? info, string? obstacle, List<string> notes)
    {
        if (obstacle is not null && options.MaxBatchSize is > 0)
            throw new QuantSdkException("QSDK4077", $"Requests cannot be joined to batches of {options.MaxBatchSize}: {obstacle}. Export the model with one named batch dimension at the head of every input and output, or leave the batch size out.");
        // What every input of a profile allows, and the most among the profiles.
        var most = info is { Profiles: { Count: > 0 } profiles } ? profiles.Max(p => p.Inputs.Select(r => r.Max.Count > 0 ? r.Max[0] : 1).DefaultIfEmpty(1).Min()) : (long?)null;
        var least = info is { Profiles: { Count: > 0 } ranges } ? ranges.Min(p => p.Inputs.Select(r => r.Min.Count > 0 ? r.Min[0] : 1).DefaultIfEmpty(1).Max()) : 1;
        if (obstacle is null && least > 1)
            obstacle = $"the plan takes {least} rows at least";
        if (obstacle is not null)
            notes.Add($"Requests are not joined: {obstacle}.");
        if (options.MaxBatchSize is { } wanted)
            return wanted <= (most ?? wanted) ? wanted
                : throw new QuantSdkException("QSDK4077", $"Requests cannot be joined to batches of {wanted}: the plan takes {most} rows at most. Build the model with larger MaxShapes.");
        return obstacle is null ? (int)(most ?? TritonOptions.DefaultBatch) : 0;
    }

    private static IEnumerable<string> PlanNotes(TensorRtInfo info)
    {
        yield return info.VersionCompatible
            ? $"The server's TensorRT must be {Release(info)} or newer within {Release(info).Split('.')[0]}; start it with --backend-config=tensorrt,version-compatible=true."
            : $"The server's TensorRT must be {Release(info)}.";
        if (info.Plugins is { Count: > 0 } plugins)
            yield return $"Start the server with --backend-config=tensorrt,plugins=\"{string.Join(';', plugins)}\" (with the folders where it has them).";
    }

    private static Dictionary<string, string> Roles(Manifest manifest) => manifest.Roles is not { } roles ? [] : new()
    {
        ["quantsdk.sample"] = roles.Sample,
        ["quantsdk.timestep"] = roles.Timestep,
        ["quantsdk.timestep_scale"] = roles.TimestepScale.ToString("R", CultureInfo.InvariantCulture),
    };

    private static TritonTensor Tensor(TensorInfo tensor, bool batched)
    {
        IReadOnlyList<long> dims = batched ? [.. tensor.Shape.Skip(1)] : tensor.Shape;
        return new TritonTensor(tensor.Name, TypeName(tensor), dims.Count == 0 ? [1] : dims, Scalar: dims.Count == 0);
    }

    private static string TypeName(TensorInfo tensor) => tensor.Type switch
    {
        "float" => "TYPE_FP32",
        "float16" => "TYPE_FP16",
        "bfloat16" => "TYPE_BF16",
        "double" => "TYPE_FP64",
        "bool" or "int8" or "int16" or "int32" or "int64" or "uint8" or "uint16" or "uint32" or "uint64" or "string" => "TYPE_" + tensor.Type.ToUpperInvariant(),
        _ => throw new QuantSdkException("QSDK4078", $"'{tensor.Name}' is {tensor.Type}, which no tensor of a server can be. Cast it inside the model."),
    };

    /// <summary>The graph knows more of a cached tensor than some manifests.</summary>
    private static TensorInfo WithShape(TensorInfo tensor, GraphProto graph) => tensor.Shape.Count > 0 ? tensor
        : graph.Input.Concat(graph.Output).FirstOrDefault(v => v.Name == tensor.Name)?.Type.TensorType.Shape is { Dim.Count: > 0 } shape
            ? tensor with { Shape = [.. shape.Dim.Select(d => d.HasDimValue ? d.DimValue : -1)] } : tensor;

    private static string Release(TensorRtInfo info) => string.Join('.', info.Version.Split('.').Take(3));

    private static void CheckTogether(IReadOnlyList<ServedEngine> engines)
    {
        var first = engines[0];
        foreach (var other in engines.Skip(1))
        {
            var problem = first.Variant.TensorRt is not { } a || other.Variant.TensorRt is not { } b ? "only plans differ from GPU to GPU"
                : Release(a) != Release(b) ? $"their plans are of TensorRT {a.Version} and {b.Version}, and a server has one"
                : engines.Count(e => e.Variant.TensorRt!.ComputeCapability == b.ComputeCapability) > 1 ? $"two plans are for compute capability {b.ComputeCapability}"
                : !Describe(first).SequenceEqual(Describe(other)) ? "inputs, outputs, cached tensors or profiles differ"
                : null;
            if (problem is not null)
                throw new QuantSdkException("QSDK4073", $"'{first.Directory}' and '{other.Directory}' are both '{first.Manifest.Name}' and cannot be one model: {problem}.", other.Directory);
        }

        static IEnumerable<string> Describe(ServedEngine engine) =>
        [
            .. engine.Manifest.Inputs.Concat(engine.Manifest.Outputs).Concat(engine.Variant.Cache?.Tensors ?? []).Select(t => $"{t.Name} {t.Type} {string.Join('x', t.Shape)}"),
            .. engine.Variant.TensorRt!.Profiles.SelectMany(p => p.Inputs).Select(r => $"{r.Input} {string.Join('x', r.Min)} {string.Join('x', r.Opt)} {string.Join('x', r.Max)}"),
        ];
    }
}
