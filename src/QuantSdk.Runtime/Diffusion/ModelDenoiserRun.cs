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
        Binding.RunAt(Feed(timestep));
        return Prediction(Binding);
    }

    /// <summary>Predicts with another model, which reads its sample and timestep where this one does: see <see cref="ModelBinding.Borrower"/>.</summary>
    public ReadOnlySpan<float> PredictBy(ModelBinding borrower, float timestep)
    {
        Binding.RunAt(Feed(timestep), borrower);
        return Prediction(borrower);
    }

    public void Dispose()
    {
        if (_disposed)
            return;
        _disposed = true;
        _denoiser.Return(Binding);
    }

    /// <returns>The timestep as it is fed.</returns>
    private double Feed(float timestep)
    {
        if (_sample is not null)
            TensorPrimitives.ConvertToHalf(_sample, Binding.Input<Half>(_denoiser.Roles.Sample));
        var scaled = timestep * (double)_denoiser.Roles.TimestepScale;
        TimestepFeed.Fill(Binding, _denoiser.TimestepPort, scaled);
        return scaled;
    }

    private ReadOnlySpan<float> Prediction(ModelBinding binding)
    {
        var port = _denoiser.PredictionPort;
        if (port.Type.Type == typeof(float))
            return binding.Output<float>(port.Name);
        var half = binding.Output<Half>(port.Name);
        if (_prediction?.Length != half.Length)
            _prediction = new float[half.Length];
        TensorPrimitives.ConvertToSingle(half, _prediction);
        return _prediction;
    }
}
