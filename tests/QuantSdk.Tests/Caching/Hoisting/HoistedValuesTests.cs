using QuantSdk.Caching.Hoisting;
using QuantSdk.Onnx;
using QuantSdk.Runtime;
using QuantSdk.Tests.Onnx;

namespace QuantSdk.Tests.Caching.Hoisting;

/// <summary>When heads are evaluated, seen by a random number that one of them adds in every evaluation.</summary>
[TestClass]
public sealed class HoistedValuesTests
{
    private const int Rows = 3;

    private static readonly Dictionary<string, ModelTensor> s_text = Text(1), s_other = Text(2);

    [TestMethod]
    public void What_depends_on_the_prompt_is_computed_once_for_each()
    {
        using var folder = new TempFolder();
        using var model = Open(folder, noisy: HeadDependence.Prompt);
        var first = Predict(model, s_text, 1, 2, 1);
        CollectionAssert.AreEqual(first[0], first[2]);
        CollectionAssert.AreNotEqual(first[0], first[1]);
        CollectionAssert.AreEqual(first[0], Predict(model, s_text, 1)[0], "a second run of the same prompt");
        CollectionAssert.AreNotEqual(first[0], Predict(model, s_other, 1)[0]);
        CollectionAssert.AreNotEqual(first[0], Predict(model, s_text, 1)[0], "nothing is kept of prompts before");
    }

    [TestMethod]
    public void What_depends_on_the_timestep_is_computed_once_for_each_whatever_the_prompt()
    {
        using var folder = new TempFolder();
        using var model = Open(folder, noisy: HeadDependence.Timestep);
        var first = Predict(model, s_text, 1, 2, 1);
        CollectionAssert.AreEqual(first[0], first[2]);
        CollectionAssert.AreNotEqual(first[0], first[1]);
        CollectionAssert.AreNotEqual(first[0], Predict(model, s_other, 1)[0]);
        CollectionAssert.AreEqual(first[0], Predict(model, s_text, 1)[0], "the prompts between have not touched it");
    }

    [TestMethod]
    public void What_depends_on_both_starts_anew_with_each_prompt()
    {
        using var folder = new TempFolder();
        using var model = Open(folder, noisy: HeadDependence.Both);
        var first = Predict(model, s_text, 1, 2, 1);
        CollectionAssert.AreEqual(first[0], first[2]);
        CollectionAssert.AreEqual(first[1], Predict(model, s_text, 2)[0]);
        CollectionAssert.AreNotEqual(first[0], Predict(model, s_other, 1)[0]);
        CollectionAssert.AreNotEqual(first[0], Predict(model, s_text, 1)[0]);
    }

    [TestMethod]
    [DataRow(HeadDependence.Prompt)]
    [DataRow(HeadDependence.Timestep)]
    [DataRow(HeadDependence.Both)]
    public void A_binding_of_the_apps_computes_everything_in_every_run(string noisy)
    {
        using var folder = new TempFolder();
        using var model = Open(folder, noisy);
        using var binding = model.Session.Bind(Shapes());
        binding.Run();
        var first = binding.Output<float>("y").ToArray();
        binding.Run();
        CollectionAssert.AreNotEqual(first, binding.Output<float>("y").ToArray());
    }

    [TestMethod]
    public void What_the_app_writes_into_a_binding_is_what_the_next_run_sees()
    {
        using var folder = new TempFolder();
        using var model = Open(folder, noisy: null);
        using var binding = model.Session.Bind(Shapes());
        foreach (var (timestep, seed) in ((float, int)[])[(1, 1), (2, 1), (1, 3), (1, 1)])
        {
            var inputs = Inputs(timestep, seed);
            foreach (var (name, tensor) in inputs)
                tensor.AsSpan<float>().CopyTo(binding.Input<float>(name));
            binding.Run();
            CollectionAssert.AreEqual(RandomRuns.Floats(RandomRuns.Run(ConditionedModel.Create(), inputs)["y"]), binding.Output<float>("y").ToArray(), $"{timestep}, {seed}");
        }
    }

    [TestMethod]
    public void Of_too_many_timesteps_all_start_anew()
    {
        using var folder = new TempFolder();
        using var model = Open(folder, noisy: HeadDependence.Timestep);
        var own = model.Session.Inputs.Select(port => new BoundInput(port, Shapes()[port.Name])).ToArray();
        // Three tensors at each of two timesteps, and at the one that the inputs hold by themselves.
        foreach (var (most, kept) in ((long, bool)[])[(1 << 20, true), (9L * Rows * ConditionedModel.Width * sizeof(float), false)])
        {
            using var values = new HoistedValues(model.Session, own, most);
            var lent = values.Lend(model.Session.Hoisted).Single(input => input.Port.Name == "sum");
            var first = At(1);
            At(2);
            CollectionAssert.AreEqual(first, At(1));
            At(3);
            Assert.AreEqual(kept, first.SequenceEqual(At(1)), $"{most} bytes");

            float[] At(double timestep)
            {
                values.Evaluate(timestep, model.Session);
                return lent.Value.GetTensorDataAsSpan<float>().ToArray();
            }
        }
    }

    [TestMethod]
    public void A_live_part_has_only_what_it_reads_evaluated()
    {
        using var folder = new TempFolder();
        var hoisted = HoistedModel.Of(ConditionedModel.Create(), ConditionedModel.Roles, ConditionedModel.Live())!;
        HeadPart[] parts = [.. HeadPart.All(cached: true).Where(p => hoisted.Of(p).Any())];
        Assert.HasCount(4, parts);
        foreach (var part in parts)
            OnnxFile.Save(hoisted.Head(part), folder[part.File()], folder[part.File() + ".data"]);
        OnnxFile.Save(hoisted.Rest(hoisted.Lowered), folder["m.onnx"], folder["m.data"]);
        OnnxFile.Save(hoisted.Rest(ConditionedModel.Live()), folder["live.onnx"], folder["live.data"]);
        using var full = QuantizedModel.OpenWithHeads(folder["m.onnx"], parts.Select(p => (folder[p.File()], p.DependsOn, true)), new SessionSettings { Threads = 1 });
        using var live = ModelSession.Open(folder["live.onnx"], new SessionSettings { Threads = 1 });
        using var values = new HoistedValues(full, [.. full.Inputs.Select(port => new BoundInput(port, Shapes()[port.Name]))]);
        var inputs = values.Lend(full.Hoisted).ToDictionary(input => input.Port.Name);
        values.Evaluate(1, full);
        var (sum, deep) = (inputs["sum"].Value, inputs["deep"].Value);
        values.Evaluate(2, live);
        Assert.AreNotSame(sum, inputs["sum"].Value);
        Assert.AreSame(deep, inputs["deep"].Value);
        values.Evaluate(2, full);
        Assert.AreNotSame(deep, inputs["deep"].Value);
        values.Evaluate(1, full);
        Assert.AreSame(sum, inputs["sum"].Value);
        Assert.AreSame(deep, inputs["deep"].Value);
    }

    private static Dictionary<string, ModelTensor> Text(int seed) => new() { ["text"] = ModelTensor.Create(TestModels.Random(Rows * ConditionedModel.Width, seed), Rows, ConditionedModel.Width) };

    private static Dictionary<string, long[]> Shapes() => new() { ["sample"] = [Rows, ConditionedModel.Width], ["timestep"] = [], ["text"] = [Rows, ConditionedModel.Width] };

    private static Dictionary<string, ModelTensor> Inputs(float timestep, int seed) => new(Text(seed))
    {
        ["sample"] = ModelTensor.Create(TestModels.Random(Rows * ConditionedModel.Width, seed + 10), Rows, ConditionedModel.Width),
        ["timestep"] = ModelTensor.Create([timestep]),
    };

    /// <summary>Predictions of one run on one sample.</summary>
    private static float[][] Predict(Model model, Dictionary<string, ModelTensor> conditioning, params float[] timesteps)
    {
        using var run = model.Denoiser.Begin([Rows, ConditionedModel.Width], conditioning);
        return [.. timesteps.Select(t =>
        {
            TestModels.Random(Rows * ConditionedModel.Width, 9).CopyTo(run.Sample);
            return run.Predict(0, t, default).ToArray();
        })];
    }

    private static Model Open(TempFolder folder, string? noisy)
    {
        var hoisted = HoistedModel.Of(ConditionedModel.Create(), ConditionedModel.Roles)!;
        foreach (var dependsOn in HeadDependence.All)
        {
            var head = hoisted.Head(new(dependsOn, false));
            if (dependsOn == noisy)
                AddNoise(head.Graph);
            OnnxFile.Save(head, folder[$"{dependsOn}.onnx"], folder[$"{dependsOn}.data"]);
        }
        OnnxFile.Save(hoisted.Rest(hoisted.Lowered), folder["m.onnx"], folder["m.data"]);
        return new Model(QuantizedModel.OpenWithHeads(folder["m.onnx"], HeadDependence.All.Select(d => (folder[$"{d}.onnx"], d, true)), new SessionSettings { Threads = 1 }));
    }

    private static void AddNoise(GraphProto head)
    {
        foreach (var output in head.Output)
        {
            var node = head.Node.Single(n => n.Output.Contains(output.Name));
            node.Output[node.Output.IndexOf(output.Name)] = output.Name + "_exact";
            head.Node.Add([Nodes.Create("RandomUniformLike", "", [output.Name + "_exact"], [output.Name + "_noise"]), Nodes.Create("Add", "", [output.Name + "_exact", output.Name + "_noise"], [output.Name])]);
        }
    }

    private sealed class Model(ModelSession session) : IDisposable
    {
        public ModelSession Session => session;

        public ModelDenoiser Denoiser { get; } = new(session, ConditionedModel.Roles);

        public void Dispose()
        {
            Denoiser.Dispose();
            session.Dispose();
        }
    }
}
