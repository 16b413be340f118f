using QuantSdk.Onnx;

namespace QuantSdk.Rewriting;

/// <summary>
/// What a float graph for the cpu is rewritten to before anything is quantised: groups of nodes that ONNX Runtime has one kernel
/// for and does not find itself. The same numbers up to rounding. The result holds operators of ONNX Runtime's own domain: no
/// other reader knows it.
/// </summary>
internal static class FloatFusions
{
    private const string Domain = "com.microsoft";

    /// <summary>The model with everything fused; the names of tensors that are left are kept.</summary>
    public static OnnxModel Apply(OnnxModel model)
    {
        var proto = model.Proto.Clone();
        if (AttentionFusion.Fuse(proto) + TanhGelu.Fuse(proto.Graph) == 0)
            return model;
        DeadCode.Remove(proto.Graph);
        if (!proto.OpsetImport.Any(o => o.Domain == Domain))
            proto.OpsetImport.Add(new OperatorSetIdProto { Domain = Domain, Version = 1 });
        return model with { Proto = proto };
    }
}
