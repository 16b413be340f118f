using QuantSdk.Runtime;

namespace QuantSdk.Calibration;

/// <summary>A float model inside a diffusion loop, its rows run in batches of a bounded size, each shown to an observer.</summary>
internal sealed class ObservedDenoiser(ModelSession session, DiffusionRoles roles, BatchPolicy batch, RowsSeen observe) : IDenoiser
{
    public IDenoiserRun Begin(IReadOnlyList<long> sampleShape, IReadOnlyDictionary<string, ModelTensor> conditioning)
    {
        var carried = new CarriedTensors(session);
        var ports = session.Inputs.Where(p => p.Name != roles.Sample && p.Name != roles.Timestep && !carried.Feeds(p.Name)).ToArray();
        var data = conditioning.ToDictionary(c => c.Key, c => new NpyArray((Onnx.TensorProto.Types.DataType)c.Value.ElementType.Element, [.. c.Value.Dimensions], c.Value.Bytes.ToArray(), $"'{c.Key}'"), StringComparer.Ordinal);
        var rows = (int)sampleShape[0];
        var feed = Feed.Fit(data, ports, session.File) with { Rows = rows };
        var fixedBatch = session.Input(roles.Sample).Shape is [> 0, ..] shape ? (int)shape[0] : feed.Batch;
        return new Run(this, feed with { Batch = fixedBatch }, sampleShape, carried);
    }

    private sealed class Run : IDenoiserRun
    {
        private readonly ObservedDenoiser _owner;
        private readonly Feed _feed;
        private readonly float[] _sample;
        private readonly long[] _rowShape;
        private readonly RowRunner _runner;
        private readonly CarriedTensors _carried;
        private float[] _prediction = [];

        /// <summary>Tells the calibration batches apart. A step is known by its timestep alone: a sampler may evaluate one twice.</summary>
        private int _batches;

        public Run(ObservedDenoiser owner, Feed feed, IReadOnlyList<long> sampleShape, CarriedTensors carried)
        {
            (_owner, _feed, _carried) = (owner, feed, carried);
            _rowShape = [.. sampleShape.Skip(1)];
            _sample = new float[sampleShape.Aggregate(1L, (a, b) => a * b)];
            _runner = new RowRunner(owner.Session, owner.Batch(feed, Shapes));
        }

        public Span<float> Sample => _sample;

        public ReadOnlySpan<float> Predict(int step, float timestep, CancellationToken cancellationToken)
        {
            var rowLength = _sample.Length / _feed.Rows;
            var fed = timestep * (double)_owner.Roles.TimestepScale;
            _carried.Begin(step);
            _runner.Run(_feed, Shapes,
                (binding, start, count) =>
                {
                    binding.SetFloats(_owner.Roles.Sample, _sample.AsSpan(start * rowLength, count * rowLength));
                    TimestepFeed.Fill(binding, _owner.Session.Input(_owner.Roles.Timestep), fed);
                    _carried.Fill(binding, start, count);
                },
                (binding, start, count) =>
                {
                    var output = binding.OutputFloats(_owner.Session.Outputs[0].Name);
                    var length = output.Length / count;
                    if (_prediction.Length != length * _feed.Rows)
                        _prediction = new float[length * _feed.Rows];
                    output.CopyTo(_prediction.AsSpan(start * length));
                    _carried.Keep(binding, start, count, _feed.Rows);
                    _owner.Observe(binding, count, new BatchKey(_batches + _runner.BatchOf(_feed, start), (float)fed));
                }, cancellationToken);
            _batches += _runner.BatchOf(_feed, _feed.Rows - 1) + 1;
            return _prediction;
        }

        public void Dispose() => _runner.Dispose();

        private IEnumerable<KeyValuePair<string, long[]>> Shapes(int rows)
        {
            yield return new(_owner.Roles.Sample, [rows, .. _rowShape]);
            var timestep = _owner.Session.Input(_owner.Roles.Timestep).Shape;
            yield return new(_owner.Roles.Timestep, [.. timestep.Select(d => d > 0 ? d : rows)]);
            foreach (var carried in _carried.Shapes(rows))
                yield return carried;
        }
    }

    private ModelSession Session => session;

    private DiffusionRoles Roles => roles;

    private BatchPolicy Batch => batch;

    private RowsSeen Observe => observe;
}
