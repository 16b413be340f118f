using QuantSdk.Numerics;
using QuantSdk.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Engines.Streaming;

/// <summary>A weight on its way into integer codes.</summary>
/// <param name="Name">Stem of the new tensors' names.</param>
/// <param name="Source">Where the values come from.</param>
/// <param name="Transposed">True where a matrix [N, K] is stored as [K, N], the order that runtimes fuse.</param>
/// <param name="Axis">Axis of the output channels in the source.</param>
internal sealed record StreamedWeight(string Name, TensorProto Source, bool Transposed, int Axis, IntFormat Format)
{
    /// <summary>Shape as stored.</summary>
    public long[] Dims => Transposed ? [Source.Dims[1], Source.Dims[0]] : [.. Source.Dims];

    /// <summary>Grid geometry as stored.</summary>
    public IntBlockGeometry Geometry => IntBlockGeometry.Of(Dims, Transposed ? 1 - Axis : Axis, Format.BlockSize);

    public DataType CodeType => Format.Bits switch { 2 => DataType.Int2, 4 => DataType.Int4, _ => DataType.Int8 };

    public DataType ScaleType => Format.Scales switch { Numerics.ScaleType.Half => DataType.Float16, Numerics.ScaleType.BFloat => DataType.Bfloat16, _ => DataType.Float };
}
