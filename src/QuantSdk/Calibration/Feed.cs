using QuantSdk.Onnx;
using QuantSdk.Runtime;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Calibration;

/// <summary>Rows for a model's inputs, checked and in the types it takes.</summary>
/// <param name="Inputs">By input name.</param>
/// <param name="Rows">How many rows there are.</param>
/// <param name="Batch">The batch that the model's fixed dimensions force, or null.</param>
internal sealed record Feed(IReadOnlyDictionary<string, FeedInput> Inputs, int Rows, int? Batch)
{
    /// <summary>Fits arrays to a model's inputs.</summary>
    /// <param name="data">Arrays by input name; names that are no input have been dealt with.</param>
    /// <param name="ports">The inputs to feed.</param>
    /// <exception cref="QuantSdkException">QSDK2001 missing, QSDK2002 shape, QSDK2004 NaN or infinity, QSDK1015 type.</exception>
    public static Feed Fit(IReadOnlyDictionary<string, NpyArray> data, IReadOnlyList<Port> ports, string model)
    {
        foreach (var port in ports)
        {
            if (!data.ContainsKey(port.Name))
                throw new QuantSdkException("QSDK2001", $"Calibration data for the input '{port.Name}' is missing. '{model}' wants {Wanted(ports)}; given: {(data.Count == 0 ? "nothing" : string.Join(", ", data.Values))}.", model);
        }
        var arrays = ports.ToDictionary(p => p.Name, p => LosslessCast.To(data[p.Name], (DataType)p.Type.Element, p.Name), StringComparer.Ordinal);
        var rows = (int)ports.Where(p => !IsWhole(p, arrays[p.Name])).Select(p => arrays[p.Name].Rows)
            // A model without dynamic dimensions, given one batch: its first input counts the rows.
            .DefaultIfEmpty(ports.Count > 0 && ports[0].Shape.Length > 0 ? arrays[ports[0].Name].Rows : 1).Max();
        int? batch = null;
        var inputs = new Dictionary<string, FeedInput>(StringComparer.Ordinal);
        foreach (var port in ports)
        {
            var array = arrays[port.Name];
            CheckFinite(array, model);
            if (IsWhole(port, array) && array.Rows != rows)
            {
                inputs[port.Name] = new FeedInput(array, FeedKind.Whole);
                continue;
            }
            var rowIsInput = array.Shape.Count == port.Shape.Length + 1;
            var expected = rowIsInput ? port.Shape : port.Shape[Math.Min(1, port.Shape.Length)..];
            if ((array.Shape.Count != port.Shape.Length && !rowIsInput) || array.Shape.Count == 0 || !TensorShape.Fits([.. array.Shape.Skip(1)], expected))
                throw new QuantSdkException("QSDK2002", $"{array} does not fit the input '{port.Name}' of '{model}', which takes {port}; axis 0 of the data counts rows.", model);
            if (array.Rows != rows && array.Rows != 1)
                throw new QuantSdkException("QSDK2002", $"{array} has {array.Rows} rows where other inputs have {rows}. Every input needs one row a sample, or one row for all.", model);
            if (array.Rows == 0)
                throw new QuantSdkException("QSDK2002", $"{array} has no rows.", model);
            var forced = rowIsInput ? 1 : port.Shape is [> 0, ..] ? (int)port.Shape[0] : (int?)null;
            if (forced is not null && batch is not null && forced != batch)
                throw new QuantSdkException("QSDK2002", $"The inputs of '{model}' have different fixed batch sizes ({batch} and {forced}); rows cannot be cut into batches.", model);
            batch ??= forced;
            inputs[port.Name] = new FeedInput(array, array.Rows == 1 && rows > 1 ? FeedKind.Shared : FeedKind.Rows);
        }
        if (batch > rows)
            throw new QuantSdkException("QSDK2002", $"'{model}' has a fixed batch of {batch}, the calibration data only {rows} rows.", model);
        return new Feed(inputs, rows, batch);
    }

    /// <summary>The rows [start, start + count).</summary>
    public Feed Slice(int start, int count) => this with { Rows = count, Inputs = Inputs.ToDictionary(i => i.Key, i => i.Value.Slice(start, count), StringComparer.Ordinal) };

    /// <summary>The given rows, in the given order.</summary>
    public Feed Gather(IReadOnlyList<int> rows) => this with { Rows = rows.Count, Inputs = Inputs.ToDictionary(i => i.Key, i => i.Value.Gather(rows), StringComparer.Ordinal) };

    /// <summary>"sample (float[-1,4,64,64]), …".</summary>
    public static string Wanted(IEnumerable<Port> ports) => string.Join(", ", ports.Select(p => $"{p.Name} ({p})"));

    /// <summary>A static input that is given once, as it is (a table of positions, say).</summary>
    private static bool IsWhole(Port port, NpyArray array) => port.Shape.All(d => d > 0) && array.Shape.SequenceEqual(port.Shape);

    private static void CheckFinite(NpyArray array, string model)
    {
        if (array.Type != DataType.Float)
            return;
        var values = System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(array.Data.Span);
        for (var i = 0; i < values.Length; i++)
        {
            if (!float.IsFinite(values[i]))
                throw new QuantSdkException("QSDK2004", $"{array} holds {values[i]} in row {i / Math.Max(1, values.Length / Math.Max(1, array.Rows))}. Calibration data must be finite.", model);
        }
    }
}

/// <summary>How an array is spread over rows.</summary>
internal enum FeedKind
{
    /// <summary>One row a sample.</summary>
    Rows,

    /// <summary>One row, repeated.</summary>
    Shared,

    /// <summary>The whole array for every batch.</summary>
    Whole,
}

/// <summary>The data of one input.</summary>
internal sealed record FeedInput(NpyArray Array, FeedKind Kind)
{
    /// <summary>Copies rows into a bound input.</summary>
    public void CopyTo(Span<byte> target, int start, int count)
    {
        var rowBytes = Array.RowBytes;
        switch (Kind)
        {
            case FeedKind.Whole:
                Array.Data.Span.CopyTo(target);
                break;
            case FeedKind.Rows:
                Array.Data.Span.Slice(start * rowBytes, count * rowBytes).CopyTo(target);
                break;
            default:
                for (var i = 0; i < count; i++)
                    Array.Data.Span.CopyTo(target[(i * rowBytes)..]);
                break;
        }
    }

    /// <summary>The bound shape for a batch of <paramref name="count"/> rows.</summary>
    public long[] Shape(Port port, int count) => Kind == FeedKind.Whole || Array.Shape.Count == port.Shape.Length + 1 ? [.. Array.Shape.Skip(Array.Shape.Count - port.Shape.Length)] : [count, .. Array.Shape.Skip(1)];

    public FeedInput Gather(IReadOnlyList<int> rows)
    {
        if (Kind != FeedKind.Rows)
            return this;
        var data = new byte[rows.Count * Array.RowBytes];
        for (var i = 0; i < rows.Count; i++)
            Array.Data.Span.Slice(rows[i] * Array.RowBytes, Array.RowBytes).CopyTo(data.AsSpan(i * Array.RowBytes));
        return this with { Array = Array with { Shape = [rows.Count, .. Array.Shape.Skip(1)], Data = data } };
    }

    public FeedInput Slice(int start, int count) => Kind != FeedKind.Rows ? this
        : this with { Array = Array with { Shape = [count, .. Array.Shape.Skip(1)], Data = Array.Data.Slice(start * Array.RowBytes, count * Array.RowBytes) } };
}
