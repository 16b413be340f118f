namespace QuantSdk.Runtime;

/// <summary>The plans of a variant, looked at before ONNX Runtime opens them: a library that reads a wrong one may end the process.</summary>
internal static class PlanFile
{
    /// <returns>The plans that get their weights where they are first loaded.</returns>
    /// <exception cref="QuantSdkException">QSDK7003, 7005: the manifest names no file of the variant; 7060: a file is no plan; 7061: one is of another version than the manifest says.</exception>
    public static IReadOnlyList<RefittedPlan> Check(string directory, string manifestFile, EngineVariant variant, TensorRtInfo info)
    {
        var refitted = new List<RefittedPlan>();
        foreach (var plan in ((string?[])[info.Plan, info.LivePlan]).OfType<string>())
        {
            if (variant.Files.All(file => file.Path != plan))
                throw new QuantSdkException("QSDK7003", $"The manifest '{manifestFile}' cannot be used: the plan '{plan}' is not among the files of the variant '{variant.Target}'. Build the model again.", manifestFile);
            var path = EngineFiles.Confine(directory, manifestFile, plan);
            var version = PlanHeader.Read(path);
            if (version.ToString() != info.Version && version.ToString(fieldCount: 3) != info.Version)
                throw new QuantSdkException("QSDK7061", $"'{path}' was built by TensorRT {version}; the manifest says {info.Version}. Build the model again, or copy the whole folder.", path);
            if (info.Stripped)
                refitted.Add(RefittedPlan.Of(path, variant.Files));
        }
        return refitted;
    }
}
