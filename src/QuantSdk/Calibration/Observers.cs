using System.Runtime.InteropServices;
using QuantSdk.Planning;
using QuantSdk.Runtime;

namespace QuantSdk.Calibration;

/// <summary>
/// Watches tensors of a float model: it runs with them as extra outputs, and after each batch all of them are added to their
/// histograms, the work split over the threads that have just run the model.
/// </summary>
internal sealed class Observers
{
    /// <summary>Elements a work item counts: large enough to pay for the merge, small enough to share evenly.</summary>
    private const int Chunk = 128 * 1024;

    private readonly string[] _tensors;
    private readonly Bf16Histogram[] _histograms;
    private readonly List<BatchRange>[] _batches;
    private readonly long[] _elementsPerRow;
    private readonly RangeEstimator[] _estimators;
    private readonly RangeEstimator _fallback;
    private readonly int _threads;
    private long _rows;

    /// <param name="inputs">
    /// Inputs of the model: among them the sample, whose noise changes with the step. What an error of theirs does to the output grows as the noise falls (a velocity is
    /// (x − x₀)/σ), so that the widest steps must not decide: under mse their range is the mean over the steps of each one's maximum.
    /// </param>
    public Observers(IReadOnlyList<string> tensors, RangeEstimator estimator, int threads, IReadOnlyList<string>? inputs = null)
    {
        _tensors = [.. tensors];
        _histograms = [.. tensors.Select(_ => new Bf16Histogram())];
        _batches = [.. tensors.Select(_ => new List<BatchRange>())];
        _elementsPerRow = new long[_tensors.Length];
        var overSteps = new TimestepEstimator(TimestepSelection.All, "mean-max");
        _estimators = [.. tensors.Select(t => estimator is MseEstimator && inputs?.Contains(t) == true ? overSteps : estimator)];
        (_fallback, _threads) = (estimator, threads);
    }

    /// <summary>Adds what a run has left in the outputs (or inputs) of a binding.</summary>
    public unsafe void Observe(ModelBinding binding, int rows, BatchKey key)
    {
        var work = new List<(int Tensor, nint Address, int Length)>();
        for (var t = 0; t < _tensors.Length; t++)
        {
            var values = binding.Values(_tensors[t]);
            _elementsPerRow[t] = values.Length / rows;
            // Outputs are native memory that stays where it is until the next run.
            var address = (nint)System.Runtime.CompilerServices.Unsafe.AsPointer(ref MemoryMarshal.GetReference(values));
            for (var start = 0; start < values.Length; start += Chunk)
                work.Add((t, address + (nint)start * sizeof(float), Math.Min(Chunk, values.Length - start)));
        }
        Parallel.ForEach(work, new ParallelOptions { MaxDegreeOfParallelism = _threads }, item =>
        {
            var values = new ReadOnlySpan<float>((void*)item.Address, item.Length);
            var (min, max) = _fallback.NeedsHistogram ? _histograms[item.Tensor].Add(values) : _histograms[item.Tensor].AddRange(values);
            if (_estimators[item.Tensor].NeedsBatches)
                AddBatch(_batches[item.Tensor], key, min, max);
        });
        _rows += rows;
    }

    /// <summary>Ranges of everything observed.</summary>
    /// <exception cref="QuantSdkException">QSDK2003 for a tensor that was not finite.</exception>
    public CalibrationTable Finish(string calibrator, string model)
    {
        for (var t = 0; t < _tensors.Length; t++)
        {
            if (_histograms[t].HasNonFinite)
                throw new QuantSdkException("QSDK2003", $"The float model itself computes NaN or infinity in the tensor '{_tensors[t]}' on the calibration data. Check the data's scaling against the model's training.", model, _tensors[t]);
        }
        var ranges = new CalibratedRange[_tensors.Length];
        Parallel.For(0, _tensors.Length, new ParallelOptions { MaxDegreeOfParallelism = _threads }, t => ranges[t] = Estimator(t).Estimate(_histograms[t], _batches[t]));
        return new CalibrationTable(1, calibrator, _rows, [.. _tensors.Select((name, t) => new TensorCalibration(
            name, _histograms[t].Min, _histograms[t].Max, ranges[t].Range.Low, ranges[t].Range.High, ranges[t].Amax, _elementsPerRow[t], Estimator(t).StepRanges(_batches[t])))]);
    }

    /// <summary>Rows of which no step is known have none to average over.</summary>
    private RangeEstimator Estimator(int tensor) => _batches[tensor].Any(b => b.Key.Timestep is null) ? _fallback : _estimators[tensor];

    /// <summary>Minimum and maximum are exact, so that the parts of a batch may come in any order from any thread.</summary>
    private static void AddBatch(List<BatchRange> batches, BatchKey key, float min, float max)
    {
        lock (batches)
        {
            if (batches.Count > 0 && batches[^1] is var last && last.Key == key)
                batches[^1] = last with { Range = new ValueRange(Math.Min(last.Range.Low, min), Math.Max(last.Range.High, max)) };
            else
                batches.Add(new BatchRange(key, new ValueRange(min, max)));
        }
    }
}
