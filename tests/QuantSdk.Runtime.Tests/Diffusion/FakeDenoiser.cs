namespace QuantSdk.Runtime.Tests;

/// <summary>A denoiser that is a function of one value, and remembers what it was asked.</summary>
internal sealed class FakeDenoiser(Func<int, float, float, float> predict, int rowFactor = 1) : IDenoiser
{
    public List<(int Step, float Timestep)> Steps { get; } = [];

    public IReadOnlyList<long> SampleShape { get; private set; } = [];

    public IReadOnlyDictionary<string, ModelTensor> Conditioning { get; private set; } = new Dictionary<string, ModelTensor>();

    public int Disposed { get; private set; }

    public Action<int>? OnStep { get; init; }

    public IDenoiserRun Begin(IReadOnlyList<long> sampleShape, IReadOnlyDictionary<string, ModelTensor> conditioning)
    {
        (SampleShape, Conditioning) = (sampleShape, conditioning);
        return new Run(this, new float[sampleShape.Aggregate(1L, (product, dimension) => product * dimension)], (int)sampleShape[0]);
    }

    private sealed class Run(FakeDenoiser owner, float[] sample, int rows) : IDenoiserRun
    {
        private readonly float[] _prediction = new float[sample.Length * owner.RowFactor];

        public Span<float> Sample => sample;

        public ReadOnlySpan<float> Predict(int step, float timestep, CancellationToken cancellationToken)
        {
            owner.OnStep?.Invoke(step);
            owner.Steps.Add((step, timestep));
            var length = sample.Length / rows;
            for (var row = 0; row < rows; row++)
                for (var i = 0; i < length * owner.RowFactor; i++)
                    _prediction[row * length * owner.RowFactor + i] = i < length ? owner.Predict(row, timestep, sample[row * length + i]) : float.NaN;
            return _prediction;
        }

        public void Dispose() => owner.Disposed++;
    }

    private int RowFactor => rowFactor;

    private float Predict(int row, float timestep, float value) => predict(row, timestep, value);
}
