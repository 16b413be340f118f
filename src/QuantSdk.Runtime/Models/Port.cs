using Microsoft.ML.OnnxRuntime;

namespace QuantSdk.Runtime;

/// <summary>An input or output of an opened model.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Type">Its element type.</param>
/// <param name="Shape">Its dimensions, −1 where only known at run time. Empty for a scalar and also where not even the rank is known: ONNX Runtime does not tell the two apart.</param>
/// <param name="Symbols">For each dimension the name it has in the graph, empty where it has none. Equal names mean equal sizes.</param>
internal sealed record Port(string Name, TensorType Type, long[] Shape, string[] Symbols)
{
    public TensorInfo Info => new(Name, Type.Name, Shape);

    public static Port Of(string name, NodeMetadata metadata, string file)
    {
        if (!metadata.IsTensor)
            throw new QuantSdkException("QSDK7009", $"'{file}': '{name}' is a {metadata.OnnxValueType}; only tensors can be inputs and outputs.", file);
        var type = TensorType.Of(metadata.ElementDataType)
            ?? throw new QuantSdkException("QSDK7009", $"'{file}': '{name}' has the element type {metadata.ElementDataType}; supported are {TensorType.Names}.", file);
        return new Port(name, type, Array.ConvertAll(metadata.Dimensions, dimension => (long)dimension), metadata.SymbolicDimensions);
    }

    /// <summary>Returns a copy of the shape if it fits.</summary>
    public long[] Check(ReadOnlySpan<long> shape, string file) => Shape.Length == 0 || TensorShape.Fits(shape, Shape)
        ? shape.ToArray()
        : throw new QuantSdkException("QSDK7022", $"'{file}': '{Name}' has the shape {TensorShape.Text(Shape)}; {TensorShape.Text(shape)} does not fit.", file);

    public override string ToString() => Type.Name + TensorShape.Text(Shape);
}
