namespace QuantSdk.Runtime;

/// <summary>A run of a <see cref="CachedDenoiser"/>. It begins without features, so that its first evaluation is full whatever the plan says.</summary>
internal sealed class CachedDenoiserRun(ModelDenoiserRun run, ModelSession live, IReadOnlyList<TensorInfo> tensors, CachePlan plan) : IDenoiserRun
{
    private readonly ExtrapolatedTensor[] _extrapolated = new ExtrapolatedTensor[plan.Extrapolate ? tensors.Count : 0];
    private int? _lastFull, _fullBefore;

    /// <summary>Whether the last prediction was the whole model's.</summary>
    public bool WasFull { get; private set; }

    /// <summary>The full model's inputs and outputs; the live part's are <see cref="ModelBinding.Borrower"/>.</summary>
    public ModelBinding Binding => run.Binding;

    public Span<float> Sample => run.Sample;

    public ReadOnlySpan<float> Predict(int step, float timestep, CancellationToken cancellationToken)
    {
        WasFull = plan.Full[step] || _lastFull is null;
        return WasFull ? Full(step, timestep, cancellationToken) : Live(step, timestep, cancellationToken);
    }

    public void Dispose()
    {
        foreach (var tensor in _extrapolated)
            tensor?.Dispose();
        run.Dispose();
    }

    private ReadOnlySpan<float> Full(int step, float timestep, CancellationToken cancellationToken)
    {
        if (_lastFull is { } last && last != step)
        {
            for (var i = 0; i < _extrapolated.Length; i++)
                (_extrapolated[i] ??= new ExtrapolatedTensor(Binding, live.Input(tensors[i].Name))).Keep(Binding);
            _fullBefore = last;
        }
        _lastFull = step;
        return run.Predict(step, timestep, cancellationToken);
    }

    private ReadOnlySpan<float> Live(int step, float timestep, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var binding = Binding.Borrower(live);
        for (var i = 0; i < tensors.Count; i++)
            binding.Lend(tensors[i].Name, plan.Extrapolate && _fullBefore is { } before
                ? _extrapolated[i].At(Binding, plan.Strength * (step - _lastFull!.Value) / (_lastFull.Value - before))
                : Binding.Value(tensors[i].Name));
        return run.PredictBy(binding, timestep);
    }
}
