using QuantSdk.Recipes;
using QuantSdk.Rewriting;

namespace QuantSdk.Onnx.Upgrading;

/// <summary>A model as it comes → the float model that every later stage works on.</summary>
internal static class Intake
{
    /// <summary>A copy in 32-bit floats, at an operator set that has what the recipe's formats need, with constants that nobody can feed.</summary>
    /// <exception cref="Runtime.QuantSdkException">QSDK3001 where it cannot be upgraded, QSDK3010 where a tensor is too large.</exception>
    public static OnnxModel Prepare(OnnxModel model, Recipe recipe)
    {
        var prepared = OpsetUpgrade.To(Runnable(model), OpsetUpgrade.Needed(recipe));
        return WithoutDefaults(ReferenceEquals(prepared, model) ? model with { Proto = model.Proto.Clone() } : prepared);
    }

    /// <summary>The model in a form that ONNX Runtime's CPU can run, and else unchanged: the model itself where it is that already.</summary>
    public static OnnxModel Runnable(OnnxModel model)
    {
        var runnable = Float32Twin.Of(model);
        if (!NodeNames.HasDuplicates(runnable.Graph))
            return runnable;
        if (ReferenceEquals(runnable, model))
            runnable = model with { Proto = model.Proto.Clone() };
        NodeNames.MakeUnique(runnable.Graph);
        return runnable;
    }

    /// <summary>
    /// Initializers that are inputs too are defaults that a caller may override, or an old file format that asked for it. They are
    /// constants from here on: a runtime folds and fuses nothing else.
    /// </summary>
    internal static OnnxModel WithoutDefaults(OnnxModel model)
    {
        var constants = model.Graph.Initializer.Select(t => t.Name).ToHashSet(StringComparer.Ordinal);
        DeadCode.Retain(model.Graph.Input, i => !constants.Contains(i.Name));
        model.Proto.IrVersion = Math.Max(model.Proto.IrVersion, 4);
        return model;
    }
}
