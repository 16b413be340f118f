using System.Globalization;
using QuantSdk.Calibration;
using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Onnx.Upgrading;
using QuantSdk.Planning;
using QuantSdk.Quality;
using QuantSdk.Recipes;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;

namespace QuantSdk.Bench;

/// <summary>
/// Every model in every format: error against the float model and what the model is for, of plain min/max (<see cref="Naive"/>) and of the
/// library's default, on the same layers in the same form.
/// </summary>
internal static class FidelityBench
{
    /// <summary>The classifier's figures are named after its data.</summary>
    private const string Cnn = "digitscnn";

    private static readonly string[] s_models = ["unet", "mmdit", Cnn, .. ProtocolModel.Real, .. ProtocolModel.Archs];

    /// <summary>Formats by their usual names: weights, then activations.</summary>
    private static readonly Dictionary<string, (string Weights, string Activations)> s_formats = new(StringComparer.Ordinal)
    {
        ["w8a8"] = ("int8", "int8"),
        ["fp8"] = ("fp8", "fp8"),
        ["w4"] = ("int4", "float"),
        ["w4a8"] = ("int4", "int8"),
    };

    /// <summary>
    /// Plain min/max of the protocol's models, as measured once with other tools by the same protocol; the baseline must land within 1 dB.
    /// In the order of <see cref="BaselineForms"/>.
    /// </summary>
    private static readonly Dictionary<string, double?[]> s_table = new(StringComparer.Ordinal)
    {
        ["unet"] = [26.6, 25.6, 35.7, 31.6, 32.1, 29.5],
        ["mmdit"] = [22.2, 22.0, 29.8, 26.8, 29.8, null],
                [Cnn] = [37.0, 32.3, 37.5, 33.3, 31.9, null],
    };

    /// <summary>
    /// W4A8 of the UNet with and without what its literature adds: a scale for each branch of a skip connection, and ranges from the mean over
    /// timesteps of each one's maxima. All are measured with w4a8; by name they can be run apart.
    /// </summary>
    private static readonly Dictionary<string, (bool ConcatSplit, bool Timestep)> s_combinations = new(StringComparer.Ordinal)
    {
        ["w4a8_plain"] = (false, false),
        ["w4a8_concat_split"] = (true, false),
        ["w4a8_timestep"] = (false, true),
        ["w4a8_concat_split_timestep"] = (true, true),
    };

    /// <summary>An argument that leaves the end metrics out: making digits takes most of the time.</summary>
    private const string ErrorOnly = "sqnr";

    /// <summary>What is wrong with the arguments, or null.</summary>
    public static string? Unknown(IReadOnlyList<string> parts) =>
        parts.FirstOrDefault(p => p != ErrorOnly && !s_models.Contains(p) && !s_formats.ContainsKey(p) && !s_combinations.ContainsKey(p)) is { } unknown
            ? $"fidelity knows no '{unknown}'. Models: {string.Join(", ", s_models)}. Formats: {string.Join(", ", s_formats.Keys.Concat(s_combinations.Keys))}. {ErrorOnly} leaves the end metrics out." : null;

    /// <param name="parts">Models and formats; none of a kind: all of it.</param>
    public static void Run(Report report, IReadOnlyList<string> parts)
    {
        string[] models = [.. s_models.Where(parts.Contains)], formats = [.. s_formats.Keys.Concat(s_combinations.Keys).Where(parts.Contains)];
        foreach (var name in models.Length > 0 ? models : s_models)
        {
            var model = ProtocolModel.TryRead(name == Cnn ? "cnn" : name, out var missing);
            if (model is null)
                report.Line($"  {name}: left out, {missing}");
            else
                new Subject(model with { Name = name }, scored: !parts.Contains(ErrorOnly), report).Measure(formats.Length > 0 ? formats : [.. s_formats.Keys]);
            report.Line();
        }
    }

    /// <param name="layers">All but the usual exclusions.</param>
    private static NaiveForm[] BaselineForms(IReadOnlySet<string> layers) =>
    [
        new("int8", "u8"), new("int8", "s8"), new("int8", "u8", layers), new("int8", "s8", layers), new("int8", "u8", layers, ConvolutionOutputs: true), new("int8", "s8", layers, ConvolutionOutputs: true),
    ];

    /// <summary>One model on the bench.</summary>
    private sealed class Subject(ProtocolModel protocol, bool scored, Report report)
    {
        private readonly ScratchFolder _scratch = new();
        private ModelSession _reference = null!;
        private FloatRun _floats = null!;
        private EndMetric? _metric;
        private Naive _naive = null!;
        private IReadOnlySet<string> _layers = null!;
        private string? _last;
        private int _files;

        public void Measure(IReadOnlyList<string> formats)
        {
            using (_scratch)
            using (_reference = ModelSession.Open(protocol.Path, new SessionSettings { Threads = Quantisation.Threads }))
            {
                _floats = new FloatRun(_reference, protocol.Test);
                _metric = scored ? EndMetric.Of(protocol, _reference) : null;
                try
                {
                    var model = Simplification.Simplify(Intake.Prepare(OnnxFile.Load(protocol.Path), protocol.Recipe));
                    var placement = Quantisation.Placed(model, protocol.Recipe);
                    _layers = placement.Layers.Select(l => l.Node.Name).ToHashSet(StringComparer.Ordinal);
                    _last = placement.Kept.FirstOrDefault(k => k is { BuiltIn: true, Reason: "writes the output" })?.Node;
                    _naive = new Naive(model, protocol.Calibration, _scratch.Path);
                }
                catch (QuantSdkException e)
                {
                    report.Line($"  {protocol.Name}: not built yet ({e.Code}: {e.Message})");
                    return;
                }
                var scores = _metric?.Measure(_reference) ?? [];
                report.Row([protocol.Name, "SQNR dB", "cosine", .. scores.Select(s => s.Name)]);
                report.Row(["float", "", "", .. scores.Select(s => Number(s.Value))]);
                if (scores.Count > 0)
                    report.Figure($"{protocol.Name}_float_metric", scores[0].Value);
                foreach (var format in formats)
                {
                    if (format == "w8a8")
                        Int8();
                    else
                        Format(format);
                }
            }
        }

        /// <summary>int8 runs in two forms, and is what the baseline is checked by.</summary>
        private void Int8()
        {
            if (s_table.GetValueOrDefault(protocol.Name) is { } table)
                CheckBaseline(table);
            Naively("naive, conv outputs too, u8", new NaiveForm("int8", "u8", _layers, ConvolutionOutputs: true), "w8a8_naive", metric: true);
            var recipe = protocol.Recipe with { OptimizeFor = "size" };
            Ours("ours, cpu engine", recipe, "w8a8", quantisation =>
            {
                var engine = quantisation.OpenEngine(out var fused, timed: false);
                report.Figure($"{protocol.Name}_int8_mac_share", fused.MacShare);
                report.Figure($"{protocol.Name}_size_ratio", (double)quantisation.PortableBytes / quantisation.Original.FileBytes);
                report.Line(string.Create(CultureInfo.InvariantCulture, $"  int8_mac_share {fused.MacShare:f3}, {fused.Fused.Count} of {quantisation.Plan.Layers.Count} layers; file {(double)quantisation.PortableBytes / quantisation.Original.FileBytes:f3} of float"));
                return engine;
            });
            Naively("naive, inputs only, s8", new NaiveForm("int8", "s8", _layers), "w8a8_tensorrt_naive", metric: protocol.Diffusion is null);
            Ours("ours, tensorrt lowering", recipe, "w8a8_tensorrt", q => q.OpenTensorRt(), metric: protocol.Diffusion is null);
            Naively("naive, every layer, inputs only, u8", new NaiveForm("int8", "u8"), "alllayers_naive", metric: false);
            Ours("ours, every layer, inputs only, u8", recipe, null, q => q.OpenSim(), everyLayer: true);
            if (s_table.ContainsKey(protocol.Name))
                Speed();
        }

        /// <summary>The baseline in the forms of the table; the classifier's last layer was quantised there.</summary>
        private void CheckBaseline(double?[] table)
        {
            var usual = protocol.Diffusion is null ? _layers.Append(_last).OfType<string>().ToHashSet(StringComparer.Ordinal) : _layers;
            report.Row("naive against other tools' table", "every, u8", "every, s8", "usual, u8", "usual, s8", "outputs, u8", "outputs, s8");
            report.Row(["measured there", .. table.Select(t => t is null ? "-" : Number(t.Value, "f1"))]);
            var here = BaselineForms(usual).Select(form =>
            {
                using var session = Quantisation.OpenSimulated(_naive.Write(form), _scratch.File($"naive{_files++}.onnx"));
                return _floats.Compare(session).SqnrDb;
            }).ToArray();
            report.Row(["measured here", .. here.Select(db => Number(db, "f1"))]);
            report.Figure($"{protocol.Name}_naive_off_db", table.Select((t, i) => t is null ? 0 : Math.Abs(here[i] - t.Value)).Max());
            report.Row(protocol.Name, "SQNR dB", "cosine", "metric");
        }

        /// <summary>Other formats are judged by fake quantisation of inputs and weights.</summary>
        private void Format(string format)
        {
            if (s_combinations.ContainsKey(format))
            {
                Combination(format);
                return;
            }
            var (weights, activations) = s_formats[format];
            Naively($"naive {format}", new NaiveForm(weights, activations == "int8" ? "u8" : activations, _layers), format + "_naive", metric: true);
            var recipe = protocol.Recipe with { OptimizeFor = "size", Precision = weights, Weights = weights, Activations = activations };
            Ours($"ours {format}", recipe, format, q => q.OpenSim());
            if (format == "w4a8" && protocol.Name == "unet")
            {
                foreach (var name in s_combinations.Keys)
                    Combination(name);
            }
        }

        private void Combination(string name)
        {
            var (split, timestep) = s_combinations[name];
            var recipe = protocol.Recipe with { OptimizeFor = "size", Precision = "int4", Weights = "int4", Activations = "int8", ConcatSplit = split };
            Ours($"ours {name.Replace('_', ' ')}", timestep ? recipe with { Calibrator = "timestep", Collect = "mean-max" } : recipe, name, quantisation =>
            {
                var share = Int4Share(quantisation);
                report.Line(string.Create(CultureInfo.InvariantCulture, $"  int4_weight_share {share:f3}"));
                report.Figure($"{protocol.Name}_{name}_int4_weight_share", share);
                return quantisation.OpenSim();
            });
        }

        /// <summary>Weights in 4 bits over all weights of layers outside the built-in exclusions.</summary>
        private static double Int4Share(Quantisation quantisation)
        {
            var weights = quantisation.Model.Graph.Initializer.ToDictionary(t => t.Name, StringComparer.Ordinal);
            var nodes = quantisation.Model.Graph.Node.ToDictionary(n => n.Label(), StringComparer.Ordinal);
            long Elements(string weight) => weights.TryGetValue(weight, out var tensor) ? tensor.Count() : 0;
            var left = quantisation.Plan.Kept.Where(k => !k.BuiltIn && nodes.TryGetValue(k.Node, out var node) && Placement.IsProduct(node)).Sum(k => Elements(nodes[k.Node].Input[1]));
            var int4 = quantisation.Plan.Layers.Where(l => l.Weight.Format == "int4").Sum(l => Elements(l.Weight.Tensor));
            return (double)int4 / (quantisation.Plan.Layers.Sum(l => Elements(l.Weight.Tensor)) + left);
        }

        private double Naively(string what, NaiveForm form, string? figure, bool metric)
        {
            using var session = Quantisation.OpenSimulated(_naive.Write(form), _scratch.File($"naive{_files++}.onnx"));
            return Judge(what, session, figure, metric);
        }

        private void Ours(string what, Recipe recipe, string? figure, Func<Quantisation, ModelSession> open, bool everyLayer = false, bool metric = true)
        {
            try
            {
                var quantisation = Quantisation.Of(protocol with { Recipe = recipe }, _scratch.Path, everyLayer: everyLayer);
                using var session = open(quantisation);
                var db = Judge(what, session, figure, metric: figure is not null && metric);
                if (everyLayer)
                    report.Figure($"{protocol.Name}_alllayers_sqnr_db", db);
            }
            catch (QuantSdkException e)
            {
                report.Row(what, $"{e.Code}: {e.Message}");
            }
        }

        private double Judge(string what, ModelSession session, string? figure, bool metric)
        {
            var worst = _floats.Compare(session);
            var scores = metric ? _metric?.Measure(session) ?? [] : [];
            report.Row([what, $"{worst.SqnrDb:f2}", $"{worst.Cosine:f6}", .. scores.Select(s => Number(s.Value))]);
            if (figure is null)
                return worst.SqnrDb;
            report.Figure($"{protocol.Name}_{figure}_sqnr_db", worst.SqnrDb);
            report.Figure($"{protocol.Name}_{figure}_cosine", worst.Cosine);
            for (var i = 0; i < scores.Count; i++)
                report.Figure($"{protocol.Name}_{figure}_{(i == 0 ? "metric" : scores[i].Name.Replace(' ', '_'))}", scores[i].Value);
            return worst.SqnrDb;
        }

        /// <summary>As a build for the cpu does it: what does not pay stays in float.</summary>
        private void Speed()
        {
            var quantisation = Quantisation.Of(protocol, _scratch.Path);
            using var engine = quantisation.OpenEngine(out var fused);
            var ratio = EngineSpeed.Ratio(_reference, engine, protocol.Test);
            report.Line(string.Create(CultureInfo.InvariantCulture, $"  planned for speed: {ratio:f2}x float with int8_mac_share {fused.MacShare:f3}"));
            report.Figure($"{protocol.Name}_cpu_speedup", ratio);
            report.Figure($"{protocol.Name}_cpu_speedup_int8_mac_share", fused.MacShare);
        }
    }

    private static string Number(double value, string format = "f4") => value.ToString(format, CultureInfo.InvariantCulture);
}
