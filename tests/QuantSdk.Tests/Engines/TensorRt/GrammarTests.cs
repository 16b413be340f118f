using QuantSdk.TrtExecStandIn;

namespace QuantSdk.Tests.Engines.TensorRt;

/// <summary>The stand-in's parser against the observations that its grammar was written from: what genuine parsers of each version were seen to do.</summary>
[TestClass]
public sealed class GrammarTests
{
    private static readonly string[] s_sdxl =
    [
        "--onnx=unet.onnx", "--shapes=sample:2x4x128x128,timestep:1,encoder_hidden_states:2x77x2048,text_embeds:2x1280,time_ids:2x6", "--fp16", "--int8", "--builderOptimizationLevel=4",
        "--saveEngine=unetxl.trt.plan",
    ];

    private static string[] Families => [.. StandInVersion.All.Select(v => v.Family)];

    [TestMethod]
    public void The_published_command_for_SDXL_is_taken_until_TensorRT_11()
    {
        foreach (var version in StandInVersion.All.Where(v => v.Major < 11))
        {
            var command = CommandLineParser.Parse(s_sdxl, version);
            Assert.IsTrue(command.Has("fp16") && command.Has("int8") && !command.Has("skipInference"), version.Family);
            Assert.HasCount(5, command.Profiles.Single());
            CollectionAssert.AreEqual((int[])[2, 4, 128, 128], command.Profiles[0]["sample"].Min.ToArray());
            CollectionAssert.AreEqual((int[])[2, 77, 2048], command.Profiles[0]["encoder_hidden_states"].Max.ToArray());
            Assert.HasCount(version.AtLeast(10, 14) ? 1 : 0, command.Warnings, version.Family);
        }
        Assert.AreEqual("Unknown option: --fp16 \nUnknown option: --int8 ", Refusal("11.1", s_sdxl));
        CommandLineParser.Parse([.. s_sdxl.Except(["--fp16", "--int8"])], StandInVersion.Of("11.1"));
    }

    [TestMethod]
    public void One_command_line_is_taken_from_9_1_on()
    {
        string[] line =
        [
            "--onnx=M", "--saveEngine=E", "--skipInference", "--stronglyTyped", "--minShapes=x:1x3", "--optShapes=x:2x3", "--maxShapes=x:8x3", "--builderOptimizationLevel=3", "--timingCacheFile=F",
            "--memPoolSize=workspace:4096", "--profilingVerbosity=detailed", "--exportLayerInfo=J",
        ];
        foreach (var family in Families.Where(f => f != "8.6"))
            Assert.AreEqual(4096, CommandLineParser.Parse(line, StandInVersion.Of(family)).Pools["workspace"], family);
        Assert.AreEqual("Unknown option: --stronglyTyped ", Refusal("8.6", line));
    }

    [TestMethod]
    public void A_value_on_a_switch_counts_as_yes()
    {
        Assert.IsTrue(CommandLineParser.Parse(["--onnx=m", "--fp16=false"], StandInVersion.Of("10.13")).Has("fp16"));
        Assert.IsTrue(CommandLineParser.Parse(["--onnx=m", "--verbose=0"], StandInVersion.Of("11.1")).Has("verbose"));
    }

    [TestMethod]
    [DataRow("Unknown option: m.onnx ", "--onnx", "m.onnx")]
    [DataRow("Unknown option: --shapes y:2", "--onnx=m", "--shapes=x:1", "--shapes=y:2")]
    [DataRow("Unknown option: --FP16 ", "--onnx=m", "--FP16")]
    [DataRow("Unknown option: --builder 3", "--onnx=m", "--builder=3")]
    [DataRow("Model missing or format not recognized", "--skipInference")]
    [DataRow("Incompatible load and save engine options selected", "--onnx=m", "--saveEngine=e", "--loadEngine=e")]
    [DataRow("stoi", "--onnx=m", "--builderOptimizationLevel=three")]
    [DataRow("stof", "--onnx=m", "--duration=long")]
    [DataRow("Invalid usage, fp8 and int8 aren't allowed to be enabled together.", "--onnx=m", "--fp8", "--int8")]
    [DataRow("Unknown sparsity mode: some", "--onnx=m", "--sparsity=some")]
    [DataRow("Unknown precision constraints: must", "--onnx=m", "--precisionConstraints=must")]
    [DataRow("Unknown memory pool: gpu", "--onnx=m", "--memPoolSize=gpu:1")]
    [DataRow("Found invalid or missing shape spec at profile index 1.", "--onnx=m", "--profile=0", "--minShapes=x:1", "--profile=2", "--minShapes=x:1")]
    [DataRow("Optimization profile index cannot be the same.", "--onnx=m", "--profile=0", "--minShapes=x:1", "--profile=0", "--minShapes=x:1")]
    [DataRow("Multiple --minShapes/--optShapes/--maxShapes without --profile are not allowed.", "--onnx=m", "--minShapes=x:1", "--minShapes=x:2")]
    public void What_10_13_refuses(string message, params string[] arguments) => Assert.AreEqual(message, Refusal("10.13", arguments));

    [TestMethod]
    public void Numbers_are_read_as_stoi_reads_them()
    {
        Assert.AreEqual("9 and more", CommandLineParser.Parse(["--onnx=m", "--builderOptimizationLevel=9 and more"], StandInVersion.Of("10.13"))["builderOptimizationLevel"]);
        var thrown = Assert.ThrowsExactly<OptionException>(() => CommandLineParser.Parse(["--onnx=m", "--iterations=999999999999"], StandInVersion.Of("10.13")));
        Assert.IsTrue(thrown.IsUncaught);
    }

    [TestMethod]
    [DataRow("x:0:1x3", "x:0")]
    [DataRow("'x:0':1x3", "x:0")]
    [DataRow("x:1x3", "x")]
    public void A_name_ends_at_its_last_colon_or_quote(string spec, string name)
    {
        var shape = CommandLineParser.Parse(["--onnx=m", "--shapes=" + spec], StandInVersion.Of("10.13")).Profiles.Single().Single();
        Assert.AreEqual(name, shape.Key);
        CollectionAssert.AreEqual((int[])[1, 3], shape.Value.Opt.ToArray());
    }

    [TestMethod]
    public void A_comma_in_dimensions_makes_another_tensor() =>
        CollectionAssert.AreEquivalent((string[])["x", "3"], CommandLineParser.Parse(["--onnx=m", "--shapes=x:1,3"], StandInVersion.Of("10.13")).Profiles.Single().Keys.ToArray());

    [TestMethod]
    public void Odd_quotes_and_scalars_before_10_are_refused()
    {
        StringAssert.Contains(Refusal("10.13", ["--onnx=m", "--shapes='x:1"]), "Found invalid number of 's when parsing");
        Assert.HasCount(0, CommandLineParser.Parse(["--onnx=m", "--shapes=x:scalar"], StandInVersion.Of("10.0")).Profiles[0]["x"].Opt);
        foreach (var family in (string[])["8.6", "9.3"])
            Assert.AreEqual("stoi conversion failure: failed to parse minShapes/optShapes/maxShapes. Please double check your input string.", Refusal(family, ["--onnx=m", "--shapes=x:scalar"]));
    }

    [TestMethod]
    public void Missing_lists_are_taken_from_others_and_an_input_that_only_the_middle_one_lacks_is_empty_there()
    {
        var shapes = CommandLineParser.Parse(["--onnx=m", "--minShapes=x:1"], StandInVersion.Of("10.13")).Profiles.Single()["x"];
        Assert.AreEqual("1 1 1", $"{shapes.Min[0]} {shapes.Opt[0]} {shapes.Max[0]}");
        var trap = CommandLineParser.Parse(["--onnx=m", "--minShapes=x:1,y:1", "--optShapes=x:2", "--maxShapes=x:3,y:3"], StandInVersion.Of("10.13")).Profiles.Single();
        Assert.HasCount(0, trap["y"].Opt);
        Assert.HasCount(1, trap["y"].Max);
    }

    [TestMethod]
    [DataRow("8.6", 4), DataRow("9.3", 4), DataRow("10.0", 4294967296), DataRow("10.13", 4096), DataRow("11.1", 4096)]
    public void Suffixes_of_memory_pools_differ_by_version(string family, double mebibytes) =>
        Assert.AreEqual(mebibytes, CommandLineParser.Parse(["--onnx=m", "--memPoolSize=workspace:4G"], StandInVersion.Of(family)).Pools["workspace"]);

    [TestMethod]
    [DataRow("bf16", "8.6", "11.1"), DataRow("int4", "10.0", "11.1"), DataRow("stripWeights", "9.3", ""), DataRow("maxTactics=3", "10.0", ""), DataRow("weightless", "8.6", "11.1"), DataRow("buildOnly", "", "10.0")]
    [DataRow("runtimePlatform=SameAsBuild", "10.0", ""), DataRow("refitFromOnnx=m", "10.13", ""), DataRow("noCudaGraph", "10.16", ""), DataRow("profile=0", "8.6", ""), DataRow("workspace=1", "", "10.0")]
    public void Options_come_and_go(string option, string lastWithout, string firstAfter)
    {
        var families = Families.ToList();
        var (from, to) = (families.IndexOf(lastWithout) + 1, firstAfter.Length == 0 ? families.Count : families.IndexOf(firstAfter));
        for (var i = 0; i < families.Count; i++)
        {
            string[] line = ["--onnx=m", "--" + option, .. option.StartsWith("profile", StringComparison.Ordinal) ? ["--minShapes=x:1"] : (string[])[]];
            Assert.AreEqual(i >= from && i < to, Refusal(families[i], line) is null, $"--{option} in {families[i]}");
        }
    }

    [TestMethod]
    public void Some_values_are_of_some_versions()
    {
        Assert.AreEqual("Unknown memory pool: tacticSharedMem", Refusal("9.3", ["--onnx=m", "--memPoolSize=tacticSharedMem:64"]));
        Assert.IsNull(Refusal("10.0", ["--onnx=m", "--memPoolSize=tacticSharedMem:64"]));
        Assert.AreEqual("Unknown tactic source: CUDNN", Refusal("11.1", ["--onnx=m", "--tacticSources=-CUDNN"]));
        Assert.AreEqual("Invalid TensorFormat fp16:chw", Refusal("11.1", ["--onnx=m", "--inputIOFormats=fp16:chw"]));
        Assert.AreEqual("Invalid IOFormat chw", Refusal("10.13", ["--onnx=m", "--inputIOFormats=chw"]));
        Assert.IsNotNull(Refusal("10.0", ["--onnx=m", "--hardwareCompatibilityLevel=sameComputeCapability"]));
        Assert.IsNull(Refusal("10.13", ["--onnx=m", "--hardwareCompatibilityLevel=SAMECOMPUTECAPABILITY"]));
        Assert.IsNotNull(Refusal("10.13", ["--onnx=m", "--best", "--stronglyTyped"]));
        Assert.HasCount(1, CommandLineParser.Parse(["--onnx=m", "--fp16", "--stronglyTyped"], StandInVersion.Of("10.13")).Warnings);
    }

    private static string? Refusal(string family, string[] arguments)
    {
        try
        {
            CommandLineParser.Parse(arguments, StandInVersion.Of(family));
            return null;
        }
        catch (OptionException e)
        {
            return e.Message;
        }
    }
}
