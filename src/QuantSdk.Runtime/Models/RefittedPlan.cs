using System.Security.Cryptography;
using System.Text;

namespace QuantSdk.Runtime;

/// <summary>
/// What ONNX Runtime makes of a plan without weights: X.stripped.engine gets the weights of the model beside it and is kept as X.engine, which later loads take as it is.
/// ONNX Runtime does not look whether that still belongs to X.stripped.engine; a file X.engine.of remembers what it was made from.
/// </summary>
internal sealed class RefittedPlan
{
    private readonly string _key, _sign;

    private RefittedPlan(string key, string sign) => (_key, _sign) = (key, sign);

    /// <summary>Deletes the completed plan of an earlier build, or one of unknown origin.</summary>
    /// <param name="stripped">The plan without weights.</param>
    /// <param name="files">The files of the variant, whose hashes say what the completed plan is made from.</param>
    /// <exception cref="QuantSdkException">QSDK7063: the old one cannot be deleted.</exception>
    public static RefittedPlan Of(string stripped, IReadOnlyList<EngineFile> files)
    {
        const string suffix = ".stripped.engine";
        if (!stripped.EndsWith(suffix, StringComparison.Ordinal))
            throw new QuantSdkException("QSDK7003", $"The plan '{stripped}' has no weights, and its name does not end in {suffix}, by which ONNX Runtime knows that. Build the model again.", stripped);
        var completed = stripped[..^suffix.Length] + ".engine";
        var plan = new RefittedPlan(Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(string.Join('\n', files.Select(file => $"{file.Path} {file.Hash}"))))), completed + ".of");
        try
        {
            if (File.Exists(completed) && !(File.Exists(plan._sign) && File.ReadAllText(plan._sign) == plan._key))
                File.Delete(completed);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new QuantSdkException("QSDK7063", $"'{completed}' belongs to another build and cannot be deleted: {e.Message}. Delete it, or make the folder writable.", completed, inner: e);
        }
        return plan;
    }

    /// <summary>Remembers what the completed plan, which ONNX Runtime has written by now, was made from.</summary>
    public void Keep()
    {
        try
        {
            File.WriteAllText(_sign, _key);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The next load completes the plan anew.
        }
    }
}
