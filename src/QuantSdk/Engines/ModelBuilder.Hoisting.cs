using QuantSdk.Caching;
using QuantSdk.Caching.Hoisting;
using QuantSdk.Calibration;
using QuantSdk.Onnx;
using QuantSdk.Recipes;
using QuantSdk.Runtime;

namespace QuantSdk.Engines;

/// <summary>Hoist: what does not depend on the sample, in engines of its own.</summary>
internal sealed partial class ModelBuilder
{
    /// <summary>How the cpu's graph was divided, or null.</summary>
    private HoistedModel? _hoisted;

    private static string Undivided(EngineFolder folder) => Path.Combine(folder.Scratch, "undivided.onnx");

    private HoistedModel? Hoist(Recipe recipe, ModelProto lowered, ModelProto? live, DiffusionRoles? roles, EngineFolder folder)
    {
        if (!recipe.Hoist)
            return null;
        _hoisted = roles is null ? null : HoistedModel.Of(lowered, roles, live);
        if (_hoisted is null)
        {
            _log.Warning("QSDK3081", $"{recipe.Name}: Hoist=true, and there is nothing to hoist: {(roles is null ? "the model has no sample and timestep inputs that could be told apart (SampleInput, TimestepInput name them)" : "everything that costs time depends on the sample")}. The engine is what it would be without.", _request.Model);
            return null;
        }
        OnnxFile.Save(lowered, Undivided(folder), Path.ChangeExtension(Undivided(folder), ".data"));
        _log.Detail($"hoisted: {string.Join(", ", _hoisted.Tensors.Select(t => $"{t.Name} ({t.DependsOn})"))}");
        return _hoisted;
    }

    /// <summary>Writes the heads beside the portable graph, over the same data.</summary>
    private static void WriteHeads(Recipe recipe, HoistedModel? hoisted, string portable)
    {
        foreach (var part in HeadPart.All(recipe.Cache is not null))
        {
            var head = Path.Combine(Path.GetDirectoryName(portable)!, part.File());
            if (hoisted?.Of(part).Any() == true)
                OnnxFile.Save(hoisted.Head(part), head, Path.ChangeExtension(head, ".data"));
            Share(portable, head);
        }
    }

    /// <summary>Optimises the heads beside the rest, over the same data.</summary>
    private IReadOnlyList<HeadInfo>? OptimiseHeads(Recipe recipe, string portable, string optimised, bool prepack)
    {
        var heads = new List<HeadInfo>();
        foreach (var part in HeadPart.All(recipe.Cache is not null))
        {
            var head = Path.Combine(Path.GetDirectoryName(optimised)!, part.File(".optimised"));
            if (_hoisted?.Of(part).Any() == true)
            {
                OrtEngine.Optimise(Path.Combine(Path.GetDirectoryName(portable)!, part.File()), head, _request.Threads, prepack);
                heads.Add(new HeadInfo(
                    part.DependsOn, $"cpu/{part.File()}", recipe.Prepacked ? new OptimisedModel($"cpu/{part.File(".optimised")}", ModelSession.OnnxRuntimeVersion, CpuFeatures.Current) : null, _hoisted.Infos(part), _hoisted.OneThread(part)));
            }
            Share(optimised, head);
        }
        return heads.Count == 0 ? null : heads;
    }

    /// <summary>Moves a head's weights to the model's; a head that does not exist becomes an empty graph.</summary>
    private static void Share(string model, string head)
    {
        if (!File.Exists(head))
        {
            OnnxFile.SaveGraph(new ModelProto { IrVersion = 8, Graph = new GraphProto { Name = "nothing" }, OpsetImport = { new OperatorSetIdProto { Version = 17 } } }, head);
            return;
        }
        SharedWeights.Join(model, head);
        // Of a head whose tensors are all small.
        File.Delete(Path.ChangeExtension(head, ".data"));
    }

    private object? CheckHoisting(Manifest manifest, bool prepack, ModelSession reference, EngineFolder folder)
    {
        var variant = manifest.Variants.Single(v => v.Target == "cpu");
        var undivided = Undivided(folder);
        if (variant.Optimised is not null)
        {
            undivided = Path.ChangeExtension(undivided, ".optimised.onnx");
            OrtEngine.Optimise(Undivided(folder), undivided, _request.Threads, prepack);
        }
        using var whole = ModelSession.Open(undivided, Shipped(variant));
        using var divided = OpenShipped(variant, folder);
        HoistCheck.Run(whole, divided, CalibrationInputs.RandomRow(reference.Inputs, _request.Model));
        return null;
    }
}
