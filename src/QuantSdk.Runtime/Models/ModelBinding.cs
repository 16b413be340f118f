using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;

namespace QuantSdk.Runtime;

/// <summary>
/// A model's inputs and outputs, bound to native memory for one set of input shapes: fill the inputs, run, read the outputs, as often as wanted,
/// without a copy in between. For one thread at a time; several bindings of one model may run at once.
/// </summary>
public sealed class ModelBinding : IDisposable
{
    private readonly ModelSession _model;
    private readonly InferenceSession _session;
    private readonly BoundInput[] _inputs;
    private readonly BoundOutput[] _outputs;
    private readonly OrtIoBinding _binding;
    private readonly RunOptions _options = new() { LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL };
    private readonly List<ModelBinding> _borrowers = [];
    private readonly HoistedValues? _hoisted;
    private readonly int[] _sent;
    private readonly OrtValue[] _bound;
    private bool _rebind, _disposed;

    /// <summary>Reads what another binding's inputs and outputs of the same names hold, in place.</summary>
    internal ModelBinding(ModelSession model, InferenceSession session, ModelBinding lender)
        : this(model, session, [.. model.Inputs.Select(port => lender.Lent(port, model.File))])
    {
    }

    /// <param name="inputs">The model's inputs, in any order.</param>
    /// <param name="hoisted">Where some of them come from, or null. The binding takes it over.</param>
    internal ModelBinding(ModelSession model, InferenceSession session, BoundInput[] inputs, HoistedValues? hoisted = null)
    {
        (_model, _session, _inputs, _hoisted) = (model, session, inputs, hoisted);
        var symbols = Symbols(_inputs);
        _outputs = [.. model.Outputs.Select(port => model.Device is { IsFixed: true } place
            ? new BoundOutput(port, Resolve(port, symbols), place, mirrored: !place.Holds(port))
            : new BoundOutput(port, Resolve(port, symbols), model.Device?.Holds(port) == true ? model.Device : null))];
        _binding = session.CreateIoBinding();
        (_sent, _bound) = (new int[inputs.Length], new OrtValue[inputs.Length]);
        try
        {
            for (var i = 0; i < inputs.Length; i++)
                Send(i);
            BindOutputs();
        }
        catch
        {
            _binding.Dispose();
            foreach (var output in _outputs)
                output.Dispose();
            throw;
        }
    }

    /// <summary>The memory of an input. Its content stays from run to run.</summary>
    /// <typeparam name="T">The .NET type of the input: float, <see cref="Half"/>, double, long, int, sbyte, byte or bool.</typeparam>
    /// <param name="name">The input's name.</param>
    /// <exception cref="QuantSdkException">QSDK7020: no such input; QSDK7021: another type; QSDK7024: disposed.</exception>
    public Span<T> Input<T>(string name)
        where T : unmanaged
    {
        var input = FindInput(name);
        CheckType<T>(input.Port);
        return input.Open<T>();
    }

    /// <summary>The shape that an input was bound with.</summary>
    /// <param name="name">The input's name.</param>
    /// <exception cref="QuantSdkException">QSDK7020: no such input; QSDK7024: disposed.</exception>
    public ReadOnlySpan<long> InputShape(string name) => FindInput(name).Shape;

    /// <summary>Runs the model on what the inputs hold.</summary>
    /// <exception cref="QuantSdkException">QSDK7023: ONNX Runtime could not run the model; QSDK7024: disposed.</exception>
    public void Run()
    {
        ThrowIfDisposed();
        // Any input may have been written.
        _hoisted?.Evaluate(null, _model);
        RunBound();
    }

    /// <summary>
    /// Runs the model at a timestep that its input holds: what is hoisted out of the model is evaluated where it is not known from a run at the same one, with
    /// what <see cref="SetInput"/> wrote.
    /// </summary>
    internal void RunAt(double timestep)
    {
        ThrowIfDisposed();
        _hoisted?.Evaluate(timestep, _model);
        RunBound();
    }

    /// <summary>Likewise a borrower, for which only what it reads is evaluated.</summary>
    internal void RunAt(double timestep, ModelBinding borrower)
    {
        ThrowIfDisposed();
        borrower.ThrowIfDisposed();
        _hoisted?.Evaluate(timestep, borrower._model);
        borrower.RunBound();
    }

    private void RunBound()
    {
        try
        {
            RunOnce();
        }
        catch (OnnxRuntimeException e)
        {
            if (_model.Device?.IsFixed == true || !Array.Exists(_outputs, output => output is { Value: not null, IsStatic: false }))
                throw Failed(e);
            // Perhaps an output has another shape than its names or the last run promised: let ONNX Runtime allocate those from now on.
            foreach (var output in _outputs)
                if (!output.IsStatic)
                    output.Vary();
            _rebind = true;
            try
            {
                RunOnce();
            }
            catch (OnnxRuntimeException second)
            {
                // It was not the shapes.
                foreach (var output in _outputs)
                    output.Settle();
                throw Failed(second);
            }
        }
    }

    /// <summary>An output of the last run, in place: valid until the next run.</summary>
    /// <typeparam name="T">The .NET type of the output.</typeparam>
    /// <param name="name">The output's name.</param>
    /// <exception cref="QuantSdkException">QSDK7020: no such output; QSDK7021: another type; QSDK7023: nothing has been run yet; QSDK7024: disposed.</exception>
    public ReadOnlySpan<T> Output<T>(string name)
        where T : unmanaged
    {
        var output = FindOutput(name);
        CheckType<T>(output.Port);
        return MemoryMarshal.Cast<byte, T>(output.Bytes);
    }

    /// <summary>The shape of an output of the last run.</summary>
    /// <param name="name">The output's name.</param>
    /// <exception cref="QuantSdkException">As for <see cref="Output"/>.</exception>
    public ReadOnlySpan<long> OutputShape(string name) => FindOutput(name).Shape;

    /// <summary>Frees the buffers; spans over them must not be used any more.</summary>
    public void Dispose()
    {
        if (_disposed)
            return;
        _disposed = true;
        foreach (var borrower in _borrowers)
            borrower.Dispose();
        _hoisted?.Dispose();
        _model.Forget(this);
        _binding.Dispose();
        _options.Dispose();
        foreach (var input in _inputs)
            input.Dispose();
        foreach (var output in _outputs)
            output.Dispose();
    }

    /// <summary>
    /// Another model that reads this one's inputs and outputs of the same names, in place. Bound at the first call, after a run, and kept as long as
    /// this binding.
    /// </summary>
    internal ModelBinding Borrower(ModelSession model)
    {
        var borrower = _borrowers.Find(b => b._model == model);
        if (borrower is null)
        {
            borrower = model.Borrow(this);
            _borrowers.Add(borrower);
        }
        return borrower;
    }

    /// <summary>Makes an input of a borrower read other memory, which must live until it reads yet another.</summary>
    internal void Lend(string name, OrtValue value) => FindInput(name).Lend(value);

    /// <summary>The value of an input, or of an output of the last run.</summary>
    internal OrtValue Value(string name) => Array.Find(_inputs, input => input.Port.Name == name)?.Value ?? FindOutput(name).Value!;

    internal ModelTensor OutputTensor(string name)
    {
        var output = FindOutput(name);
        return ModelTensor.FromBytes(output.Port.Type, output.Shape, output.Bytes);
    }

    /// <summary>An input's memory, whatever its type.</summary>
    internal Span<byte> InputBytes(string name) => FindInput(name).Open<byte>();

    /// <summary>The values of a float output, or of a float input of that name.</summary>
    internal ReadOnlySpan<float> Values(string name) =>
        Array.Exists(_outputs, output => output.Port.Name == name) ? Output<float>(name) : Input<float>(name);

    /// <summary>The shape of an output of the last run, or of an input.</summary>
    internal ReadOnlySpan<long> Shape(string name) =>
        Array.Find(_outputs, output => output.Port.Name == name) is { } output ? (output.IsStatic ? output.Port.Shape : output.Shape) : InputShape(name);

    /// <summary>The values of a float or float16 output as floats; a copy where they are float16.</summary>
    internal ReadOnlySpan<float> OutputFloats(string name)
    {
        if (FindOutput(name).Port.Type.Type != typeof(Half))
            return Output<float>(name);
        var halves = Output<Half>(name);
        var floats = new float[halves.Length];
        TensorPrimitives.ConvertToSingle(halves, floats);
        return floats;
    }

    /// <summary>Fills a float or float16 input.</summary>
    internal void SetFloats(string name, ReadOnlySpan<float> values)
    {
        if (FindInput(name).Port.Type.Type == typeof(Half))
            TensorPrimitives.ConvertToHalf(values, Input<Half>(name));
        else
            values.CopyTo(Input<float>(name));
    }

    /// <summary>Copies a tensor of the bound type and shape into an input.</summary>
    internal void SetInput(string name, ModelTensor tensor)
    {
        var input = FindInput(name);
        if (tensor.ElementType != input.Port.Type)
            throw new QuantSdkException("QSDK7021", $"'{_model.File}': the input '{name}' takes {input.Port.Type.Name}; {tensor} was given.", _model.File);
        if (!tensor.Dimensions.SequenceEqual(input.Shape))
            throw new QuantSdkException("QSDK7022", $"'{_model.File}': the input '{name}' is bound with the shape {TensorShape.Text(input.Shape)}; {tensor} was given.", _model.File);
        if (_hoisted is not null && !input.Keeps(tensor.Bytes))
            _hoisted.Forget();
        input.Write(tensor.Bytes);
    }

    /// <summary>What another model's input of that name reads: the same as this one's, or its output of the last run.</summary>
    private BoundInput Lent(Port port, string borrower)
    {
        if (Array.Find(_inputs, input => input.Port.Name == port.Name) is { } input)
        {
            port.Check(input.Shape, borrower);
            return new BoundInput(port, input);
        }
        var output = FindOutput(port.Name);
        return new BoundInput(port, port.Check(output.Shape, borrower), output.Value!);
    }

    /// <summary>Binds an input; a GPU has its own copy of the host's memory, made now.</summary>
    private void Send(int index)
    {
        (_sent[index], _bound[index]) = (_inputs[index].Writes, _inputs[index].Value);
        _binding.BindInput(_inputs[index].Port.Name, _bound[index]);
    }

    private void RunOnce()
    {
        if (_rebind)
            BindOutputs();
        if (_model.Device is { IsFixed: true } place)
            Upload(place);
        for (var i = 0; i < _inputs.Length; i++)
            if (!ReferenceEquals(_inputs[i].Value, _bound[i]) || _model.Device is { IsFixed: false } && (_inputs[i].IsOpen || _inputs[i].Writes != _sent[i]))
                Send(i);
        foreach (var output in _outputs)
            output.Ready = false;
        _session.RunWithBinding(_options, _binding);
        // A value that ONNX Runtime has allocated would be its target in the next run too: bind anew, to it or to none.
        _rebind = Array.Exists(_outputs, output => output.NeedsValue);
        if (_rebind)
            Receive();
        if (_model.Device is { IsFixed: true })
        {
            CudaDriver.Wait();
            foreach (var output in _outputs)
                output.Download();
        }
        foreach (var output in _outputs)
            output.Ready = true;
    }

    /// <summary>Brings what was written to where the recorded kernels read it, before they are replayed.</summary>
    private void Upload(DeviceMemory place)
    {
        place.Enter();
        var any = false;
        foreach (var input in _inputs)
            any |= input.Upload();
        if (any)
            CudaDriver.Wait();
    }

    private void Receive()
    {
        var results = _binding.GetOutputValues(); // in the order of binding; disposed one by one, as some are kept
        for (var i = 0; i < _outputs.Length; i++)
            if (_outputs[i].NeedsValue)
                _outputs[i].Receive(results[i]);
            else
                results[i].Dispose();
    }

    private void BindOutputs()
    {
        _binding.ClearBoundOutputs();
        foreach (var output in _outputs)
            if (output.Target is { } value)
                _binding.BindOutput(output.Port.Name, value);
            else
                _binding.BindOutputToDevice(output.Port.Name, output.Device?.Info ?? OrtMemoryInfo.DefaultInstance);
    }

    /// <summary>The sizes that the input shapes give to the named dimensions.</summary>
    private static Dictionary<string, long> Symbols(BoundInput[] inputs)
    {
        var sizes = new Dictionary<string, long>(StringComparer.Ordinal);
        foreach (var input in inputs)
            for (var i = 0; i < input.Shape.Length; i++)
                if (input.Port.Symbols.Length == input.Shape.Length && input.Port.Symbols[i].Length > 0)
                    sizes[input.Port.Symbols[i]] = input.Shape[i];
        return sizes;
    }

    /// <summary>The output's shape as far as static and named dimensions tell it, or null.</summary>
    private static long[]? Resolve(Port port, Dictionary<string, long> symbols)
    {
        if (port.Shape.Length == 0)
            return null;
        var shape = (long[])port.Shape.Clone();
        for (var i = 0; i < shape.Length; i++)
            if (shape[i] < 0 && !(port.Symbols.Length == shape.Length && symbols.TryGetValue(port.Symbols[i], out shape[i])))
                return null;
        return shape;
    }

    private BoundInput FindInput(string name)
    {
        ThrowIfDisposed();
        foreach (var input in _inputs)
            if (input.Port.Name == name)
                return input;
        _model.Input(name); // throws, with the names there are
        throw new InvalidOperationException();
    }

    private BoundOutput FindOutput(string name)
    {
        ThrowIfDisposed();
        foreach (var output in _outputs)
            if (output.Port.Name == name)
                return output.Ready ? output : throw new QuantSdkException("QSDK7023", $"'{_model.File}': the output '{name}' was read before the model was run. Call Run first.", _model.File);
        _model.Output(name);
        throw new InvalidOperationException();
    }

    private void CheckType<T>(Port port)
        where T : unmanaged
    {
        if (TensorType.Of<T>() != port.Type)
            throw new QuantSdkException("QSDK7021", $"'{_model.File}': '{port.Name}' holds {port.Type.Name} ({port.Type.Type.Name}), not {typeof(T).Name}.", _model.File);
    }

    private QuantSdkException Failed(OnnxRuntimeException e)
    {
        var shapes = string.Join(", ", _inputs.Select(input => $"{input.Port.Name}{TensorShape.Text(input.Shape)}"));
        return new QuantSdkException("QSDK7023", $"ONNX Runtime could not run '{_model.File}' with {shapes}: {e.Message}", _model.File, inner: e);
    }

    private void ThrowIfDisposed()
    {
        _model.ThrowIfDisposed();
        if (_disposed)
            throw new QuantSdkException("QSDK7024", $"This binding of '{_model.File}' has been disposed; bind the model again.", _model.File);
    }
}
