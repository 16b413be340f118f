using System.Runtime.InteropServices;
using Google.Protobuf;
using Microsoft.ML.OnnxRuntime;
using QuantSdk.Onnx;

namespace QuantSdk.Engines;

/// <summary>Runs a model once, for its values; used where the rewriter needs to know what a piece of graph computes.</summary>
internal static class OrtEvaluator
{
    /// <summary>The named outputs, or null where ONNX Runtime refuses the model.</summary>
    public static IReadOnlyList<TensorProto>? TryRun(ModelProto model, IReadOnlyList<string> outputs) => TryRun(model, [[]], outputs, null)?[0];

    /// <summary>The named outputs for each set of inputs, or null where ONNX Runtime refuses the model or one of the sets.</summary>
    /// <param name="keepDataOf">Outputs whose data is wanted; of the others only type and dims. Null: all.</param>
    public static IReadOnlyList<IReadOnlyList<TensorProto>>? TryRun(ModelProto model, IReadOnlyList<IReadOnlyList<TensorProto>> feeds, IReadOnlyList<string> outputs, IReadOnlySet<string>? keepDataOf)
    {
        var folder = Directory.CreateTempSubdirectory("quantsdk-");
        try
        {
            var path = Path.Combine(folder.FullName, "model.onnx");
            OnnxFile.Save(model, path, path + ".data");
            using var options = new SessionOptions { GraphOptimizationLevel = GraphOptimizationLevel.ORT_DISABLE_ALL, LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL };
            using var session = new InferenceSession(path, options);
            return [.. feeds.Select(f => Run(session, f, outputs, keepDataOf))];
        }
        catch (OnnxRuntimeException)
        {
            return null;
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static IReadOnlyList<TensorProto> Run(InferenceSession session, IReadOnlyList<TensorProto> feeds, IReadOnlyList<string> outputs, IReadOnlySet<string>? keepDataOf)
    {
        using var options = new RunOptions { LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL };
        var values = feeds.Select(Value).ToArray();
        try
        {
            using var results = session.Run(options, [.. feeds.Select(f => f.Name)], values, outputs);
            return [.. outputs.Select((name, i) => Tensor(name, results[i], keepDataOf is null || keepDataOf.Contains(name)))];
        }
        finally
        {
            foreach (var value in values)
                value.Dispose();
        }
    }

    private static OrtValue Value(TensorProto tensor)
    {
        var value = OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, (Microsoft.ML.OnnxRuntime.Tensors.TensorElementType)tensor.DataType, [.. tensor.Dims]);
        tensor.RawData.Span.CopyTo(value.GetTensorMutableRawData());
        return value;
    }

    private static TensorProto Tensor(string name, OrtValue value, bool keepData)
    {
        if (!value.IsTensor)
            return new TensorProto { Name = name };
        var info = value.GetTensorTypeAndShape();
        var proto = new TensorProto { Name = name, DataType = (int)info.ElementDataType };
        proto.Dims.Add(info.Shape);
        if (keepData)
            proto.RawData = ByteString.CopyFrom(MemoryMarshal.AsBytes(value.GetTensorMutableRawData()));
        return proto;
    }
}
