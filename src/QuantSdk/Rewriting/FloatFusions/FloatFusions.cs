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
        var (fused, shapes) = BeforeQuantising(model);
        var proto = ReferenceEquals(fused, model) ? model.Proto.Clone() : fused.Proto;
        return model with { Proto = AfterQuantising(proto, shapes) };
    }

    /// <summary>Attention and activations, whose insides nothing quantises; and the shapes that the second half needs.</summary>
    public static (OnnxModel Model, ProbedShapes? Shapes) BeforeQuantising(OnnxModel model)
    {
        var proto = model.Proto.Clone();
        var found = TanhGelu.Fuse(proto.Graph);
        var tensors = AttentionFusion.Tensors(proto).Concat(RowNormalization.Tensors(proto.Graph)).ToHashSet(StringComparer.Ordinal);
        var shapes = tensors.Count > 0 ? ProbedShapes.Of(model.Proto, tensors) : null;
        if (shapes is not null)
            found += AttentionFusion.Fuse(proto, shapes);
        if (found == 0)
            return (model, shapes);
        DeadCode.Remove(proto.Graph);
        ImportDomain(proto);
        return (model with { Proto = proto }, shapes);
    }

    /// <summary>Normalisations, which until here take up scales of what they feed, and int8 products with their bias. Changes the graph in place.</summary>
    /// <param name="shapes">What <see cref="BeforeQuantising"/> returned.</param>
    /// <param name="dynamic">Products whose activations are quantised at run time.</param>
    public static ModelProto AfterQuantising(ModelProto model, ProbedShapes? shapes, IReadOnlySet<string>? dynamic = null)
    {
        if (shapes is not null && RowNormalization.Fuse(model.Graph, shapes) > 0)
            DeadCode.Remove(model.Graph);
        return LinearKernels.Write(ChannelsLast.Avoid(model), dynamic);
    }

    /// <summary>Declares that a model uses ONNX Runtime's own operators.</summary>
    public static void ImportDomain(ModelProto model)
    {
        if (!model.OpsetImport.Any(o => o.Domain == Domain))
            model.OpsetImport.Add(new OperatorSetIdProto { Domain = Domain, Version = 1 });
    }
}
