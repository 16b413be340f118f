using Microsoft.ML.OnnxRuntime;

namespace QuantSdk.Runtime;

/// <summary>ONNX Runtime's TensorRT provider, for a model that is one plan.</summary>
/// <param name="Profiles">The shapes that the plan was built for; empty where every input has one shape.</param>
/// <inheritdoc cref="GpuProvider(int, IReadOnlyDictionary{string, string}, IReadOnlyList{string})"/>
internal sealed record TensorRtProvider(int Device, IReadOnlyDictionary<string, string> Options, IReadOnlyList<string> Resident, IReadOnlyList<TensorRtProfile> Profiles) : GpuProvider(Device, Options, Resident)
{
    public const string Target = "tensorrt", Name = "TensorrtExecutionProvider";

    /// <summary>Why sessions cannot use the provider here, or null.</summary>
    public static string? Refusal() =>
        Refusal(Name, "this ONNX Runtime was built without TensorRT (reference Microsoft.ML.OnnxRuntime.Gpu)", new TensorRtProvider(0, new Dictionary<string, string>(), [], []));

    /// <summary>The provider for one variant.</summary>
    /// <param name="folder">Where the wrapper and the plan lie.</param>
    public static TensorRtProvider Of(TensorRtInfo info, string folder, IReadOnlyList<string> resident, QuantizedModelOptions options)
    {
        var entries = new Dictionary<string, string>(GpuProvider.OnStream(options.CudaStream));
        if (info.Plugins is { Count: > 0 } plugins)
            entries["trt_extra_plugin_lib_paths"] = string.Join(';', plugins.Select(Plugin));
        if (info.Stripped)
        {
            entries["trt_weight_stripped_engine_enable"] = "1";
            entries["trt_onnx_model_folder_path"] = folder;
        }
        if (options.CudaGraph ?? info.CudaGraph)
            entries["trt_cuda_graph_enable"] = "1";
        foreach (var (key, value) in options.TensorRtOptions)
            entries[key] = value;
        return new TensorRtProvider(options.CudaDevice, entries, resident, info.Profiles);
    }

    public override bool Records => Says("trt_cuda_graph_enable");

    public override void AppendTo(SessionOptions session)
    {
        using var provider = new OrtTensorRTProviderOptions();
        provider.UpdateOptions(WithDevice());
        session.AppendExecutionProvider_Tensorrt(provider);
    }

    /// <summary>Beside the app where it is there, else wherever the system finds libraries.</summary>
    private static string Plugin(string file) => Path.Combine(AppContext.BaseDirectory, file) is var beside && File.Exists(beside) ? beside : file;
}
