using QuantSdk.Onnx;

namespace QuantSdk.Rewriting;

/// <summary>
/// What a float graph for the cpu is rewritten to before anything is quantised: groups of nodes that ONNX Runtime has one kernel
/// for and does not find itself. The same numbers up to rounding. The result holds operators of ONNX Runtime's own domain: no
/// other reader knows it.
/// </summary>
internal static class FloatFusions
{
    /// <summary>ONNX Runtime's own operators.</summary>
    public const string Domain = "com.microsoft";

    /// <summary>The model with everything fused; the names of tensors that are left are kept.</summary>
    public static OnnxModel Apply(OnnxModel model)
    {
        var proto = model.Proto.Clone();
        var found = TanhGelu.Fuse(proto.Graph);
        var tensors = AttentionFusion.Tensors(proto).Concat(RowNormalization.Tensors(proto.Graph)).ToHashSet(StringComparer.Ordinal);
        if (tensors.Count > 0 && ProbedShapes.Of(model.Proto, tensors) is { } shapes)
            found += AttentionFusion.Fuse(proto, shapes) + RowNormalization.Fuse(proto.Graph, shapes);
        if (found == 0)
            return model;
        DeadCode.Remove(proto.Graph);
        ImportDomain(proto);
        return model with { Proto = proto };
    }

    /// <summary>Declares that a model uses ONNX Runtime's own operators.</summary>
    public static void ImportDomain(ModelProto model)
    {
        if (!model.OpsetImport.Any(o => o.Domain == Domain))
            model.OpsetImport.Add(new OperatorSetIdProto { Domain = Domain, Version = 1 });
    }
}
