using System.Globalization;

namespace QuantSdk.Serving;

/// <summary>Writes config.pbtxt.</summary>
internal static class TritonConfigText
{
    public static string Write(TritonConfig config)
    {
        var text = new TextProto();
        foreach (var line in config.Comments)
            text.Comment(line);
        text.Field("name", config.Name);
        text.Field("platform", config.Platform);
        text.Field("max_batch_size", config.MaxBatchSize);
        foreach (var tensor in config.Inputs)
            text.Message("input", () => Write(text, tensor));
        foreach (var tensor in config.Outputs)
            text.Message("output", () => Write(text, tensor));
        text.Message("version_policy", () => text.Message("latest", () => text.Field("num_versions", 1)));
        text.Message("instance_group", () =>
        {
            text.Field("count", config.Instances);
            text.Word("kind", config.OnGpu ? "KIND_GPU" : "KIND_CPU");
            if (config.Gpus.Count > 0)
                text.List("gpus", config.Gpus.Select(gpu => (long)gpu));
            if (config.Profiles > 1)
                text.List("profile", Enumerable.Range(0, config.Profiles).Select(i => i.ToString(CultureInfo.InvariantCulture)));
        });
        if (config.QueueDelay is { } delay)
        {
            text.Message("dynamic_batching", () =>
            {
                if (config.PreferredBatches.Count > 0)
                    text.List("preferred_batch_size", config.PreferredBatches);
                text.Field("max_queue_delay_microseconds", delay);
            });
        }
        if (config.DefaultFile is { } file)
            text.Field("default_model_filename", file);
        foreach (var (capability, name) in config.FileOfCapability)
            text.Message("cc_model_filenames", () => Entry(text, capability, () => text.Field("value", name)));
        if (config.CudaGraphs)
            text.Message("optimization", () => text.Message("cuda", () => text.Field("graphs", true)));
        if (config.TensorRtAccelerator)
        {
            text.Message("optimization", () => text.Message("execution_accelerators", () => text.Message("gpu_execution_accelerator", () =>
            {
                text.Field("name", "tensorrt");
                text.Message("parameters", () => Entry(text, "trt_engine_cache_enable", () => text.Field("value", "1")));
            })));
        }
        foreach (var (name, value) in config.Parameters)
            text.Message("parameters", () => Entry(text, name, () => text.Message("value", () => text.Field("string_value", value))));
        return text.ToString();
    }

    private static void Write(TextProto text, TritonTensor tensor)
    {
        text.Field("name", tensor.Name);
        text.Word("data_type", tensor.Type);
        text.List("dims", tensor.Dims);
        if (tensor.Scalar)
            text.Message("reshape", () => text.List("shape", Array.Empty<long>()));
    }

    private static void Entry(TextProto text, string key, Action value)
    {
        text.Field("key", key);
        value();
    }
}
