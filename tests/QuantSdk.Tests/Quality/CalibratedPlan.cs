using QuantSdk.Calibration;
using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Onnx.Upgrading;
using QuantSdk.Planning;
using QuantSdk.Quality;
using QuantSdk.Recipes;
using QuantSdk.Rewriting;

namespace QuantSdk.Tests.Quality;

/// <summary>A model as far as a build has it when it plans.</summary>
internal sealed record CalibratedPlan(OnnxModel Model, Plan Plan, ReferenceModel Reference, CalibrationSource HeldOut) : IDisposable
{
    public static CalibratedPlan Of(string model, TempFolder folder, Dictionary<string, string> metadata)
    {
        var request = new BuildRequest("m", model, Path.GetDirectoryName(model)!, folder["engine"], null, 2, metadata, null);
        var recipe = RecipeParser.Parse(request.Name, metadata);
        var original = OnnxFile.Load(model);
        var roles = Roles.Find(original, recipe);
        var simplified = Simplification.Simplify(Intake.Prepare(original, recipe));
        var reference = ReferenceModel.Open(original, 2);
        var calibrated = CalibrationStage.Run(request, recipe, simplified, roles, reference.Session, null, folder.Path, new SilentLog(), default);
        return new CalibratedPlan(simplified, Planner.Make(simplified, calibrated.Placement, calibrated.Table, recipe, calibrated.Samples), reference, calibrated.Inputs.HeldOut!);
    }

    public Sensitivity Measure(TempFolder folder) => SensitivityCheck.Measure(Model, Plan, null, Reference.Session, HeldOut, folder.Path, 2, null, default);

    public void Dispose() => Reference.Dispose();
}
