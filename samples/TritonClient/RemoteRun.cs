using System.Numerics.Tensors;
using QuantSdk.Runtime;

namespace TritonClient;

/// <summary>A run of a <see cref="RemoteDenoiser"/>. Its features belong to it alone, so that runs at once do not disturb each other.</summary>
internal sealed class RemoteRun(RemoteDenoiser denoiser, IReadOnlyList<long> shape, IReadOnlyDictionary<string, ModelTensor> conditioning) : IDenoiserRun
{
    private readonly float[] _sample = new float[shape.Aggregate(1L, (count, d) => count * d)];
    private Dictionary<string, ModelTensor>? _features;
    private float[] _prediction = [];

    public Span<float> Sample => _sample;

    public ReadOnlySpan<float> Predict(int step, float timestep, CancellationToken cancellationToken)
    {
        var inputs = new Dictionary<string, ModelTensor>(conditioning)
        {
            [denoiser.SampleName] = denoiser.HalfSample ? ModelTensor.Create(Array.ConvertAll(_sample, x => (Half)x), [.. shape]) : ModelTensor.Create(_sample, [.. shape]),
            [denoiser.TimestepName] = Timestep(timestep * (double)denoiser.TimestepScale),
        };
        Dictionary<string, ModelTensor> outputs;
        if (_features is null || denoiser.IsFull(step))
        {
            outputs = denoiser.Client.Infer(denoiser.Model, inputs, [denoiser.Prediction, .. denoiser.Cached], cancellationToken);
            _features = outputs;
        }
        else
        {
            foreach (var name in denoiser.Cached)
                inputs[name] = _features[name];
            // The live part may do without some inputs of the whole.
            outputs = denoiser.Client.Infer(denoiser.Live, inputs.Where(i => denoiser.LiveInputs.Contains(i.Key)).ToDictionary(), [denoiser.Prediction], cancellationToken);
        }
        return Floats(outputs[denoiser.Prediction]);
    }

    public void Dispose()
    {
    }

    private ModelTensor Timestep(double value)
    {
        long[] whole = [.. denoiser.TimestepInfo["shape"]!.AsArray().Select(d => d!.GetValue<long>() is >= 0 and var size ? size : shape[0])];
        var count = (int)whole.Aggregate(1L, (product, d) => product * d);
        return denoiser.TimestepInfo["datatype"]!.GetValue<string>() switch
        {
            "FP32" => ModelTensor.Create(Enumerable.Repeat((float)value, count).ToArray(), whole),
            "FP16" => ModelTensor.Create(Enumerable.Repeat((Half)value, count).ToArray(), whole),
            "FP64" => ModelTensor.Create(Enumerable.Repeat(value, count).ToArray(), whole),
            "INT64" => ModelTensor.Create(Enumerable.Repeat((long)Math.Round(value), count).ToArray(), whole),
            _ => ModelTensor.Create(Enumerable.Repeat((int)Math.Round(value), count).ToArray(), whole),
        };
    }

    private ReadOnlySpan<float> Floats(ModelTensor tensor)
    {
        if (tensor.Type == "float")
            return tensor.AsSpan<float>();
        if (_prediction.Length != tensor.Count)
            _prediction = new float[tensor.Count];
        TensorPrimitives.ConvertToSingle(tensor.AsSpan<Half>(), _prediction);
        return _prediction;
    }
}
