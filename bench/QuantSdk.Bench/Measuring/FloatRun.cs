using QuantSdk.Calibration;
using QuantSdk.Quality;
using QuantSdk.Runtime;

namespace QuantSdk.Bench;

/// <summary>What the float model was fed and what it answered on the test, kept, so that any number of quantised models can be compared with one run of it.</summary>
internal sealed class FloatRun
{
    private readonly List<(Dictionary<string, (long[] Shape, byte[] Bytes)> Inputs, Dictionary<string, float[]> Outputs)> _batches = [];
    private readonly string[] _outputs;

    public FloatRun(ModelSession reference, CalibrationSource test)
    {
        _outputs = [.. reference.Outputs.Where(o => o.Type.Type == typeof(float)).Select(o => o.Name)];
        test.Run(reference, (feed, _) => feed.Batch ?? Math.Min(feed.Rows, QualityCheck.Batch), (binding, _) => _batches.Add((
            reference.Inputs.ToDictionary(i => i.Name, i => (binding.InputShape(i.Name).ToArray(), binding.InputBytes(i.Name).ToArray()), StringComparer.Ordinal),
            _outputs.ToDictionary(o => o, o => binding.Output<float>(o).ToArray(), StringComparer.Ordinal))), null, CancellationToken.None);
    }

    /// <summary>SQNR and cosine of the worst output over every batch.</summary>
    public OutputQuality Compare(ModelSession session)
    {
        var meters = _outputs.Select(o => new ErrorMeter(o)).ToArray();
        foreach (var sameShape in _batches.GroupBy(b => string.Join(';', b.Inputs.Select(i => string.Join(',', i.Value.Shape)))))
        {
            using var binding = session.Bind(sameShape.First().Inputs.ToDictionary(i => i.Key, i => i.Value.Shape));
            foreach (var (inputs, outputs) in sameShape)
            {
                foreach (var (name, (_, bytes)) in inputs)
                    bytes.CopyTo(binding.InputBytes(name));
                binding.Run();
                for (var i = 0; i < _outputs.Length; i++)
                    meters[i].Add(outputs[_outputs[i]], binding.Output<float>(_outputs[i]));
            }
        }
        return meters.Select(m => m.Result()).MinBy(q => q.SqnrDb)!;
    }
}
