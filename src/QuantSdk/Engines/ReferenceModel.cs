using QuantSdk.Onnx;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;

namespace QuantSdk.Engines;

/// <summary>The float model that everything is measured against, open: the file itself, or the twin of one in 16-bit floats.</summary>
internal sealed class ReferenceModel : IDisposable
{
    private readonly DirectoryInfo? _folder;

    private ReferenceModel(ModelSession session, DirectoryInfo? folder) => (Session, _folder) = (session, folder);

    public ModelSession Session { get; }

    public static ReferenceModel Open(OnnxModel model, int threads)
    {
        var settings = new SessionSettings { Threads = threads };
        var twin = Float32Twin.Of(model);
        if (ReferenceEquals(twin, model))
            return new ReferenceModel(ModelSession.Open(model.Path, settings), null);
        var folder = Directory.CreateTempSubdirectory("quantsdk-");
        try
        {
            // Under the model's own name, which is what messages show.
            var path = Path.Combine(folder.FullName, Path.GetFileName(model.Path));
            OnnxFile.Save(twin.Proto, path, path + ".data");
            return new ReferenceModel(ModelSession.Open(path, settings), folder);
        }
        catch
        {
            folder.Delete(recursive: true);
            throw;
        }
    }

    public void Dispose()
    {
        Session.Dispose();
        _folder?.Delete(recursive: true);
    }
}
