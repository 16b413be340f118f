using QuantSdk.Onnx;
using static QuantSdk.Onnx.AttributeProto.Types;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Rewriting;

/// <summary>
/// Products with a table that is looked up elsewhere, behind a Transpose: com.microsoft.FusedMatMul reads it as it lies. ONNX Runtime
/// would fold the Transpose before it fuses it, and write the table twice.
/// </summary>
internal static class TiedProducts
{
    private const string Domain = "com.microsoft";

    public static void Fuse(ModelProto model)
    {
        var view = new GraphView(model.Graph);
        var fused = false;
        foreach (var node in model.Graph.Node.Where(n => n.Is("MatMul")))
        {
            if (view.Producer(node.Input[1]) is not { } transpose || !transpose.Is("Transpose") || view.Initializer(transpose.Input[0]) is not { Dims.Count: 2, DataType: (int)DataType.Float } table)
                continue;
            if (transpose.Attribute("perm")?.Ints is not (null or [1, 0]) || view.Consumers(table.Name).All(c => c.Node == transpose))
                continue;
            (node.OpType, node.Domain, node.Input[1]) = ("FusedMatMul", Domain, table.Name);
            node.Attribute.Add(new AttributeProto { Name = "transB", Type = AttributeType.Int, I = 1 });
            fused = true;
        }
        if (!fused)
            return;
        if (model.OpsetImport.All(o => o.Domain != Domain))
            model.OpsetImport.Add(new OperatorSetIdProto { Domain = Domain, Version = 1 });
        DeadCode.Remove(model.Graph);
    }
}
