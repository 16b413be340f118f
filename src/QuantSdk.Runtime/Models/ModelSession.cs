using Microsoft.ML.OnnxRuntime;

namespace QuantSdk.Runtime;

/// <summary>A model that ONNX Runtime has opened, with the names, types and shapes of its inputs and outputs.</summary>
internal sealed class ModelSession : IDisposable
{
    private readonly InferenceSession _session;
    private readonly HashSet<ModelBinding> _bindings = [];
    private readonly IReadOnlyList<TensorRtProfile> _profiles;
    private readonly Lock _lock = new();
    private ModelBinding? _ofRuns;
    private bool _disposed, _wasBound;

    private ModelSession(InferenceSession session, GpuProvider? gpu, string file, IReadOnlyList<ModelHead> heads)
    {
        _session = session;
        File = file;
        Device = gpu is null ? null : new DeviceMemory(session, gpu);
        _profiles = (gpu as TensorRtProvider)?.Profiles ?? [];
        Heads = heads;
        var computed = heads.SelectMany(head => head.Session.Outputs).Select(output => output.Name).ToHashSet(StringComparer.Ordinal);
        var inputs = session.InputNames.Select(name => Port.Of(name, session.InputMetadata[name], file)).ToLookup(input => computed.Contains(input.Name));
        (Inputs, Hoisted) = ([.. inputs[false]], [.. inputs[true]]);
        Outputs = [.. session.OutputNames.Select(name => Port.Of(name, session.OutputMetadata[name], file))];
    }

    /// <summary>The version of ONNX Runtime in this process.</summary>
    public static string OnnxRuntimeVersion
    {
        get
        {
            try
            {
                return OrtEnv.Instance().GetVersionString();
            }
            catch (Exception e) when (e is TypeInitializationException or DllNotFoundException or EntryPointNotFoundException or BadImageFormatException)
            {
                throw new QuantSdkException("QSDK7011", $"ONNX Runtime's native library cannot be loaded: {(e.InnerException ?? e).Message}", inner: e);
            }
        }
    }

    /// <summary>The file the model came from, for messages.</summary>
    public string File { get; }

    /// <summary>The memory of the GPU that runs the model, or null on the CPU.</summary>
    public DeviceMemory? Device { get; }

    /// <summary>The inputs that a caller feeds.</summary>
    public IReadOnlyList<Port> Inputs { get; }

    /// <summary>The inputs that <see cref="Heads"/> compute.</summary>
    public IReadOnlyList<Port> Hoisted { get; }

    /// <summary>What is evaluated apart, in the order in which it is.</summary>
    public IReadOnlyList<ModelHead> Heads { get; }

    public IReadOnlyList<Port> Outputs { get; }

    /// <summary>Opens a model file; external data is read from its folder.</summary>
    /// <param name="heads">What computes some of its inputs. The session disposes them; where it cannot be opened, the caller does.</param>
    public static ModelSession Open(string path, SessionSettings settings, IReadOnlyList<ModelHead>? heads = null) => Open(path, settings, options => new InferenceSession(path, options), heads);

    /// <summary>Opens a model from its bytes; external data is read from <paramref name="folder"/>.</summary>
    public static ModelSession Open(byte[] model, string folder, string name, SessionSettings settings) => Open(name, settings, options =>
    {
        options.AddSessionConfigEntry("session.model_external_initializers_file_folder_path", folder);
        return new InferenceSession(model, options);
    });

    /// <summary>Binds buffers for the given input shapes. Every input must have one.</summary>
    public ModelBinding Bind(IReadOnlyDictionary<string, long[]> inputShapes)
    {
        ThrowIfDisposed();
        foreach (var name in inputShapes.Keys)
            Find(Inputs, name, "input");
        foreach (var input in Inputs)
            if (!inputShapes.ContainsKey(input.Name))
                throw new QuantSdkException("QSDK7020", $"'{File}': the input '{input.Name}' ({input}) is missing. The model's inputs are {List(Inputs)}.", File);
        TensorRtShapes.Check(_profiles, inputShapes, File);
        long[][] shapes = [.. Inputs.Select(input => input.Check(inputShapes[input.Name], File))];
        // Before anything is allocated: memory of the GPU that a finaliser frees after the session is gone takes the process down.
        CheckFixed();
        var own = new List<BoundInput>();
        HoistedValues? hoisted = null;
        try
        {
            foreach (var (input, shape) in Inputs.Zip(shapes))
                own.Add(new BoundInput(input, shape, Device is { IsFixed: true } ? Device : null));
            if (Hoisted.Count == 0)
                return Remember(new ModelBinding(this, _session, [.. own]));
            hoisted = new HoistedValues(this, [.. own]);
            return Remember(new ModelBinding(this, _session, [.. own, .. hoisted.Lend(Hoisted)], hoisted));
        }
        catch
        {
            hoisted?.Dispose();
            own.ForEach(input => input.Dispose());
            _wasBound = false;
            throw;
        }
    }

    /// <summary>Binds to inputs that somebody else fills.</summary>
    public ModelBinding Bind(BoundInput[] inputs)
    {
        ThrowIfDisposed();
        CheckFixed();
        return Remember(new ModelBinding(this, _session, inputs));
    }

    /// <summary>Binds to what another model's binding holds under the same names: see <see cref="ModelBinding.Borrower"/>.</summary>
    public ModelBinding Borrow(ModelBinding lender)
    {
        ThrowIfDisposed();
        CheckFixed();
        return Remember(new ModelBinding(this, _session, lender));
    }

    /// <summary>Runs once on copies.</summary>
    public IReadOnlyDictionary<string, ModelTensor> Run(IReadOnlyDictionary<string, ModelTensor> inputs) => Run(inputs, Outputs.Count);

    /// <summary>Runs once on copies and returns the first outputs.</summary>
    public IReadOnlyDictionary<string, ModelTensor> Run(IReadOnlyDictionary<string, ModelTensor> inputs, int outputs)
    {
        if (Device?.IsFixed == true)
            return RunAgain(inputs, outputs);
        using var binding = Bind(inputs.ToDictionary(input => input.Key, input => input.Value.Dimensions.ToArray()));
        return RunOn(binding, inputs, outputs);
    }

    /// <summary>On the one binding that there is.</summary>
    private IReadOnlyDictionary<string, ModelTensor> RunAgain(IReadOnlyDictionary<string, ModelTensor> inputs, int outputs)
    {
        lock (_lock)
        {
            if (_ofRuns is not null && (inputs.Count != Inputs.Count || Inputs.Any(port => !inputs.TryGetValue(port.Name, out var tensor) || !tensor.Dimensions.SequenceEqual(_ofRuns.InputShape(port.Name)))))
                CheckFixed();
            _ofRuns ??= Bind(inputs.ToDictionary(input => input.Key, input => input.Value.Dimensions.ToArray()));
            return RunOn(_ofRuns, inputs, outputs);
        }
    }

    private IReadOnlyDictionary<string, ModelTensor> RunOn(ModelBinding binding, IReadOnlyDictionary<string, ModelTensor> inputs, int outputs)
    {
        foreach (var (name, tensor) in inputs)
            binding.SetInput(name, tensor);
        binding.Run();
        return Outputs.Take(outputs).ToDictionary(output => output.Name, output => binding.OutputTensor(output.Name));
    }

    public Port Input(string name) => Find(Inputs, name, "input");

    public Port Output(string name) => Find(Outputs, name, "output");

    public void Dispose()
    {
        ModelBinding[] bindings;
        lock (_lock)
        {
            if (_disposed)
                return;
            _disposed = true;
            bindings = [.. _bindings];
        }
        foreach (var binding in bindings)
            binding.Dispose();
        foreach (var head in Heads)
            head.Session.Dispose();
        Device?.Dispose();
        _session.Dispose();
    }

    internal void Forget(ModelBinding binding)
    {
        lock (_lock)
            _bindings.Remove(binding);
    }

    internal void ThrowIfDisposed()
    {
        if (_disposed)
            throw new QuantSdkException("QSDK7024", $"'{File}' has been disposed; load the model again, or dispose it later.", File);
    }

    private static ModelSession Open(string file, SessionSettings settings, Func<SessionOptions, InferenceSession> create, IReadOnlyList<ModelHead>? heads = null)
    {
        var version = OnnxRuntimeVersion;
        InferenceSession? session = null;
        try
        {
            using var options = settings.Create();
            session = create(options);
            return new ModelSession(session, settings.Gpu, file, heads ?? []);
        }
        catch (Exception e) when (e is not QuantSdkException and not OutOfMemoryException)
        {
            // Beside OnnxRuntimeException: the managed layer's own exceptions for element types that it does not know.
            session?.Dispose();
            throw new QuantSdkException("QSDK7009", $"ONNX Runtime {version} cannot load '{file}': {e.Message}", file, inner: e);
        }
        catch
        {
            session?.Dispose();
            throw;
        }
    }

    private ModelBinding Remember(ModelBinding binding)
    {
        lock (_lock)
            _bindings.Add(binding);
        return binding;
    }

    /// <summary>Kernels that are recorded know one set of buffers.</summary>
    private void CheckFixed()
    {
        if (Device?.IsFixed == true && Interlocked.Exchange(ref _wasBound, true))
            throw new QuantSdkException("QSDK7064", $"'{File}' was loaded with a CUDA graph, which is recorded for the buffers and shapes of its first binding. Use that one again, load the model once more for others, or load it without CudaGraph.", File);
    }

    private Port Find(IReadOnlyList<Port> ports, string name, string kind) => ports.FirstOrDefault(port => port.Name == name)
        ?? throw new QuantSdkException("QSDK7020", $"'{File}' has no {kind} '{name}'. Its {kind}s are {List(ports)}.", File);

    private static string List(IReadOnlyList<Port> ports) => string.Join(", ", ports.Select(port => $"'{port.Name}' ({port})"));
}
