using QuantSdk.Calibration;
using QuantSdk.Runtime;

namespace QuantSdk.Quality;

/// <summary>Runs the float model over held-out data and the engine on exactly the inputs it saw.</summary>
internal static class QualityCheck
{
    /// <summary>Rows at once: enough to be fast, few enough to stay small.</summary>
    public const int Batch = 8;

    /// <summary>SQNR and cosine of every float or float16 output.</summary>
    public static IReadOnlyList<OutputQuality> Compare(ModelSession reference, ModelSession engine, CalibrationSource heldOut, Action<int, int>? progress, CancellationToken cancellationToken)
    {
        var outputs = reference.Outputs.Where(o => (o.Type.Type == typeof(float) || o.Type.Type == typeof(Half)) && engine.Outputs.Any(e => e.Name == o.Name)).Select(o => o.Name).ToArray();
        var meters = outputs.Select(o => new ErrorMeter(o)).ToArray();
        var bindings = new Dictionary<string, ModelBinding>(StringComparer.Ordinal);
        try
        {
            heldOut.Run(reference, (feed, _) => feed.Batch ?? Math.Min(feed.Rows, Batch), (seen, _) =>
            {
                var shapes = engine.Inputs.ToDictionary(i => i.Name, i => seen.InputShape(i.Name).ToArray(), StringComparer.Ordinal);
                var key = string.Join(';', shapes.Select(s => string.Join(',', s.Value)));
                if (!bindings.TryGetValue(key, out var binding))
                    bindings[key] = binding = engine.Bind(shapes);
                foreach (var input in engine.Inputs)
                    seen.InputBytes(input.Name).CopyTo(binding.InputBytes(input.Name));
                binding.Run();
                for (var i = 0; i < outputs.Length; i++)
                    meters[i].Add(seen.OutputFloats(outputs[i]), binding.OutputFloats(outputs[i]));
            }, progress, cancellationToken);
        }
        finally
        {
            foreach (var binding in bindings.Values)
                binding.Dispose();
        }
        return [.. meters.Select(m => m.Result())];
    }
}
