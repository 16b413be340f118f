using System.Globalization;
using System.Runtime.InteropServices;
using QuantSdk.Onnx;
using QuantSdk.Runtime;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Calibration;

/// <summary>Converts an array to the type a model's input has, where every value survives (fractions for float16 inputs: rounded); else says which one does not.</summary>
internal static class LosslessCast
{
    public static NpyArray To(NpyArray array, DataType type, string input)
    {
        if (array.Type == type)
            return array;
        var count = (int)(array.Data.Length / ElementType.Bytes((int)array.Type, 1));
        var target = new byte[ElementType.Bytes((int)type, count)];
        for (var i = 0; i < count; i++)
        {
            // decimal holds every integer, double every float: one of the two is exact for each source type.
            var ok = IsInteger(array.Type) ? WriteInteger(target, type, i, ReadInteger(array, i)) : WriteFloat(target, type, i, ReadFloat(array, i));
            if (!ok)
            {
                var value = IsInteger(array.Type) ? ReadInteger(array, i).ToString(CultureInfo.InvariantCulture) : ReadFloat(array, i).ToString(CultureInfo.InvariantCulture);
                throw new QuantSdkException("QSDK1015", $"The input '{input}' takes {ElementType.Name((int)type)}; {array} cannot be converted without loss (element {i} is {value}). Save it with the input's dtype.");
            }
        }
        return array with { Type = type, Data = target };
    }

    private static bool IsInteger(DataType type) => !ElementType.IsFloat((int)type);

    private static Int128 ReadInteger(NpyArray array, int i) => array.Type switch
    {
        DataType.Int64 => Read<long>(array, i),
        DataType.Int32 => Read<int>(array, i),
        DataType.Int16 => Read<short>(array, i),
        DataType.Int8 => Read<sbyte>(array, i),
        DataType.Uint16 => Read<ushort>(array, i),
        DataType.Uint32 => Read<uint>(array, i),
        DataType.Uint64 => Read<ulong>(array, i),
        _ => Read<byte>(array, i),
    };

    private static double ReadFloat(NpyArray array, int i) => array.Type switch
    {
        DataType.Double => Read<double>(array, i),
        DataType.Float16 => (double)Read<Half>(array, i),
        _ => Read<float>(array, i),
    };

    private static bool WriteInteger(byte[] target, DataType type, int i, Int128 value)
    {
        switch (type)
        {
            case DataType.Float: return Write(target, i, (float)value) && (Int128)(float)value == value;
            case DataType.Double: return Write(target, i, (double)value) && (Int128)(double)value == value;
            case DataType.Float16: return value >= -65504 && value <= 65504 && Write(target, i, (Half)(int)value) && (int)(Half)(int)value == value;
            case DataType.Int64: return value >= long.MinValue && value <= long.MaxValue && Write(target, i, (long)value);
            case DataType.Int32: return value >= int.MinValue && value <= int.MaxValue && Write(target, i, (int)value);
            case DataType.Int8: return value >= sbyte.MinValue && value <= sbyte.MaxValue && Write(target, i, (sbyte)value);
            case DataType.Uint8: return value >= 0 && value <= byte.MaxValue && Write(target, i, (byte)value);
            case DataType.Bool: return (value == 0 || value == 1) && Write(target, i, (byte)value);
            default: return false;
        }
    }

    private static bool WriteFloat(byte[] target, DataType type, int i, double value)
    {
        switch (type)
        {
            case DataType.Float: return Write(target, i, (float)value) && ((float)value == value || double.IsNaN(value));
            case DataType.Double: return Write(target, i, value);
            // What an app does with its numbers before it feeds them; only what is beyond the range of the type is lost.
            case DataType.Float16: return Write(target, i, (Half)value) && (Half.IsFinite((Half)value) || !double.IsFinite(value));
            // A fraction never becomes an integer, but 3.0 is 3.
            default: return value == Math.Floor(value) && Math.Abs(value) < 9.2e18 && WriteInteger(target, type, i, (Int128)value);
        }
    }

    private static T Read<T>(NpyArray array, int i)
        where T : unmanaged => MemoryMarshal.Cast<byte, T>(array.Data.Span)[i];

    private static bool Write<T>(byte[] target, int i, T value)
        where T : unmanaged
    {
        MemoryMarshal.Cast<byte, T>(target.AsSpan())[i] = value;
        return true;
    }
}
