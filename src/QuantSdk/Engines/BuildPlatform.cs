using Microsoft.ML.OnnxRuntime;
using QuantSdk.Runtime;

namespace QuantSdk.Engines;

/// <summary>What an engine is a function of beside recipe and files.</summary>
/// <param name="OnnxRuntime">The version that runs and optimises models, by its managed part: the native one takes longer to load than a hit.</param>
/// <param name="Cpu">The features for which weights are packed.</param>
/// <param name="TensorRt">The version of TensorRT and the GPU that plans are made by and for; empty where none is made.</param>
internal sealed record BuildPlatform(string OnnxRuntime, string Cpu, string TensorRt = "")
{
    /// <summary>Equal for equal code: deterministic builds derive a module's version from what is in it.</summary>
    public static string Tool { get; } = $"{typeof(BuildPlatform).Module.ModuleVersionId:N} {typeof(Manifest).Module.ModuleVersionId:N}";

    public static BuildPlatform Current => new($"{typeof(OrtEnv).Assembly.GetName().Version} {typeof(OrtEnv).Module.ModuleVersionId:N}", CpuFeatures.Current);
}
