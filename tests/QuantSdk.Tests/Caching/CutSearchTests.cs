using QuantSdk.Caching;
using QuantSdk.Calibration;
using QuantSdk.Onnx;
using QuantSdk.Onnx.Upgrading;
using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;
using QuantSdk.Tests.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Caching;

[TestClass]
public sealed class CutSearchTests
{
    private static readonly DiffusionRoles s_roles = new("x", "t", 1);

    [TestMethod]
    public void Candidates_of_the_UNet_hold_the_published_cuts_and_cost_what_they_leave()
    {
        var recipe = new Recipe { Name = "x" };
        var original = OnnxFile.Load(Repository.Digits("unet.onnx"));
        var model = Simplification.Simplify(Intake.Prepare(original, recipe));
        var found = CutSearch.Enumerate(model, Roles.Find(original, recipe)!, null, false);
        var byCut = found.ToDictionary(f => f.Cut.ToString(), f => f.Cost);
        Assert.IsLessThan(byCut["live:up_blocks.2"], byCut["output:up_blocks.2.resnets.1"]);
        Assert.IsLessThan(byCut["output:up_blocks.0"], byCut["output:up_blocks.1"]);
        CollectionAssert.AreEqual(found.Select(f => f.Cost).Order().ToArray(), found.Select(f => f.Cost).ToArray());
        Assert.HasCount(found.Count, found.Select(f => string.Join(' ', f.Tensors.Select(t => t.Name))).Distinct().ToArray());
    }

    [TestMethod]
    public void Ranges_of_blocks_that_end_at_the_same_one_are_different_cuts()
    {
        var recipe = new Recipe { Name = "x" };
        var original = OnnxFile.Load(Repository.Mmdit("transformer.onnx"));
        var model = Simplification.Simplify(Intake.Prepare(original, recipe));
        var costs = CutSearch.Enumerate(model, Roles.Find(original, recipe)!, null, false).ToDictionary(f => f.Cut.ToString(), f => f.Cost);
        for (var first = 0; first < 6; first++)
            for (var last = first + 1; last < 6; last++)
                Assert.IsTrue(costs.ContainsKey($"blocks:{first}-{last}"), $"{first}-{last}: {string.Join(' ', costs.Keys)}");
        Assert.IsLessThan(costs["blocks:1-4"], costs["blocks:0-4"]);
    }

    [TestMethod]
    public void Multiply_adds_are_those_of_the_layers()
    {
        // conv 2→4 channels, 3×3, on 5×5: 4·2·9·25; then a linear layer 100→10; both for two rows.
        var model = TestModels.Create([TestModels.Input("x", DataType.Float, -1, 2, 5, 5)], ["y"], [Tensors.Create("w", TestModels.Random(72, 1), 4, 2, 3, 3), Tensors.Create("v", TestModels.Random(1000, 2), 100, 10)],
            Nodes.Create("Conv", "conv", ["x", "w"], ["c"]).With("kernel_shape", 3, 3).With("pads", 1, 1, 1, 1), Nodes.Create("Flatten", "flat", ["c"], ["f"]), Nodes.Create("MatMul", "linear", ["f", "v"], ["y"]));
        var costs = ProductCosts.Of(model);
        HashSet<NodeProto> linear = [model.Graph.Node.Single(n => n.Name == "linear")];
        Assert.AreEqual(1000.0 / (1000 + 4 * 2 * 9 * 25), costs.MacShare(linear), 1e-12);
    }

    /// <summary>h = 3x in a block; y = h + x + t. Cached h gives y' = 3x₋₁ + x + t.</summary>
    [TestMethod]
    [DataRow("output:blocks.0", false)]
    [DataRow("blocks:0-0", true)]
    public void Stale_features_are_measured_as_a_cached_step_would_run(string cut, bool residual)
    {
        using var folder = new TempFolder();
        var model = TestModels.Reload(Model(residual), folder);
        float[][] samples = [[1, 2], [2, 4], [2, 2]];
        float[] timesteps = [9, 5, 1];
        var staleness = StaleFeatures.Measure(model, s_roles, [CacheCut.Parse(cut)], new Steps(samples, timesteps), folder.Path, 1, null, default).Single();
        double drift = 0, error = 0;
        for (var i = 1; i < samples.Length; i++)
        {
            // In the residual form the block returns 4x = x + 3x, and 3x is what it adds.
            var change = samples[i].Zip(samples[i - 1], (a, b) => 3.0 * (a - b)).ToArray();
            var stream = samples[i].Select(a => (residual ? 4.0 : 3.0) * a);
            var y = samples[i].Select(a => 4.0 * a + timesteps[i]);
            drift += Norm(change) / Norm(stream) / 2;
            error += Norm(change) / Norm(y) / 2;
        }
        Assert.AreEqual(drift, staleness.Drift, 1e-6);
        Assert.AreEqual(error, staleness.Error, 1e-6);

        static double Norm(IEnumerable<double> values) => Math.Sqrt(values.Sum(v => v * v));
    }

    /// <summary>Of 40 steps every third pair is run, of a few all of them; drift is taken at every step.</summary>
    [TestMethod]
    [DataRow(40, 3)]
    [DataRow(11, 1)]
    public void Errors_are_measured_at_steps_spread_over_the_run(int steps, int every)
    {
        using var folder = new TempFolder();
        var model = TestModels.Reload(Model(residual: false), folder);
        float[][] samples = [.. Enumerable.Range(0, steps).Select(i => new[] { 1 + 0.1f * i * i, 2f })];
        var staleness = StaleFeatures.Measure(
            model, s_roles, [CacheCut.Parse("output:blocks.0")], new Steps(samples, [.. Enumerable.Range(0, steps).Select(i => (float)(steps - i))], known: true), folder.Path, 1, null, default).Single();
        double Change(int i) => 3 * Math.Abs(samples[i][0] - samples[i - 1][0]);
        double Length(int i, double factor, double add) => Math.Sqrt(samples[i].Sum(x => (factor * x + add) * (factor * x + add)));
        Assert.AreEqual(Enumerable.Range(1, steps - 1).Average(i => Change(i) / Length(i, 3, 0)), staleness.Drift, 1e-6);
        Assert.AreEqual(Enumerable.Range(1, steps - 1).Where(i => (i - 1) % every == 0).Average(i => Change(i) / Length(i, 4, steps - i)), staleness.Error, 1e-6);
    }

    [TestMethod]
    [DataRow(null, null, "b")]
    [DataRow(2.5, null, "a")]
    [DataRow(1.2, null, "d")]
    [DataRow(null, 0.05, "b")]
    [DataRow(null, 0.015, "d")]
    [DataRow(2.9, null, "QSDK3071")]
    [DataRow(null, 0.001, "QSDK3071")]
    public void The_choice_is_the_cheapest_of_enough_quality_or_the_best_of_enough_speed(double? speedup, double? quality, string expected)
    {
        CutSearch.Possible[] cuts = [Cut("a", 0.1), Cut("b", 0.2), Cut("c", 0.24), Cut("d", 0.7)];
        var table = CutSearch.Table(cuts, [new(1, 0.1), new(1, 0.04), new(1, 0.05), new(1, 0.01)]);
        Assert.AreEqual("a b d", string.Join(' ', table.Where(c => c.Pareto).Select(c => c.Cut["tensor:".Length..])));
        Assert.AreEqual(3 / 1.2, table[0].Speedup, 1e-9);
        var recipe = new Recipe { Name = "m", Cache = "auto", CacheSpeedup = speedup, CacheQuality = quality };
        try
        {
            Assert.AreEqual(expected, table[CutSearch.Choose(table, recipe, "m")].Cut["tensor:".Length..]);
        }
        catch (QuantSdkException e)
        {
            Assert.AreEqual(expected, e.Code, e.Message);
        }

        static CutSearch.Possible Cut(string name, double cost) => new(CacheCut.Parse("tensor:" + name), [new(name, name)], cost);
    }

    [TestMethod]
    [DataRow("flux_tiny", "blocks:0-0")]
    [DataRow("pixart_sigma_tiny", "blocks:0-0")]
    [DataRow("auraflow_tiny", "blocks:0-0")]
    public void Other_transformers_are_cut_at_their_blocks(string name, string cut)
    {
        var recipe = new Recipe { Name = "x" };
        var original = OnnxFile.Load(Repository.Data($"archs/{name}.onnx"));
        var model = Simplification.Simplify(Intake.Prepare(original, recipe));
        var roles = Roles.Find(original, recipe)!;
        var found = CutSearch.Enumerate(model, roles, null, false);
        Assert.Contains(cut, found.Select(f => f.Cut.ToString()).ToArray(), string.Join(' ', found.Select(f => f.Cut)));
        var cached = CachedModel.Mark(model, roles, CacheCut.Parse(cut));
        var inputs = RandomRuns.Inputs(model.Proto);
        var full = RandomRuns.Run(cached.Model.Proto, inputs);
        var live = RandomRuns.Run(cached.Live(cached.Model.Proto), inputs.Concat(full.Where(o => cached.Tensors.Any(t => t.Name == o.Key))).ToDictionary());
        Assert.IsGreaterThan(100, RandomRuns.Sqnr(live, full));
    }

    private static ModelProto Model(bool residual) => TestModels.Create([TestModels.Input("x", DataType.Float, -1, 2), TestModels.Input("t", DataType.Float, -1, 1)], ["y"], [Tensors.Scalar("three", 3f), Tensors.Scalar("zero", 0f)],
        [
            Nodes.Create("Add", "/in/Add", ["x", "zero"], ["x1"]), Nodes.Create("Mul", "/blocks.0/Mul", ["x1", "three"], ["h"]),
            Nodes.Create("Add", residual ? "/blocks.0/Add" : "/out/Add", ["x1", "h"], ["s"]), Nodes.Create("Add", "/out/Add_1", ["s", "t"], ["y"]),
        ]);

    /// <summary>One row through the model at each of some timesteps; twice, as a second batch of the step would be.</summary>
    private sealed class Steps(float[][] samples, float[] timesteps, bool known = false) : CalibrationSource
    {
        public override IReadOnlyList<float> Timesteps => known ? timesteps : [];

        public override void Run(ModelSession session, BatchPolicy batch, RowsSeen seen, Action<int, int>? progress, CancellationToken cancellationToken)
        {
            for (var i = 0; i < samples.Length; i++)
            {
                foreach (var sample in (float[][])[samples[i], [77, 77]])
                {
                    using var binding = session.Bind(new Dictionary<string, long[]> { ["x"] = [1, 2], ["t"] = [1, 1] });
                    sample.CopyTo(binding.Input<float>("x"));
                    binding.Input<float>("t")[0] = timesteps[i];
                    binding.Run();
                    seen(binding, 1, new BatchKey(i, timesteps[i]));
                }
            }
        }
    }
}
