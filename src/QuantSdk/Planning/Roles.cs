using QuantSdk.Onnx;
using QuantSdk.Recipes;
using QuantSdk.Runtime;

namespace QuantSdk.Planning;

/// <summary>Which input is the sample and which the timestep of a diffusion model.</summary>
internal static class Roles
{
    private static readonly string[] TimestepNames = ["timestep", "timesteps", "t"];

    /// <summary>
    /// The roles named in the recipe, else found: the sample is the float input shaped like the first output (which may have twice the
    /// channels), the timestep the input of one of the usual names. Null where the model has no timestep.
    /// </summary>
    /// <exception cref="QuantSdkException">QSDK1024 where a name given is not an input, or where sampling needs a role that is not found.</exception>
    public static DiffusionRoles? Find(OnnxModel model, Recipe recipe)
    {
        var inputs = new GraphView(model.Graph).Inputs;
        var timestep = Named(recipe.TimestepInput, "TimestepInput") ?? inputs.FirstOrDefault(i => TimestepNames.Contains(i.Name, StringComparer.Ordinal))?.Name;
        var sample = Named(recipe.SampleInput, "SampleInput") ?? inputs.FirstOrDefault(i => i.Name != timestep && LooksLike(i, model.Graph.Output[0]))?.Name;
        if (timestep is not null && sample is not null)
            return new DiffusionRoles(sample, timestep, recipe.TimestepScale);
        if (recipe.Scheduler is not null)
            throw new QuantSdkException("QSDK1024", $"{recipe.Name}: calibrating by sampling needs the {(timestep is null ? "timestep" : "sample")} input, which was not found among {List()}. Name it with {(timestep is null ? "TimestepInput" : "SampleInput")}.", model.Path);
        return null;

        string? Named(string? name, string metadata) =>
            name is null || inputs.Any(i => i.Name == name) ? name
            : throw new QuantSdkException("QSDK1024", $"{recipe.Name}: {metadata}='{name}' is not an input of the model. Its inputs are {List()}.", model.Path);

        string List() => string.Join(", ", inputs.Select(i => i.Name));
    }

    private static bool LooksLike(ValueInfoProto input, ValueInfoProto output)
    {
        if (input.Type?.TensorType is not { } type || !ElementType.IsFloat(type.ElemType) || type.Shape is null || output.Type?.TensorType?.Shape is not { } shape || type.Shape.Dim.Count != shape.Dim.Count || shape.Dim.Count < 3)
            return false;
        for (var i = 0; i < shape.Dim.Count; i++)
        {
            if (!type.Shape.Dim[i].HasDimValue || !shape.Dim[i].HasDimValue)
                continue;
            long a = type.Shape.Dim[i].DimValue, b = shape.Dim[i].DimValue;
            if (a != b && !(i == 1 && b == 2 * a))
                return false;
        }
        return true;
    }
}
