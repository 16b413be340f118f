using QuantSdk.Calibration;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;

namespace QuantSdk.Quality;

/// <summary>Quantises each group of layers alone and measures what that does to the outputs: one session, one run for each group and batch.</summary>
internal static class SensitivityCheck
{
    /// <summary>Batches that are run, spread evenly over the data (over the steps of a diffusion loop): an error is a mean over thousands of values, which few suffice for.</summary>
    private const int MostBatches = 4;

    /// <summary>What stands for an error that is no number, as ErrorMeter's limits in decibels do: JSON has no infinity.</summary>
    private const double Worst = 1e20;

    /// <param name="model">The simplified model that <paramref name="plan"/> is about.</param>
    /// <param name="rounded">Weights that were rounded for the least error, where some were.</param>
    /// <param name="reference">The float model, open: it makes the inputs of a diffusion loop.</param>
    /// <param name="heldOut">Rows that were not calibrated on.</param>
    /// <param name="scratch">A folder for the model with its switches.</param>
    public static Sensitivity Measure(OnnxModel model, Plan plan, RoundedWeights? rounded, ModelSession reference, CalibrationSource heldOut, string scratch, int threads, Action<int, int>? progress, CancellationToken cancellation)
    {
        var groups = LayerGroups.Of(plan.Layers);
        var switched = SwitchedLowering.Lower(model, plan, groups, rounded);
        var path = Path.Combine(scratch, "switched.onnx");
        OnnxFile.Save(switched.Proto, path, path + ".data");
        var batches = Batches(reference, heldOut, cancellation);
        using var session = ModelSession.Open(path, new SessionSettings
        {
            Threads = threads,
            // Else every weight would be there a second time, decoded.
            DisabledOptimizers = ["ConstantFolding"],
            Entries = new Dictionary<string, string> { ["session.disable_quant_qdq"] = "1" },
        });
        string[] outputs = [.. session.Outputs.Where(o => o.Type.Type == typeof(float) || o.Type.Type == typeof(Half)).Select(o => o.Name)];
        // One entry more: all groups at once.
        var noise = new double[groups.Count + 1, outputs.Length];
        var signal = new double[outputs.Length];
        for (var b = 0; b < batches.Count; b++)
        {
            var shapes = batches[b].Inputs.ToDictionary(i => i.Name, i => i.Shape, StringComparer.Ordinal);
            shapes[switched.Switches] = [groups.Count];
            using var binding = session.Bind(shapes);
            foreach (var (name, _, bytes) in batches[b].Inputs)
                bytes.CopyTo(binding.InputBytes(name));
            binding.Input<bool>(switched.Switches).Clear();
            binding.Run();
            var exact = Array.ConvertAll(outputs, o => binding.OutputFloats(o).ToArray());
            for (var o = 0; o < outputs.Length; o++)
                signal[o] += Energy(exact[o], default);
            for (var g = 0; g <= groups.Count; g++)
            {
                cancellation.ThrowIfCancellationRequested();
                var switches = binding.Input<bool>(switched.Switches);
                switches.Fill(g == groups.Count);
                if (g < groups.Count)
                    switches[g] = true;
                binding.Run();
                for (var o = 0; o < outputs.Length; o++)
                    noise[g, o] += Energy(exact[o], binding.OutputFloats(outputs[o]));
                progress?.Invoke(b * (groups.Count + 1) + g + 1, batches.Count * (groups.Count + 1));
            }
        }
        var weights = model.Graph.Initializer.ToDictionary(t => t.Name, StringComparer.Ordinal);
        GroupSensitivity[] measured = [.. groups.Select((layers, g) => Group(layers, Errors(g), weights))];
        var predicted = outputs.Select((_, o) => measured.Sum(m => m.Errors[o])).DefaultIfEmpty().Max();
        return new Sensitivity(outputs, batches.Sum(b => (long)b.Rows), measured, Decibels(predicted), Decibels(Errors(groups.Count).DefaultIfEmpty().Max()));

        double[] Errors(int group) => [.. outputs.Select((_, o) => Relative(noise[group, o], signal[o]))];
    }

    /// <summary>−10·log10 of a relative error, within the limits of <see cref="ErrorMeter"/>.</summary>
    public static double Decibels(double error) => error <= 0 ? ErrorMeter.Exact : Math.Round(Math.Min(ErrorMeter.Exact, -10 * Math.Log10(error)), 3);

    private static double Relative(double noise, double signal) => noise == 0 ? 0 : double.IsFinite(noise) && signal > 0 ? Math.Min(Worst, noise / signal) : Worst;

    private static GroupSensitivity Group(IReadOnlyList<LayerPlan> layers, double[] errors, Dictionary<string, TensorProto> weights)
    {
        var worst = errors.DefaultIfEmpty().Max();
        // A weight that several layers share is stored once.
        var saved = layers.Select(l => l.Weight).DistinctBy(w => w.Tensor).Sum(w => WeightSize.Saved(w, weights[w.Tensor].Dims));
        return new GroupSensitivity([.. layers.Select(l => l.Node)], layers[0].Module, $"{layers[0].Weight.Format}/{layers[0].Activation.Format}", errors, worst, Decibels(worst), layers.Sum(l => l.Macs), saved);
    }

    /// <summary>Σ(a − b)²; Σa² where b is empty.</summary>
    private static double Energy(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        double sum = 0;
        for (var i = 0; i < a.Length; i++)
        {
            var difference = b.IsEmpty ? a[i] : (double)a[i] - b[i];
            sum += difference * difference;
        }
        return sum;
    }

    /// <summary>What the float model is fed, for batches spread evenly over the data; never more than twice as many are held.</summary>
    private static List<Batch> Batches(ModelSession reference, CalibrationSource heldOut, CancellationToken cancellation)
    {
        var kept = new List<Batch>();
        var (seen, every) = (0, 1);
        heldOut.Run(reference, (feed, _) => feed.Batch ?? Math.Min(feed.Rows, QualityCheck.Batch), (binding, rows) =>
        {
            if (seen++ % every != 0)
                return;
            if (kept.Count == 2 * MostBatches)
            {
                kept = [.. kept.Where((_, i) => i % 2 == 0)];
                every *= 2;
                if ((seen - 1) % every != 0)
                    return;
            }
            kept.Add(new Batch(rows, [.. reference.Inputs.Select(i => (i.Name, binding.InputShape(i.Name).ToArray(), binding.InputBytes(i.Name).ToArray()))]));
        }, null, cancellation);
        return kept.Count <= MostBatches ? kept : [.. Enumerable.Range(0, MostBatches).Select(i => kept[i * kept.Count / MostBatches])];
    }

    private sealed record Batch(int Rows, IReadOnlyList<(string Name, long[] Shape, byte[] Bytes)> Inputs);
}
