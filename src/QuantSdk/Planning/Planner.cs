using System.Globalization;
using QuantSdk.Calibration;
using QuantSdk.Numerics;
using QuantSdk.Onnx;
using QuantSdk.Recipes;

namespace QuantSdk.Planning;

/// <summary>Placement and what was observed to a <see cref="Plan"/>.</summary>
internal static class Planner
{
    /// <summary>Ranges that are chance to a smaller share than this stay as they were seen.</summary>
    private const double LeastNoise = 0.2;

    /// <param name="samples">Channel by channel observations, for smoothing, bias correction and outputs; without them none of these is planned.</param>
    public static Plan Make(OnnxModel model, Placement placement, CalibrationTable calibration, Recipe recipe, IReadOnlyDictionary<string, ChannelSample>? samples)
    {
        var weights = model.Graph.Initializer.ToDictionary(t => t.Name, StringComparer.Ordinal);
        var tensors = placement.Layers.GroupBy(l => l.Activation, StringComparer.Ordinal).AsParallel().AsOrdered()
            .Select(g => Tensor(calibration[g.Key], [.. g], weights, recipe, samples?.GetValueOrDefault(g.Key))).ToDictionary(t => t.Tensor, StringComparer.Ordinal);
        var small = SmallWeights.Of(placement.Layers, weights, recipe);
        var layers = placement.Layers.Select(layer => new LayerPlan(
            layer.Node.Label(), layer.Op, layer.Module,
            tensors[layer.Activation] with { Format = Formats(layer, weights[layer.Weight], recipe).Activations },
            Weight(layer, weights[layer.Weight], small.Contains(layer.Weight) ? recipe with { Weights = "int8", BlockSize = null } : recipe),
            layer.Bias,
            layer.IsConvolution ? Output(layer, calibration[layer.Output], samples?.GetValueOrDefault(layer.Output)) : null,
            Macs(layer, weights[layer.Weight], calibration),
            layer.Groups)).ToArray();
        var (stored, kept) = StoredWeights.Decide(model, placement.Kept, recipe);
        return new Plan(2, placement.Samples, layers, kept) { Stored = stored, Attention = [.. placement.Attention.Select(a => Attention(a, calibration, recipe))], Rewrites = model.Rewrites };
    }

    private static AttentionPlan Attention(AttentionProduct product, CalibrationTable calibration, Recipe recipe)
    {
        return new AttentionPlan(product.Scores.Label(), product.Output.Label(), product.Module, Tensor(product.Q), Tensor(product.K), new TensorPlan(product.Probabilities, "fp8", 0, 1, 1), Tensor(product.V));

        TensorPlan Tensor(string name)
        {
            var c = calibration[name];
            return new TensorPlan(name, "fp8", c.Low, c.High, Amax(c, "fp8", recipe));
        }
    }

    private static WeightPlan Weight(Layer layer, TensorProto weight, Recipe recipe)
    {
        var reduction = layer.IsConvolution ? 0 : (int)weight.Dims[1 - layer.WeightAxis];
        var formats = Formats(layer, weight, recipe);
        var block = formats.Weights switch
        {
            _ when layer.IsConvolution => 0,
            "int4" when recipe.Targets.Any(t => t != "cpu") => TensorRtWeights.Block(reduction, recipe),
            "int4" or "int2" => Math.Min(recipe.BlockSize ?? 128, reduction),
            "int8" => Math.Min(recipe.BlockSize ?? 0, reduction),
            _ => recipe.BlockSize ?? 0,
        };
        var rounding = recipe.Weights is not ("int4" or "int2") ? "nearest" : recipe.Rounding == "auto" ? "error" : recipe.Rounding;
        return new WeightPlan(layer.Weight, formats.Weights, layer.WeightAxis, block, recipe.WeightZeroPoint && recipe.Weights is "int4" or "int2", rounding);
    }

    private static FormatPair Formats(Layer layer, TensorProto weight, Recipe recipe) =>
        LayerFormats.Of(new FormatPair(recipe.Weights, recipe.Activations), layer.Op, layer.IsConvolution ? 0 : weight.Dims[1 - layer.WeightAxis]);

    private static TensorPlan Tensor(TensorCalibration c, Layer[] readers, Dictionary<string, TensorProto> weights, Recipe recipe, ChannelSample? sample)
    {
        var format = Formats(readers[0], weights[readers[0].Weight], recipe).Activations;
        var plan = new TensorPlan(c.Name, format, c.Low, c.High, Amax(c, format, recipe));
        // A tensor that both convolutions and linear layers read has its channels in two places.
        if (sample is null || sample.Count == 0 || readers.Any(r => r.IsConvolution != readers[0].IsConvolution))
            return plan;
        plan = plan with { Means = recipe.BiasCorrection ? sample.Means() : null };
        // Ranges over batches or timesteps are decided from maxima, which a sample of values does not have.
        // Nor are they where the sample's range is a mean over steps.
        var off = c.Steps is not null || recipe.SmoothQuant == "off" || plan.Format != "int8" || recipe.Calibrator is "ema" or "timestep";
        return off ? plan : plan with { Smoothed = Smoothed(sample, readers, weights, recipe) };
    }

    /// <summary>Steps that grow with the value gain nothing from a narrower range: the least squared error of such a format clips nothing.</summary>
    private static float Amax(TensorCalibration c, string format, Recipe recipe) =>
        recipe.Calibrator == "mse" && (format is "fp8" or "fp8-e5m2") ? Math.Max(-c.Min, c.Max) : c.Amax;

    private static SmoothedPlan? Smoothed(ChannelSample sample, Layer[] readers, Dictionary<string, TensorProto> weights, Recipe recipe)
    {
        float? alpha = recipe.SmoothQuant == "auto" ? null : float.Parse(recipe.SmoothQuant, CultureInfo.InvariantCulture);
        InputWeights[] inputs = [.. readers.Select(r => InputWeights.Of(r, weights[r.Weight]))];
        var factors = Smoothing.Factors(sample, inputs, recipe.Weights switch { "int4" => 7, "int2" => 1, _ => 127 }, alpha);
        // What is subtracted must come back through a bias, which padding with zeros would miss.
        var centres = !sample.Few && readers.All(r => !r.Pads) && recipe.BiasCorrection ? sample.Centres() : null;
        // Codes that make up for rounding errors are searched for one vector of factors.
        var atoms = recipe.Weights is "int4" or "int2" ? [] : Atom.Of(sample);
        var alignable = readers.All(r => r.IsConvolution) && Array.Exists(atoms, a => a.Share > 0);
        if (factors is null && centres is null && !alignable)
            return null;
        var smoothed = factors is not null;
        factors ??= Enumerable.Repeat(1f, sample.Channels).ToArray();
        var estimator = RangeEstimator.Create(recipe);
        var importance = Importance(inputs, factors);
        var smooth = estimator.Estimate(sample.Distribution(factors, null, importance), []);
        var centred = estimator.Estimate(sample.Distribution(factors, centres, importance), []);
        var symmetric = factors;
        var step = centred.Amax / 127;
        if (centres is not null && atoms.Length > 0)
            centres = [.. centres.Select((centre, c) => atoms[c].Centre(centre, factors[c] * step))];
        // Where nothing is smoothed a factor is a node more on this grid; on the asymmetric one of convolutions it is free.
        else if (smoothed)
            symmetric = Aligned(factors, atoms, step);
        if (alignable)
            factors = Aligned(factors, atoms, Int8Grid.Asymmetric(smooth.Range.Low, smooth.Range.High).Scale);
        return new SmoothedPlan(factors, smooth.Range.Low, smooth.Range.High, centres, centred.Range.Low, centred.Range.High, centred.Amax, symmetric);
    }

    /// <summary>How much an error of each channel weighs at the outputs, f²·‖W_c‖², as counts from 1 to 64.</summary>
    private static int[] Importance(InputWeights[] readers, float[] factors)
    {
        var energy = factors.Select((f, c) => (double)f * f * readers.Sum(r => r.Energy[c])).ToArray();
        var most = energy.Max();
        return Array.ConvertAll(energy, e => most > 0 ? Math.Max(1, (int)Math.Round(e / most * 64)) : 1);
    }

    /// <summary>Factors that put what a channel mostly is on the grid of x/factor.</summary>
    private static float[] Aligned(float[] factors, Atom[] atoms, float scale) =>
        Array.Exists(atoms, a => a.Share > 0) ? [.. factors.Select((f, c) => (float)(f * atoms[c].Widening((double)f * scale)))] : factors;

    private static OutputPlan Output(Layer layer, TensorCalibration c, ChannelSample? sample)
    {
        // A Clip in between has one limit for all channels.
        if (sample is null || layer.Rectifier == "Clip")
            return new OutputPlan(c.Name, c.Low, c.High, null, null);
        var atoms = Atom.Of(sample);
        // Ranges that chance made narrow would clip the next data: where channels do not differ by more, the widest serves all.
        var amax = sample.Min.Zip(sample.Max, (low, high) => Math.Max(-low, high)).ToArray();
        var noise = ExtremeNoise.Share(amax, sample.Seen);
        var widest = noise < LeastNoise ? 0 : amax.Max();
        var (lows, highs) = (new float[sample.Channels], new float[sample.Channels]);
        for (var channel = 0; channel < atoms.Length; channel++)
        {
            var margin = widest > 0 && amax[channel] > 0 ? (float)Math.Pow((double)widest / amax[channel], noise) : 1;
            var (low, high) = (Math.Min(sample.Min[channel], 0) * margin, Math.Max(sample.Max[channel], 0) * margin);
            var widening = (float)atoms[channel].Widening(Int8Grid.Asymmetric(low, high).Scale);
            (lows[channel], highs[channel]) = (low * widening, high * widening);
        }
        return new OutputPlan(c.Name, c.Low, c.High, lows, highs);
    }

    /// <summary>Every weight is used once for each output position (Conv), input position (ConvTranspose) or row (linear).</summary>
    internal static long Macs(Layer layer, TensorProto weight, CalibrationTable calibration)
    {
        var elements = weight.Count();
        return layer.Op switch
        {
            "Conv" => calibration[layer.Output].ElementsPerRow / weight.Dims[0] * elements,
            "ConvTranspose" => calibration[layer.Activation].ElementsPerRow / weight.Dims[0] * elements,
            _ => calibration[layer.Activation].ElementsPerRow * weight.Dims[layer.WeightAxis],
        };
    }
}
