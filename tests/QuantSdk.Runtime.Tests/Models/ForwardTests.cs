namespace QuantSdk.Runtime.Tests;

[TestClass]
public sealed class ForwardTests
{
    private static ModelFolder s_folder = null!;
    private static QuantizedModel s_model = null!;

    [ClassInitialize]
    public static void Load(TestContext _)
    {
        s_folder = ModelFolder.Unet();
        s_model = QuantizedModel.Load(s_folder.Path);
    }

    [ClassCleanup]
    public static void Unload()
    {
        s_model.Dispose();
        s_folder.Dispose();
    }

    public static Dictionary<string, ModelTensor> GoldenInputs(out ModelTensor output)
    {
        var golden = TestData.Golden("golden_forward.npz");
        output = golden["noise_pred"];
        return new[] { "sample", "timestep", "encoder_hidden_states", "text_embeds", "time_ids" }.ToDictionary(name => name, name => golden[name]);
    }

    [TestMethod]
    public void One_pass_agrees_with_pytorch()
    {
        var outputs = s_model.Run(GoldenInputs(out var expected));
        Assert.AreEqual("float[4,1,32,32]", outputs["noise_pred"].ToString());
        Assert.IsLessThan(1e-4, Tensors.LargestDifference(outputs["noise_pred"].AsSpan<float>(), expected.AsSpan<float>()));
    }

    [TestMethod]
    public void Bound_buffers_are_reused_from_run_to_run()
    {
        var inputs = GoldenInputs(out var expected);
        using var binding = Bound(inputs);
        binding.Run();
        Assert.IsLessThan(1e-4, Tensors.LargestDifference(binding.Output<float>("noise_pred"), expected.AsSpan<float>()));
        var first = binding.Output<float>("noise_pred").ToArray();
        binding.Input<float>("sample").Clear();
        binding.Run();
        Assert.IsGreaterThan(0.1, Tensors.LargestDifference(binding.Output<float>("noise_pred"), first));
        inputs["sample"].AsSpan<float>().CopyTo(binding.Input<float>("sample"));
        binding.Run();
        Assert.IsTrue(binding.Output<float>("noise_pred").SequenceEqual(first));
    }

    [TestMethod]
    public void Later_runs_allocate_nothing()
    {
        using var binding = Bound(GoldenInputs(out _));
        binding.Run();
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 10; i++)
            binding.Run();
        Assert.AreEqual(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [TestMethod]
    public void Outputs_of_unknown_shape_are_found_in_the_first_run()
    {
        using var session = ModelSession.Open(TestData.Path("digits", "prompt_encoder.onnx"), new SessionSettings());
        using var binding = session.Bind(new Dictionary<string, long[]> { ["label"] = [3] });
        binding.Input<long>("label")[2] = 7;
        binding.Run();
        CollectionAssert.AreEqual(new long[] { 3, 4, 64 }, binding.OutputShape("encoder_hidden_states").ToArray());
        var (zero, seven) = Rows(binding);
        CollectionAssert.AreNotEqual(zero, seven);
        for (var run = 0; run < 3; run++)
        {
            binding.Input<long>("label")[0] = run % 2 == 0 ? 7 : 0;
            binding.Run();
            CollectionAssert.AreEqual(run % 2 == 0 ? seven : zero, Rows(binding).First);
        }

        static (float[] First, float[] Last) Rows(ModelBinding binding)
        {
            var values = binding.Output<float>("encoder_hidden_states");
            return (values[..256].ToArray(), values[512..].ToArray());
        }
    }

    [TestMethod]
    [DataRow("count")]
    [DataRow("n")] // a name that promises the length of the input, wrongly
    public void Outputs_whose_shape_changes_are_followed(string outputDimension)
    {
        using var session = ModelSession.Open(TinyOnnx.NonZero(outputDimension), Path.GetTempPath(), "nonzero.onnx", new SessionSettings());
        using var binding = session.Bind(new Dictionary<string, long[]> { ["x"] = [5] });
        foreach (var expected in new long[][] { [1, 3], [0, 1, 4], [0, 1, 2], [], [2], [0, 1, 2, 3, 4] })
        {
            binding.Input<float>("x").Clear();
            foreach (var index in expected)
                binding.Input<float>("x")[(int)index] = 1;
            binding.Run();
            CollectionAssert.AreEqual(new long[] { 1, expected.Length }, binding.OutputShape("y").ToArray());
            CollectionAssert.AreEqual(expected, binding.Output<long>("y").ToArray());
        }
    }

    [TestMethod]
    public void Inputs_that_do_not_fit_are_refused_with_the_names_there_are()
    {
        var inputs = GoldenInputs(out _);
        Refuses("QSDK7020", "time_ids", inputs.Where(input => input.Key != "time_ids"));
        Refuses("QSDK7020", "encoder_hidden_states", inputs.Append(new("images", inputs["sample"])));
        Refuses("QSDK7021", "int64", inputs.Select(input => input.Key == "timestep" ? new(input.Key, ModelTensor.Create([1f], 1)) : input));
        Refuses("QSDK7022", "[?,1,32,32]", inputs.Select(input => input.Key == "sample" ? new(input.Key, TorchRandom.Normal(0, 4, 1, 32)) : input));
        Refuses("QSDK7022", "[?,1,32,32]", inputs.Select(input => input.Key == "sample" ? new(input.Key, TorchRandom.Normal(0, 4, 3, 32, 32)) : input));
        Refuses("QSDK7023", "sample[2,1,32,32]", inputs.Select(input => input.Key == "sample" ? new(input.Key, TorchRandom.Normal(0, 2, 1, 32, 32)) : input));

        static void Refuses(string code, string says, IEnumerable<KeyValuePair<string, ModelTensor>> inputs) =>
            Assert.Contains(says, Tensors.Refuses(code, () => s_model.Run(inputs.ToDictionary())).Message);
    }

    [TestMethod]
    public void Names_and_types_of_a_binding_are_checked()
    {
        using var binding = Bound(GoldenInputs(out _));
        Assert.Contains("'text_embeds'", Tensors.Refuses("QSDK7020", () => binding.Input<float>("prompt")).Message);
        Assert.Contains("'noise_pred'", Tensors.Refuses("QSDK7020", () => binding.Output<float>("image")).Message);
        Tensors.Refuses("QSDK7021", () => binding.Input<float>("timestep"));
        Tensors.Refuses("QSDK7021", () => binding.Input<char>("timestep"));
        Tensors.Refuses("QSDK7023", () => binding.Output<float>("noise_pred")); // nothing has been run
    }

    [TestMethod]
    public void What_has_been_disposed_says_so()
    {
        var inputs = GoldenInputs(out _);
        var model = QuantizedModel.Load(s_folder.Path);
        var shapes = inputs.ToDictionary(input => input.Key, input => input.Value.Shape.ToArray());
        var (first, second) = (model.Bind(shapes), model.Bind(shapes));
        first.Dispose();
        first.Dispose();
        Tensors.Refuses("QSDK7024", first.Run);
        second.Run();
        model.Dispose();
        model.Dispose();
        Tensors.Refuses("QSDK7024", second.Run);
        Tensors.Refuses("QSDK7024", () => model.Run(inputs));
        second.Dispose();
    }

    [TestMethod]
    public void Tensors_are_copies_and_know_their_type()
    {
        var elements = new[] { 1f, 2f, 3f, 4f };
        var tensor = ModelTensor.Create(elements, 2, 2);
        elements[0] = 9;
        Assert.AreEqual(1f, tensor.AsSpan<float>()[0]);
        Assert.AreEqual("float[2,2]", tensor.ToString());
        Assert.AreEqual("bool[]", ModelTensor.Create([true]).ToString());
        Assert.AreEqual("float16[1]", ModelTensor.Create([Half.One], 1).ToString());
        Tensors.Refuses("QSDK7021", () => tensor.AsSpan<int>());
        Tensors.Refuses("QSDK7022", () => ModelTensor.Create(elements, 3));
        Tensors.Refuses("QSDK7022", () => ModelTensor.Create(elements, -2, -2));
        Tensors.Refuses("QSDK7022", () => ModelTensor.Create(elements, long.MaxValue, 4));
        Tensors.Refuses("QSDK7021", () => ModelTensor.Create(['a'], 1));
    }

    private static ModelBinding Bound(Dictionary<string, ModelTensor> inputs)
    {
        var binding = s_model.Bind(inputs.ToDictionary(input => input.Key, input => input.Value.Shape.ToArray()));
        foreach (var (name, tensor) in inputs)
            binding.SetInput(name, tensor);
        return binding;
    }
}
