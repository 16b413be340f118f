using Microsoft.ML.OnnxRuntime;

namespace QuantSdk.Runtime;

/// <summary>
/// What the heads of a model compute for one binding of it, each as seldom as what it depends on changes: once for a prompt, once for a timestep, or once for
/// both. They run at the binding's own shapes and are read where they lie: the model gets to the bit what it would have computed itself.
/// </summary>
internal sealed class HoistedValues : IDisposable
{
    /// <summary>Bytes that are kept for other timesteps; beyond them all start anew.</summary>
    public const long MostBytes = 512L << 20;

    /// <summary>Stands for the timestep of what depends on none, or may be any. Equal to itself as a key.</summary>
    private const double Any = double.NaN;

    private readonly IReadOnlyList<ModelHead> _heads;
    private readonly IReadOnlyList<BoundInput> _own;
    private readonly long _mostBytes;
    private readonly Dictionary<double, Values>[] _kept;
    private readonly Dictionary<ModelSession, bool[]> _needed = [];

    /// <summary>What each head has given for the run at hand.</summary>
    private readonly Values?[] _current;
    private (BoundInput Input, int Head, int Output)[] _lent = [];
    private int _prompt;
    private long _bytes;

    /// <param name="model">What reads the heads.</param>
    /// <param name="own">Its inputs that a caller feeds; the heads read some of them in place.</param>
    public HoistedValues(ModelSession model, IReadOnlyList<BoundInput> own, long mostBytes = MostBytes)
    {
        (_heads, _own, _mostBytes) = (model.Heads, own, mostBytes);
        _kept = [.. _heads.Select(_ => new Dictionary<double, Values>())];
        _current = new Values?[_heads.Count];
        // Whatever the inputs hold: the shapes of the values are known from now on.
        Evaluate(null, model);
    }

    /// <summary>Inputs that read the values from now on, after each <see cref="Evaluate"/> the latest ones.</summary>
    public IReadOnlyList<BoundInput> Lend(IReadOnlyList<Port> ports)
    {
        _lent = [.. ports.Select(port =>
        {
            var (head, output) = Find(port.Name);
            var value = _current[head]!.Outputs[output];
            return (new BoundInput(port, port.Check(value.GetTensorTypeAndShape().Shape, _heads[head].Session.File), value), head, output);
        })];
        return [.. _lent.Select(lent => lent.Input)];
    }

    /// <summary>Computes what is not known.</summary>
    /// <param name="timestep">What the timestep input holds, where values of it may be kept; null to compute everything on what the inputs hold.</param>
    /// <param name="reader">What reads the values next.</param>
    public void Evaluate(double? timestep, ModelSession reader)
    {
        if (_bytes > _mostBytes)
            Clear();
        if (!_needed.TryGetValue(reader, out var needed))
            _needed[reader] = needed = Needed(reader);
        for (var i = 0; i < _heads.Count; i++)
        {
            if (!needed[i])
                continue;
            var head = _heads[i];
            var key = head.OnTimestep ? timestep ?? Any : Any;
            if (!_kept[i].TryGetValue(key, out var values))
            {
                values = new Values(Bind(head.Session), head.Session.Outputs);
                values.Run(_prompt);
                _kept[i][key] = values;
                _bytes += head.OnTimestep ? values.Bytes : 0;
            }
            else if (timestep is null || head.OnPrompt && values.Prompt != _prompt)
            {
                foreach (var input in head.Session.Inputs)
                    if (Find(input.Name) is (>= 0, _) source)
                        values.Binding.Lend(input.Name, _current[source.Head]!.Outputs[source.Output]);
                values.Run(_prompt);
            }
            _current[i] = values;
        }
        foreach (var (input, head, output) in _lent)
            input.Lend(_current[head]!.Outputs[output]);
    }

    /// <summary>The prompt has changed: nothing that depends on it is known any more.</summary>
    public void Forget() => _prompt++;

    public void Dispose()
    {
        foreach (var values in _kept.SelectMany(kept => kept.Values))
            values.Binding.Dispose();
    }

    private void Clear()
    {
        for (var i = 0; i < _heads.Count; i++)
        {
            if (!_heads[i].OnTimestep)
                continue;
            foreach (var values in _kept[i].Values)
                values.Binding.Dispose();
            _kept[i].Clear();
        }
        _bytes = 0;
    }

    /// <summary>The heads that a model reads, and those that they read.</summary>
    private bool[] Needed(ModelSession reader)
    {
        var needed = new bool[_heads.Count];
        Mark(reader);
        return needed;

        void Mark(ModelSession session)
        {
            foreach (var port in session.Inputs.Concat(session.Hoisted))
                if (Find(port.Name) is (>= 0, _) source && !needed[source.Head])
                {
                    needed[source.Head] = true;
                    Mark(_heads[source.Head].Session);
                }
        }
    }

    /// <summary>A head on the model's inputs and on what the heads before it have given.</summary>
    private ModelBinding Bind(ModelSession session) => session.Bind([.. session.Inputs.Select(port =>
    {
        if (_own.FirstOrDefault(input => input.Port.Name == port.Name) is { } own)
            return new BoundInput(port, own);
        var (head, output) = Find(port.Name);
        var value = _current[head]!.Outputs[output];
        return new BoundInput(port, value.GetTensorTypeAndShape().Shape, value);
    })]);

    /// <summary>Which head gives a value, and where among its outputs; −1 where none does.</summary>
    private (int Head, int Output) Find(string name)
    {
        for (var head = 0; head < _heads.Count; head++)
            for (var output = 0; output < _heads[head].Session.Outputs.Count; output++)
                if (_heads[head].Session.Outputs[output].Name == name)
                    return (head, output);
        return (-1, -1);
    }

    /// <summary>A head's binding after a run, whose outputs it keeps.</summary>
    private sealed class Values(ModelBinding binding, IReadOnlyList<Port> ports)
    {
        public ModelBinding Binding => binding;

        /// <summary>By the order of the head's outputs.</summary>
        public OrtValue[] Outputs { get; private set; } = [];

        /// <summary>Which prompt they are for.</summary>
        public int Prompt { get; private set; }

        public long Bytes => ports.Zip(Outputs, (port, value) => value.GetTensorTypeAndShape().ElementCount * port.Type.Bytes).Sum();

        public void Run(int prompt)
        {
            binding.Run();
            (Outputs, Prompt) = ([.. ports.Select(port => binding.Value(port.Name))], prompt);
        }
    }
}
