using System.Numerics.Tensors;

namespace QuantSdk.Runtime;

/// <summary>A run of a <see cref="ModelDenoiser"/>: feeds the timestep in the model's type and converts where the model works in half precision.</summary>
internal sealed class ModelDenoiserRun : IDenoiserRun
{
    private readonly ModelDenoiser _denoiser;
    private readonly float[]? _sample;
    private float[]? _prediction;
    private bool _disposed;

    public ModelDenoiserRun(ModelDenoiser denoiser, ModelBinding binding)
    {
        (_denoiser, Binding) = (denoiser, binding);
        if (denoiser.SamplePort.Type.Type == typeof(Half))
            _sample = new float[binding.Input<Half>(denoiser.Roles.Sample).Length];
    }

    /// <summary>The bound model: all its outputs can be read after each <see cref="Predict"/>.</summary>
    public ModelBinding Binding { get; }

    public Span<float> Sample => _sample ?? Binding.Input<float>(_denoiser.Roles.Sample);

    public ReadOnlySpan<float> Predict(int step, float timestep, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (_sample is not null)
            TensorPrimitives.ConvertToHalf(_sample, Binding.Input<Half>(_denoiser.Roles.Sample));
        TimestepFeed.Fill(Binding, _denoiser.TimestepPort, timestep * (double)_denoiser.Roles.TimestepScale);
        Binding.Run();
        return Prediction();
    }

    public void Dispose()
    {
        if (_disposed)
            return;
        _disposed = true;
        _denoiser.Return(Binding);
    }

    private ReadOnlySpan<float> Prediction()
    {
        var port = _denoiser.PredictionPort;
        if (port.Type.Type == typeof(float))
            return Binding.Output<float>(port.Name);
        var half = Binding.Output<Half>(port.Name);
        if (_prediction?.Length != half.Length)
            _prediction = new float[half.Length];
        TensorPrimitives.ConvertToSingle(half, _prediction);
        return _prediction;
    }
}
