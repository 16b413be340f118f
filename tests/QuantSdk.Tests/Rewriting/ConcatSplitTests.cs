using QuantSdk.Calibration;
using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;
using QuantSdk.Tests.Calibration;
using QuantSdk.Tests.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Rewriting;

[TestClass]
public sealed class ConcatSplitTests
{
    private static readonly Recipe s_recipe = new() { Name = "x" };

    [TestMethod]
    public void The_shortcuts_of_the_UNets_up_blocks_are_split_and_it_computes_the_same()
    {
        var (model, roles) = UNet(s_recipe);
        var split = ConcatSplit.Apply(model, s_recipe, roles);
        // Independent of the rule: diffusers gives the shortcut of every resnet in an up block a Concat to read, and no other.
        string[] expected = [.. model.Graph.Node.Where(n => n.Name.Contains("/up_blocks.", StringComparison.Ordinal) && n.Name.EndsWith("conv_shortcut/Conv", StringComparison.Ordinal)).Select(n => n.Name)];
        Assert.IsNotEmpty(expected);
        CollectionAssert.AreEquivalent(expected, split.Rewrites.Select(r => r.Node).ToArray());
        Assert.IsGreaterThan(100, RandomRuns.Sqnr(RandomRuns.Run(model.Proto), RandomRuns.Run(split.Proto)));
        var placement = Placement.Decide(split, s_recipe, roles);
        foreach (var rewrite in split.Rewrites)
        {
            var parts = rewrite.Parts.Select(p => placement.Layers.Single(l => l.Node.Name == p)).ToArray();
            Assert.HasCount(2, parts.Select(p => p.Activation).Distinct().ToArray());
            Assert.IsTrue(parts.All(p => p.Module == rewrite.Module), "the module path is kept");
            var weight = model.Graph.Initializer.Single(t => t.Name == model.Graph.Node.Single(n => n.Name == rewrite.Node).Input[1]);
            long[] widths = [.. parts.Select(p => split.Graph.Initializer.Single(t => t.Name == p.Weight).Dims[1])];
            Assert.AreEqual(weight.Dims[1], widths.Sum());
            CollectionAssert.AreEqual((long[])[0, widths[0]], rewrite.Offsets.ToArray());
        }
        // The norm in front of conv1 reads the Concat as before.
        Assert.AreEqual(model.Graph.Node.Count(n => n.OpType == "Concat"), split.Graph.Node.Count(n => n.OpType == "Concat"));
    }

    [TestMethod]
    public void Names_of_the_users_model_still_select_the_parts()
    {
        var (model, roles) = UNet(s_recipe);
        var name = model.Graph.Node.First(n => n.Name.Contains("/up_blocks.1/", StringComparison.Ordinal) && n.Name.EndsWith("conv_shortcut/Conv", StringComparison.Ordinal)).Name;
        var only = s_recipe with { Only = [name] };
        var split = ConcatSplit.Apply(model, only, roles);
        CollectionAssert.AreEqual(split.Rewrites.Single().Parts.ToArray(), Placement.Decide(split, only, roles).Layers.Select(l => l.Node.Name).ToArray());
        var exclude = s_recipe with { ExcludeModules = [name] };
        Assert.IsFalse(ConcatSplit.Apply(model, exclude, roles).Rewrites.Any(r => r.Node == name), "what stays in float gains nothing");
    }

    [TestMethod]
    [DataRow("float", true)]
    [DataRow("int8", false)]
    public void It_is_done_for_quantised_activations_where_the_recipe_does_not_forbid_it(string activations, bool concatSplit)
    {
        var recipe = s_recipe with { Activations = activations, ConcatSplit = concatSplit };
        var (model, roles) = UNet(recipe);
        Assert.AreSame(model, ConcatSplit.Apply(model, recipe, roles));
    }

    [TestMethod]
    public void Three_branches_and_a_padded_kernel_give_the_convolution_of_their_Concat()
    {
        using var folder = new TempFolder();
        var model = TestModels.Reload(Model(kernel: 3, groups: 1, knownChannels: true, skip: true), folder);
        var split = ConcatSplit.Apply(model, s_recipe, null);
        var rewrite = split.Rewrites.Single();
        CollectionAssert.AreEqual((long[])[0, 3, 5], rewrite.Offsets.ToArray());
        Assert.HasCount(1, split.Graph.Node.Where(n => n.Name.StartsWith("joint_part", StringComparison.Ordinal) && n.Input.Count == 3).ToArray(), "the bias is added once");
        Assert.IsFalse(split.Graph.Node.Any(n => n.OpType == "Concat"), "nobody reads it");
        // y(x), a plain loop, from the weights that the model was made of.
        var x = TestModels.Random(2 * 3 * 5 * 4, 7);
        var y = RandomRuns.Run(split.Proto, new Dictionary<string, ModelTensor> { ["x"] = ModelTensor.Create(x, [2, 3, 5, 4]) })["y"];
        var expected = Expected(x);
        foreach (var (a, b) in expected.Zip(y.AsSpan<float>().ToArray()))
            Assert.AreEqual(a, b, 1e-5);
    }

    [TestMethod]
    public void The_parts_run_in_int8_on_the_cpu_each_on_a_grid_of_its_own()
    {
        using var folder = new TempFolder();
        var recipe = s_recipe with { Calibrator = "max" };
        var split = ConcatSplit.Apply(TestModels.Reload(Model(kernel: 3, groups: 1, knownChannels: true, skip: true), folder), recipe, null);
        var placement = Placement.Decide(split, recipe, null);
        var observers = new Observers(placement.Tensors, RangeEstimator.Create(recipe), 2);
        var channels = new ChannelObservers(placement.Channels(split), 2);
        using var observed = ObservedModel.Open(split, placement.Tensors, folder.Path, 2);
        void Seen(ModelBinding binding, int rows, BatchKey key)
        {
            observers.Observe(binding, rows, key);
            channels.Observe(binding, rows);
        }
        var data = NpyWriter.Npz(folder, ("x", NpyWriter.Npy("<f4", [8, 3, 5, 4], TestModels.Random(8 * 60, 3))));
        new RowSource(Feed.Fit(CalibrationFiles.Read([data], null), observed.Session.Inputs, "tiny")).Run(observed.Session, observed.BatchFor, Seen, null, default);
        var plan = Planner.Make(split, placement, observers.Finish("max", "tiny"), recipe, channels.Finish());
        Assert.HasCount(1, plan.Rewrites.ToArray());
        Assert.HasCount(3, plan.Layers.Where(l => l.Node.StartsWith("joint_part", StringComparison.Ordinal)).Select(l => l.Activation.High).Distinct().ToArray());
        OnnxFile.Save(Lowering.Lower(split, plan, "cpu"), folder["cpu.onnx"], folder["cpu.data"]);
        OrtEngine.Optimise(folder["cpu.onnx"], folder["optimised.onnx"], 2);
        Assert.IsEmpty(FusedLayers.Count(OnnxFile.Load(folder["optimised.onnx"]), plan).Float);
    }

    [TestMethod]
    [DataRow(2, true, true, "two groups")]
    [DataRow(1, false, true, "channels that are not known")]
    [DataRow(1, true, false, "parallel branches")]
    public void Nothing_else_is_split(int groups, bool knownChannels, bool skip, string what)
    {
        using var folder = new TempFolder();
        var model = TestModels.Reload(Model(1, groups, knownChannels, skip), folder);
        Assert.AreSame(model, ConcatSplit.Apply(model, s_recipe, null), what);
    }

    private static (OnnxModel Model, DiffusionRoles? Roles) UNet(Recipe recipe)
    {
        var model = Simplification.Simplify(OnnxFile.Load(Repository.Digits("unet.onnx")));
        return (model, Roles.Find(model, recipe));
    }

    /// <summary>a = conv(x) with 3 channels, b = conv(a) with 2, c = conv(b) with 3; y = conv(conv_joint(concat(a, b, c))).</summary>
    private static ModelProto Model(int kernel, int groups, bool knownChannels, bool skip)
    {
        string[] branches = ["a", "b", "c"];
        NodeProto[] before = [Conv("a", "x"), Conv("b", skip ? "a" : "x"), Conv("c", skip ? "b" : "x")];
        if (!knownChannels)
        {
            // A split by a size that is fed: nothing says how many channels each half has.
            before = [Conv("a", "x"), Nodes.Create("Split", "halves", ["a", "sizes"], ["b", "rest"]).With("axis", 1L), Nodes.Create("Relu", "relu", ["b"], ["c"])];
            branches = ["b", "c"];
        }
        var width = knownChannels ? 8 : 4;
        var joint = Nodes.Create("Conv", "joint", ["abc", "w", "bias"], ["j"]).With("group", (long)groups);
        if (kernel > 1)
            joint.With("pads", 1L, 1L, 1L, 1L);
        List<ValueInfoProto> inputs = [TestModels.Input("x", DataType.Float, -1, 3, 5, 4)];
        if (!knownChannels)
            inputs.Add(TestModels.Input("sizes", DataType.Int64, 2));
        return TestModels.Create(inputs, ["y"],
            [
                Weight("wa", 3, 3, 1), Weight("wb", 2, 3, 1), Weight("wc", 3, skip ? 2 : 3, 1), Weight("w", 4, width / groups, kernel), Weight("wy", 1, 4, 1), Tensors.Vector("bias", TestModels.Random(4, 99)),
            ],
            [.. before, Nodes.Create("Concat", "concat", branches, ["abc"]).With("axis", knownChannels ? 1L : -3L), joint, Nodes.Create("Conv", "last", ["j", "wy"], ["y"])]);

        static NodeProto Conv(string name, string input) => Nodes.Create("Conv", "conv_" + name, [input, "w" + name], [name]);
    }

    private static TensorProto Weight(string name, int outputs, int inputs, int kernel) => Tensors.Create(name, Values(name, outputs * inputs * kernel * kernel), outputs, inputs, kernel, kernel);

    private static float[] Values(string name, int count) => TestModels.Random(count, name.Sum(c => c));

    private static double[] Expected(float[] x)
    {
        var input = Array.ConvertAll(x, v => (double)v);
        var a = Convolve(input, Values("wa", 9), null, 3, 3, 1);
        var b = Convolve(a, Values("wb", 6), null, 3, 2, 1);
        var c = Convolve(b, Values("wc", 6), null, 2, 3, 1);
        var joined = new List<double>();
        for (var n = 0; n < 2; n++)
            joined.AddRange([.. a[(n * 60)..(n * 60 + 60)], .. b[(n * 40)..(n * 40 + 40)], .. c[(n * 60)..(n * 60 + 60)]]);
        var j = Convolve([.. joined], Values("w", 4 * 8 * 9), TestModels.Random(4, 99), 8, 4, 3);
        return Convolve(j, Values("wy", 4), null, 4, 1, 1);
    }

    /// <summary>[2, inputs, 5, 4] with zeros around it.</summary>
    private static double[] Convolve(double[] x, float[] w, float[]? bias, int inputs, int outputs, int kernel)
    {
        var y = new double[2 * outputs * 20];
        for (var i = 0; i < y.Length; i++)
        {
            var (n, o, row, column) = (i / (outputs * 20), i / 20 % outputs, i / 4 % 5, i % 4);
            y[i] = bias?[o] ?? 0;
            for (var k = 0; k < inputs * kernel * kernel; k++)
            {
                var (c, r, s) = (k / (kernel * kernel), row + k / kernel % kernel - kernel / 2, column + k % kernel - kernel / 2);
                if (r is >= 0 and < 5 && s is >= 0 and < 4)
                    y[i] += x[(n * inputs + c) * 20 + r * 4 + s] * w[o * inputs * kernel * kernel + k];
            }
        }
        return y;
    }
}
