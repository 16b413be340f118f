using QuantSdk.Onnx;
using QuantSdk.Onnx.Upgrading;
using QuantSdk.Runtime;

namespace QuantSdk.Engines;

/// <summary>The float model that everything is measured against, open: the file itself, or a copy where ONNX Runtime would refuse it or run it in 16 bits.</summary>
internal sealed class ReferenceModel : IDisposable
{
    private readonly DirectoryInfo? _folder;

    private ReferenceModel(ModelSession session, DirectoryInfo? folder) => (Session, _folder) = (session, folder);

    public ModelSession Session { get; }

    public static ReferenceModel Open(OnnxModel model, int threads)
    {
        var settings = new SessionSettings { Threads = threads };
        var runnable = Intake.Runnable(model);
        if (ReferenceEquals(runnable, model))
            return new ReferenceModel(ModelSession.Open(model.Path, settings), null);
        var folder = Directory.CreateTempSubdirectory("quantsdk-");
        try
        {
            // Under the model's own name, which is what messages show.
            var path = Path.Combine(folder.FullName, Path.GetFileName(model.Path));
            OnnxFile.Save(runnable.Proto, path, path + ".data");
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
