using QuantSdk.Calibration;
using QuantSdk.Engines;
using QuantSdk.Runtime;

namespace QuantSdk.Bench;

/// <summary>A block and the engine folder that the library's builder made of it.</summary>
internal sealed record BuiltBlock(SdBlock Block, string FloatModel, string Engine, BuildReport Report)
{
    private const int CalibrationRows = 8;
    private const int HeldOutRows = 4;

    public static BuiltBlock Build(SdBlock block, string folder)
    {
        var model = block.Write(folder);
        var (calibration, heldOut) = (Path.Combine(folder, block.Name + "_calibration.npy"), Path.Combine(folder, block.Name + "_test.npy"));
        NpyWriter.Write(calibration, block.Samples(CalibrationRows, seed: 0));
        NpyWriter.Write(heldOut, block.Samples(HeldOutRows, seed: 1000));
        var engine = Path.Combine(folder, block.Name);
        var request = new BuildRequest(
            block.Name, model, folder, engine, Report: null, Quantisation.Threads,
            new Dictionary<string, string> { ["Precision"] = "int8", ["CalibrationData"] = calibration, ["ValidationData"] = heldOut }, ConditionedBy: null);
        return new BuiltBlock(block, model, engine, ModelBuilder.Build(request, new Silent(), CancellationToken.None).Report);
    }

    internal sealed class Silent : IBuildLog
    {
        public void Phase(string phase)
        {
        }

        public void Progress(string phase, int done, int total)
        {
        }

        public void Warning(string code, string message, string? file) => Console.WriteLine($"  {code}: {message}");

        public void Detail(string message)
        {
        }
    }
}
