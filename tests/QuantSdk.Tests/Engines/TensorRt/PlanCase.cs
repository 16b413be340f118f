using Google.Protobuf;
using QuantSdk.Engines.TensorRt;
using QuantSdk.Onnx;
using QuantSdk.Recipes;
using QuantSdk.TrtExecStandIn;

namespace QuantSdk.Tests.Engines.TensorRt;

/// <summary>A folder with a model and a stand-in for trtexec, and a plan to be built there.</summary>
internal sealed class PlanCase : IDisposable
{
    private readonly TempFolder _folder = new();

    public PlanCase(string family = "10.13", string? failure = null, ModelProto? model = null)
    {
        Family = family;
        Directory.CreateDirectory(Out);
        Bin = _folder["a bin"];
        StandInTrtExec.Write(Bin, family, failure);
        var proto = model ?? TrtModels.Small();
        File.WriteAllBytes(_folder["a model.onnx"], proto.ToByteArray());
        Settings = new TrtExecSettings(Path.Combine(Bin, "trtexec"), Layers: _folder["obj"]);
        // Of 8.6, networks are weakly typed.
        Options = new TensorRtOptions { StronglyTyped = family != "8.6" };
        Request = new PlanRequest { Name = "unet", Model = _folder["a model.onnx"], Graph = proto.Graph, Plan = Path.Combine(Out, "model.plan"), Source = "/home/user/unet.onnx", TimingCaches = _folder["cache"], Locks = _folder["locks"] };
    }

    public string Family { get; }

    /// <summary>Where the program is; there is a blank in it.</summary>
    public string Bin { get; }

    /// <summary>Where the plan goes; nothing else may be there.</summary>
    public string Out => _folder["out put"];

    public string this[string name] => _folder[name];

    public TrtExecSettings Settings { get; set; }

    public TensorRtOptions Options { get; set; }

    public PlanRequest Request { get; set; }

    public BuildLog Log { get; } = new();

    public IReadOnlyList<StandInRun> Runs => StandInTrtExec.Runs(Bin);

    /// <summary>The version is known: nothing is asked.</summary>
    public TrtExec TrtExec
    {
        get
        {
            var version = StandInVersion.Of(Family);
            return new TrtExec(Settings.Path!, new TensorRtVersion(version.Major, version.Minor, version.Patch, version.Build), "test");
        }
    }

    public BuiltPlan Build(CancellationToken cancellation = default) => PlanBuilder.Build(TrtExec, Settings, Options, Request, Log, cancellation);

    /// <summary>From now on the program fails otherwise, or not at all.</summary>
    public void Fail(string? failure) => StandInTrtExec.Write(Bin, Family, failure);

    /// <summary>Names in the plan's folder.</summary>
    public string[] Left() => [.. Directory.GetFileSystemEntries(Out).Select(f => Path.GetFileName(f)!).Order(StringComparer.Ordinal)];

    public void Dispose() => _folder.Dispose();
}
