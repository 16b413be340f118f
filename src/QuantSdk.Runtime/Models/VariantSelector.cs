namespace QuantSdk.Runtime;

/// <summary>Chooses what to load: a pure function of the manifest, ONNX Runtime's version, the CPU's features and what speaks against GPUs.</summary>
internal static class VariantSelector
{
    private const string Cpu = "cpu", CpuProvider = "CPUExecutionProvider";

    /// <param name="gpu">Decides about a variant for CUDA or TensorRT; asked where there is one and no other was taken before.</param>
    public static (EngineVariant Variant, ModelSelection Selection) Select(Manifest manifest, string file, string onnxRuntime, string cpuFeatures, Func<EngineVariant, GpuVerdict> gpu)
    {
        var reasons = new List<string>();
        foreach (var variant in manifest.Variants)
        {
            if (variant.Target is CudaProvider.Target or TensorRtProvider.Target)
            {
                var verdict = gpu(variant);
                if (verdict.Refusal is { } refusal)
                {
                    reasons.Add($"{variant.Target} passed over: {refusal}");
                    continue;
                }
                if (verdict.Note.Length > 0)
                    reasons.Add(verdict.Note);
                return (variant, new ModelSelection(variant.Target, variant.Target == CudaProvider.Target ? CudaProvider.Name : TensorRtProvider.Name, variant.Model, false, reasons.AsReadOnly()));
            }
            if (variant.Target != Cpu)
            {
                reasons.Add($"{variant.Target} passed over: this version of QuantSdk.Runtime loads {TensorRtProvider.Target}, {CudaProvider.Target} and {Cpu} only");
                continue;
            }
            var optimised = Accept(variant.Optimised, onnxRuntime, cpuFeatures, reasons);
            // Both parts of a cached model read the same weights, in the same form.
            if (optimised is not null && variant.Cache is { } cache && (cache.Optimised?.OnnxRuntime != onnxRuntime || cache.Optimised.CpuFeatures != cpuFeatures))
            {
                reasons.Add("portable graph, optimised while loading: its live part was not optimised for this ONNX Runtime and CPU");
                optimised = null;
            }
            if (optimised is not null && variant.Heads?.Any(head => head.Optimised?.OnnxRuntime != onnxRuntime || head.Optimised.CpuFeatures != cpuFeatures) == true)
            {
                reasons.Add("portable graph, optimised while loading: what is hoisted out of it was not optimised for this ONNX Runtime and CPU");
                optimised = null;
            }
            if (optimised is null && variant.Optimised is not null && variant.Files.All(f => f.Path != variant.Model))
            {
                reasons.Add("the portable graph was left out of the build (Portable=false)");
                continue;
            }
            return (variant, new ModelSelection(Cpu, CpuProvider, optimised?.Model ?? variant.Model, optimised is not null, reasons.AsReadOnly()));
        }
        throw new QuantSdkException("QSDK7008",
            $"'{file}': no variant of '{manifest.Name}' can run here. {(reasons.Count == 0 ? "It has none" : string.Join("; ", reasons))}. Build the model with Targets=cpu (or that and others), on a machine like this one or with its portable graph.", file);
    }

    private static OptimisedModel? Accept(OptimisedModel? optimised, string onnxRuntime, string cpuFeatures, List<string> reasons)
    {
        if (optimised is null)
            reasons.Add("portable graph, optimised while loading: the build kept no optimised one");
        else if (optimised.OnnxRuntime != onnxRuntime)
            reasons.Add($"portable graph, optimised while loading: the optimised one is for ONNX Runtime {optimised.OnnxRuntime}, this is {onnxRuntime}");
        else if (optimised.CpuFeatures != cpuFeatures)
            reasons.Add($"portable graph, optimised while loading: the optimised one is for {optimised.CpuFeatures}, this CPU is {cpuFeatures}");
        else
        {
            reasons.Add($"optimised at build time for ONNX Runtime {onnxRuntime} on {cpuFeatures}");
            return optimised;
        }
        return null;
    }
}
