using QuantSdk.Calibration;
using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Onnx.Upgrading;
using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;

namespace QuantSdk.Tool.Commands;

/// <summary>A float model as the stages need it: read, simplified, open in ONNX Runtime.</summary>
internal sealed record FloatModel(BuildRequest Request, Recipe Recipe, OnnxModel Original, OnnxModel Simplified, DiffusionRoles? Roles, ReferenceModel Reference) : IDisposable
{
    public static FloatModel Open(BuildRequest request, IBuildLog log)
    {
        var recipe = RecipeParser.Parse(request.Name, request.Metadata);
        var original = OnnxFile.Load(request.Model);
        var prepared = Intake.Prepare(original, recipe);
        var roles = Planning.Roles.Find(original, recipe);
        log.Phase("Calibrate");
        return new FloatModel(request, recipe, original, ConcatSplit.Apply(Simplification.Simplify(prepared), recipe, roles), roles, ReferenceModel.Open(original, request.Threads));
    }

    /// <summary>The model of ConditionedBy, or null.</summary>
    public OnnxModel? Conditioner => Request.ConditionedBy is null ? null : OnnxFile.Load(Request.ConditionedBy);

    /// <summary>The recipe's calibration data.</summary>
    public CalibrationInputs Inputs(IBuildLog log)
    {
        using var conditioner = Conditioner is { } conditioning ? ReferenceModel.Open(conditioning, Request.Threads) : null;
        return CalibrationInputs.Read(Request, Recipe, Reference.Session.Inputs, Roles, conditioner?.Session, log);
    }

    public CalibratedModel Calibrate(string scratch, IBuildLog log, CancellationToken cancellation) =>
        CalibrationStage.Run(Request, Recipe, Simplified, Roles, Reference.Session, Conditioner, scratch, log, cancellation);

    public void Dispose() => Reference.Dispose();
}
