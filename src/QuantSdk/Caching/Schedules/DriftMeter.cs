using QuantSdk.Runtime;

namespace QuantSdk.Caching.Schedules;

/// <summary>
/// Denoises with the whole engine and looks at every step at what the live part would have predicted on the features of each of the steps before.
/// A step's first evaluation stands for it.
/// </summary>
/// <param name="window">How many steps back.</param>
internal sealed class DriftMeter(
    ModelDenoiser full, ModelSession live, IReadOnlyList<TensorInfo> tensors, int steps, int window, float guidanceScale) : IDenoiser
{
    /// <summary>See <see cref="DriftTable.Errors"/>; of the last run.</summary>
    public float[]?[,] Errors { get; private set; } = new float[]?[0, 0];

    /// <summary>What the whole engine predicted at every evaluation.</summary>
    public List<float[]> Predictions { get; } = [];

    /// <summary>[j]: what the live part predicted at step j on the features of step j − 1; null for the first.</summary>
    public float[]?[] OneStepOld { get; private set; } = [];

    public IDenoiserRun Begin(IReadOnlyList<long> sampleShape, IReadOnlyDictionary<string, ModelTensor> conditioning)
    {
        (Errors, OneStepOld) = (new float[]?[steps, steps], new float[]?[steps]);
        Predictions.Clear();
        return new Run(this, full.Begin(sampleShape, conditioning), (int)sampleShape[0]);
    }

    private sealed class Run(DriftMeter owner, ModelDenoiserRun run, int batch) : IDenoiserRun
    {
        private readonly Queue<(int Step, Features Features)> _history = [];
        private int _lastStep = -1;

        public Span<float> Sample => run.Sample;

        public ReadOnlySpan<float> Predict(int step, float timestep, CancellationToken cancellationToken)
        {
            var prediction = run.Predict(step, timestep, cancellationToken).ToArray();
            owner.Predictions.Add(prediction);
            if (step != _lastStep)
                Look(step, timestep, prediction, cancellationToken);
            _lastStep = step;
            return prediction;
        }

        public void Dispose()
        {
            foreach (var (_, features) in _history)
                features.Dispose();
            run.Dispose();
        }

        private void Look(int step, float timestep, float[] prediction, CancellationToken cancellationToken)
        {
            var borrower = run.Binding.Borrower(owner.Live);
            foreach (var (earlier, features) in _history)
            {
                cancellationToken.ThrowIfCancellationRequested();
                features.Lend(borrower);
                var cached = run.PredictBy(borrower, timestep);
                owner.Errors[earlier, step] = owner.GuidedDifference(cached, prediction, batch, run.Sample.Length);
                if (earlier == step - 1)
                    owner.OneStepOld[step] = cached.ToArray();
            }
            var own = _history.Count == owner.Window ? _history.Dequeue().Features : new Features(run.Binding, owner.Tensors);
            own.Keep(run.Binding);
            _history.Enqueue((step, own));
        }
    }

    /// <summary>u′ + g·(c′ − u′) − (u + g·(c − u)) over the predicted part of each row; without guidance p′ − p.</summary>
    private float[] GuidedDifference(ReadOnlySpan<float> cached, ReadOnlySpan<float> own, int batch, int sampleLength)
    {
        var (length, stride) = (sampleLength / batch, own.Length / batch);
        var guided = guidanceScale != 1;
        var rows = guided ? batch / 2 : batch;
        var difference = new float[rows * length];
        for (var row = 0; row < rows; row++)
        {
            for (var i = 0; i < length; i++)
            {
                var (at, conditional) = (row * stride + i, (rows + row) * stride + i);
                var d = cached[at] - own[at];
                difference[row * length + i] = guided ? d + guidanceScale * (cached[conditional] - own[conditional] - d) : d;
            }
        }
        return difference;
    }

    private int Window => window;

    private IReadOnlyList<TensorInfo> Tensors => tensors;

    private ModelSession Live => live;
}
