using QuantSdk.Caching;
using QuantSdk.Calibration;
using QuantSdk.Onnx;
using QuantSdk.Onnx.Upgrading;
using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;
using QuantSdk.Tests.Onnx;

namespace QuantSdk.Tests.Caching;

[TestClass]
public sealed class CachedLoopTests
{
    [TestMethod]
    public void Calibration_sees_what_full_and_live_part_compute_in_turn()
    {
        using var folder = new TempFolder();
        var recipe = new Recipe { Name = "x" };
        var original = OnnxFile.Load(Repository.Mmdit("transformer.onnx"));
        var roles = Roles.Find(original, recipe)!;
        var model = Simplification.Simplify(Intake.Prepare(original, recipe));
        var cached = CachedModel.Mark(model, roles, CacheCut.Parse("blocks:1-4"));
        var tensors = cached.Tensors.Select(t => t.Name).ToArray();
        OnnxFile.Save(cached.Live(cached.Model.Proto), folder["live.onnx"], folder["live.data"]);
        using var part = ModelSession.Open(folder["live.onnx"], new SessionSettings { Threads = 2 });
        // The stream behind the blocks, which only a gate reads.
        using var observed = ObservedModel.Open(CachedLoop.Of(cached)!, [cached.Tensors[0].Gate], folder.Path, 2);
        Conditioning conditioning = new(new Dictionary<string, ModelTensor>
        {
            ["encoder_hidden_states"] = ModelTensor.Create(TestModels.Random(2 * 4 * 64, 1), 2, 4, 64),
            ["pooled_projections"] = ModelTensor.Create(TestModels.Random(2 * 64, 2), 2, 64),
        });
        var sampler = Sampler.FromConfig(Path.Combine(Repository.Root, "samples", "CachedDiffusion", "models", "scheduler", "scheduler_config.json"));
        var source = new SamplingSource(sampler, roles, conditioning, [1, 32, 32], rows: 2, steps: 5, guidanceScale: 1, seed: 3);
        Dictionary<string, ModelTensor>[] kept = [[], []];
        var batch = 0;
        source.Run(observed.Session, (_, _) => 1, (binding, _) =>
        {
            var (step, row) = (batch / 2, batch++ % 2);
            Assert.AreEqual(1, binding.InputShape(roles.Sample)[0]);
            if (step % 3 == 0)
                kept[row] = tensors.ToDictionary(t => t, binding.OutputTensor);
            var inputs = part.Inputs.ToDictionary(i => i.Name, i => kept[row].GetValueOrDefault(i.Name) ?? ModelTensor.Create(binding.Input<float>(i.Name).ToArray(), binding.InputShape(i.Name)));
            var expected = RandomRuns.Floats(part.Run(inputs)["velocity"]);
            var actual = binding.OutputFloats("velocity").ToArray();
            Assert.IsLessThan(1e-5, Math.Sqrt(actual.Zip(expected, (a, b) => ((double)a - b) * ((double)a - b)).Sum() / expected.Sum(e => (double)e * e)), $"step {step}, row {row}");
            if (step % 3 != 0)
                CollectionAssert.AreNotEqual(kept[row][tensors[0]].AsSpan<float>().ToArray(), binding.OutputFloats(tensors[0]).ToArray(), "what is not used is computed all the same");
        }, null, default);
        Assert.AreEqual(10, batch);
    }
}
