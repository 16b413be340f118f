using System.Diagnostics.CodeAnalysis;
using System.Text.Json;

namespace QuantSdk.Runtime;

/// <summary>Reading and writing <c>manifest.json</c>.</summary>
internal static class ManifestFile
{
    public const string Name = "manifest.json";

    /// <summary>A manifest is text that a person can read; anything larger than this is not one.</summary>
    private const long MaxBytes = 16L << 20;

    public static byte[] Serialize(Manifest manifest) =>
        [.. JsonSerializer.SerializeToUtf8Bytes(manifest, ManifestJson.Default.Manifest), (byte)'\n'];

    public static void Write(string path, Manifest manifest) => File.WriteAllBytes(path, Serialize(manifest));

    /// <summary>Reads a manifest. Unknown fields are skipped; a missing field, a newer schema or a broken file is a coded error.</summary>
    public static Manifest Read(string path)
    {
        Manifest manifest;
        try
        {
            var file = new FileInfo(path);
            if (file.Length > MaxBytes)
                throw Broken(path, $"it has {file.Length} bytes; the limit is {MaxBytes}");
            var bytes = File.ReadAllBytes(path);
            CheckSchema(path, bytes);
            manifest = JsonSerializer.Deserialize(bytes, ManifestJson.Default.Manifest) ?? throw Broken(path, "it is 'null'");
        }
        catch (JsonException e)
        {
            throw Broken(path, e.Message, e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new QuantSdkException("QSDK7003", $"The manifest '{path}' cannot be read: {e.Message}", path, inner: e);
        }
        Check(path, manifest);
        return manifest;
    }

    /// <summary>Looked at before the rest: a newer schema may have changed the shape of every other field.</summary>
    private static void CheckSchema(string path, byte[] bytes)
    {
        using var document = JsonDocument.Parse(bytes);
        if (document.RootElement.ValueKind != JsonValueKind.Object)
            throw Broken(path, $"its root is {document.RootElement.ValueKind}, an object is expected");
        var schema = document.RootElement.TryGetProperty("schema", out var value) && value.TryGetInt32(out var number) ? number : 0;
        if (schema is < 1 or > Manifest.CurrentSchema)
            throw new QuantSdkException("QSDK7004",
                $"The manifest '{path}' has schema {schema}; this QuantSdk.Runtime reads schema {Manifest.CurrentSchema}. " +
                "Use the same version of the packages QuantSdk and QuantSdk.Runtime and build the models again.", path);
    }

    /// <summary>What the serializer lets through: null where the records promise a value.</summary>
    private static void Check(string path, Manifest manifest)
    {
        Require(manifest.Name is not null && manifest.ToolVersion is not null && manifest.Precision is not null && manifest.RecipeHash is not null, "name, toolVersion, precision or recipeHash is null");
        Require(manifest.Inputs is not null && manifest.Outputs is not null && manifest.Variants is not null && manifest.Quality is not null, "inputs, outputs, variants or quality is null");
        foreach (var tensor in manifest.Inputs.Concat(manifest.Outputs))
            Require(tensor is { Name: not null, Type: not null, Shape: not null }, "an input or output lacks its name, type or shape");
        foreach (var variant in manifest.Variants)
        {
            Require(variant is { Target: not null, Model: not null, DisabledOptimizers: not null, Files: not null }, "a variant lacks its target, model, disabledOptimizers or files");
            Require(variant.DisabledOptimizers.All(name => name is not null), $"disabledOptimizers of variant '{variant.Target}' holds a null");
            Require(variant.Optimised is null or { Model: not null, OnnxRuntime: not null, CpuFeatures: not null }, $"optimised of variant '{variant.Target}' is incomplete");
            Require(variant.Files.All(file => file is { Path: not null, Hash: not null, Bytes: >= 0 }), $"a file of variant '{variant.Target}' lacks its path, bytes or hash");
            Require(variant.TensorRt is null or { Version: not null, ComputeCapability: not null, Gpu: not null, HardwareCompatibility: not null, Plan: not null, Profiles: not null }, $"tensorRt of variant '{variant.Target}' is incomplete");
            Require(variant.TensorRt is null || variant.TensorRt.Profiles.All(IsProfile), $"a profile of variant '{variant.Target}' lacks its inputs, or an input's min, opt and max are not ascending shapes of one rank");
            Require(variant.TensorRt?.Plugins?.All(file => file is not (null or "" or "." or "..") && Path.GetFileName(file) == file && !file.Contains(';')) != false, $"a plugin of variant '{variant.Target}' is no file name");
            Require(variant.Cache is null or { Live: not null, Tensors: { Count: > 0 } }, $"cache of variant '{variant.Target}' lacks its live part or its tensors");
            Require(variant.Cache?.Optimised is null or { Model: not null, OnnxRuntime: not null, CpuFeatures: not null }, $"cache.optimised of variant '{variant.Target}' is incomplete");
            foreach (var head in variant.Heads ?? [])
            {
                Require(head is { Model: not null, Tensors.Count: > 0 } && HeadDependence.All.Contains(head.DependsOn), $"a head of variant '{variant.Target}' lacks its model or its tensors, or depends on something else than {string.Join(", ", HeadDependence.All)}");
                Require(head.Optimised is null or { Model: not null, OnnxRuntime: not null, CpuFeatures: not null }, $"optimised of a head of variant '{variant.Target}' is incomplete");
                Require(head.Tensors.All(t => t is { Name: not null, Type: not null, Shape: not null }), $"a tensor of a head of variant '{variant.Target}' lacks its name, type or shape");
            }
            Require(variant.Cache is null || variant.Cache.Tensors.All(t => t is { Name: not null, Type: not null, Shape: not null }), $"a cached tensor of variant '{variant.Target}' lacks its name, type or shape");
        }
        Require(manifest.Cache is null or { Cut: not null, Schedules: not null }, "cache lacks its cut or its schedules");
        Require(manifest.Cache is null || manifest.Cache.Schedules.All(IsSchedule), "a schedule's full steps are not ascending indices below its steps that start at 0, or its extrapolation is not 0 to 1");
        Require(manifest.Cache?.Quality is null || manifest.Cache.Quality.All(q => q is { Output: not null }), "a quality of cache lacks its output");
        Require(manifest.Roles is null or { Sample: not null, Timestep: not null }, "roles lack sample or timestep");
        Require(manifest.Roles is null || float.IsFinite(manifest.Roles.TimestepScale), "roles.timestepScale is not a finite number");

        void Require([DoesNotReturnIf(false)] bool holds, string problem)
        {
            if (!holds)
                throw Broken(path, problem);
        }
    }

    private static bool IsSchedule(CachedScheduleInfo schedule) =>
        schedule is { Full: [0, ..] full } && full[^1] < schedule.Steps && full.Zip(full.Skip(1)).All(p => p.First < p.Second) && double.IsFinite(schedule.Error) && schedule.Extrapolation is >= 0 and <= 1;

    private static bool IsProfile(TensorRtProfile profile) => profile is { Inputs: not null } && profile.Inputs.All(range =>
        range is { Input: not null, Min: not null, Opt: not null, Max: not null } && range.Min.Count == range.Opt.Count && range.Opt.Count == range.Max.Count
        && range.Min.Zip(range.Opt).All(p => p.First <= p.Second) && range.Opt.Zip(range.Max).All(p => p.First <= p.Second));

    private static QuantSdkException Broken(string path, string problem, Exception? inner = null) =>
        new("QSDK7003", $"The manifest '{path}' cannot be used: {problem}. Build the model again.", path, inner: inner);
}
