namespace QuantSdk.Runtime;

/// <summary>A session in a diffusion loop. Its buffers outlive a run, so that runs of one shape share them.</summary>
internal sealed class ModelDenoiser : IDenoiser, IDisposable
{
    private readonly ModelSession _session;
    private ModelBinding? _idle;

    public ModelDenoiser(ModelSession session, DiffusionRoles roles)
    {
        (_session, Roles) = (session, roles);
        foreach (var role in new[] { roles.Sample, roles.Timestep })
            if (!session.Inputs.Any(input => input.Name == role))
                throw Unfit($"the manifest gives a role to the input '{role}', which the model does not have (it has {string.Join(", ", session.Inputs.Select(input => input.Name))})");
        SamplePort = session.Input(roles.Sample);
        TimestepPort = session.Input(roles.Timestep);
        PredictionPort = session.Outputs[0];
        foreach (var port in new[] { SamplePort, PredictionPort })
            if (port.Type.Name is not ("float" or "float16"))
                throw Unfit($"'{port.Name}' is {port}; a sample and its prediction are float or float16");
        if (TimestepPort.Type.Name is not ("float" or "float16" or "double" or "int64" or "int32") || TimestepPort.Shape.Length > 1)
            throw Unfit($"'{TimestepPort.Name}' is {TimestepPort}; a timestep is float, float16, double, int64 or int32 of shape [], [1] or [rows]");
    }

    public DiffusionRoles Roles { get; }

    public Port SamplePort { get; }

    public Port TimestepPort { get; }

    public Port PredictionPort { get; }

    public ModelDenoiserRun Begin(IReadOnlyList<long> sampleShape, IReadOnlyDictionary<string, ModelTensor> conditioning)
    {
        var shapes = new Dictionary<string, long[]>(StringComparer.Ordinal)
        {
            [Roles.Sample] = [.. sampleShape],
            [Roles.Timestep] = TimestepPort.Shape is [] ? [] : TimestepPort.Shape is [1] ? [1] : [sampleShape[0]],
        };
        foreach (var (name, tensor) in conditioning)
            if (!shapes.TryAdd(name, tensor.Dimensions.ToArray()))
                throw new QuantSdkException("QSDK7041", $"The conditioning holds '{name}', which the loop itself feeds; leave it out.");
        var binding = Interlocked.Exchange(ref _idle, null);
        if (binding is not null && !Matches(binding, shapes))
        {
            binding.Dispose();
            binding = null;
        }
        binding ??= _session.Bind(shapes);
        try
        {
            foreach (var (name, tensor) in conditioning)
                binding.SetInput(name, tensor);
            return new ModelDenoiserRun(this, binding);
        }
        catch
        {
            binding.Dispose();
            throw;
        }
    }

    IDenoiserRun IDenoiser.Begin(IReadOnlyList<long> sampleShape, IReadOnlyDictionary<string, ModelTensor> conditioning) => Begin(sampleShape, conditioning);

    /// <summary>Takes a binding back for the next run.</summary>
    public void Return(ModelBinding binding) => Interlocked.Exchange(ref _idle, binding)?.Dispose();

    public void Dispose() => Interlocked.Exchange(ref _idle, null)?.Dispose();

    private bool Matches(ModelBinding binding, Dictionary<string, long[]> shapes) =>
        shapes.Count == _session.Inputs.Count
        && _session.Inputs.All(input => shapes.TryGetValue(input.Name, out var shape) && binding.InputShape(input.Name).SequenceEqual(shape));

    private QuantSdkException Unfit(string reason) => new("QSDK7040", $"'{_session.File}' cannot run in a diffusion loop: {reason}. Check SampleInput and TimestepInput of the QuantizedModel item.", _session.File);
}
