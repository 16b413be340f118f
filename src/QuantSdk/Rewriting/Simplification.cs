using QuantSdk.Onnx;

namespace QuantSdk.Rewriting;

/// <summary>
/// The float model as every later stage sees it: constants folded, shape chains gone, batch norms inside their convolutions,
/// one copy of what is equal. Node and tensor names of what remains are kept.
/// </summary>
internal static class Simplification
{
    public static OnnxModel Simplify(OnnxModel model)
    {
        var proto = model.Proto.Clone();
        var graph = proto.Graph;
        // What a debugger of the exporter wants is dead weight in an engine.
        foreach (var node in graph.Node)
            node.ClearDocString();
        graph.ClearDocString();
        NodeNames.MakeUnique(graph);
        ConstantFolding.LiftConstants(graph);
        Identities.Remove(graph);
        Duplicates.Merge(graph);
        ConstantFolding.Fold(proto);
        DeadCode.Remove(graph);
        ShapeFolding.Fold(proto);
        DeadCode.Remove(graph);
        ConstantFolding.Fold(proto);
        ProductForms.Normalise(proto);
        BatchNormFolding.Fold(graph);
        Duplicates.Merge(graph);
        DeadCode.Remove(graph);
        return model with { Proto = proto };
    }
}
