using System.Text;
using QuantSdk.Engines.TensorRt;
using QuantSdk.Onnx;
using QuantSdk.Recipes;
using QuantSdk.Runtime;
using QuantSdk.TrtExecStandIn;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Engines.TensorRt;

[TestClass]
public sealed class PlanCommandTests
{
    private const string Write = "QUANTSDK_WRITE_COMMANDS";

    /// <summary>What is asked for, and the types of 8.6, which has weakly typed networks alone.</summary>
    private static readonly Dictionary<string, (Func<GraphProto> Graph, TensorRtOptions Options, Dictionary<string, long[]> Observed, bool Guided)> s_models = new()
    {
        ["digits_unet"] = (() => Quantised(OnnxFile.Load(Repository.Digits("unet.onnx")).Graph), new(), [], true),
        ["mmdit"] = (() => Quantised(OnnxFile.Load(Repository.Mmdit("transformer.onnx")).Graph), new() { LayerInfo = true, MeasureEngine = true }, [], true),
        ["sdxl"] = (() => TrtModels.Sdxl().Graph, new() { BuilderOptimizationLevel = 4, Workspace = 8192 }, new()
        {
            ["sample"] = [1, 4, 128, 128], ["timestep"] = [1], ["encoder_hidden_states"] = [1, 77, 2048], ["text_embeds"] = [1, 1280], ["time_ids"] = [1, 6],
        }, true),
        ["sdxl_published"] = (() => TrtModels.Sdxl().Graph, new() { BuilderOptimizationLevel = 4, StronglyTyped = false, MinShapes = [SdxlShapes], OptShapes = [SdxlShapes], MaxShapes = [SdxlShapes] }, [], true),
        ["llm"] = (() => TrtModels.Llm().Graph, new()
        {
            MinShapes = [Prompt(1, 1), Step(1, 1)], OptShapes = [Prompt(1, 512), Step(4, 512)], MaxShapes = [Prompt(4, 2048), Step(8, 2048)], StripWeights = true, Refit = true, HardwareCompatibility = "ampere+",
            VersionCompatible = true, GpuDevice = 1, TrtExecArguments = ["--maxAuxStreams=0"],
        }, [], false),
    };

    private const string SdxlShapes = "sample:2x4x128x128,timestep:1,encoder_hidden_states:2x77x2048,text_embeds:2x1280,time_ids:2x6";

    public static IEnumerable<object[]> Models => s_models.Keys.Select(m => (object[])[m]);

    /// <summary>
    /// The whole command for each version, one argument a line, or the error. With QUANTSDK_WRITE_COMMANDS set the files are written: look at the difference then.
    /// </summary>
    [TestMethod]
    [DynamicData(nameof(Models))]
    public void The_command_of_each_version(string name)
    {
        var (graph, options, observed, guided) = s_models[name];
        var request = Request(graph()) with { Observed = observed, Guided = guided };
        var text = new StringBuilder();
        foreach (var version in StandInVersion.All)
        {
            var asked = version.AtLeast(9, 1) ? options : options with { StronglyTyped = false };
            text.Append($"# TensorRT {version.Release}\n");
            try
            {
                var command = PlanCommand.Of(Version(version), asked, request, "/obj/model.plan.tmp", "/store/timing", "/obj/unet.layers.json");
                foreach (var line in command.Build)
                    text.Append(line).Append('\n');
                if (command.Measure is not null)
                    text.Append("# measured by\n").AppendJoin('\n', command.Measure).Append('\n');
                CommandLineParser.Parse(command.Build, version);
                if (command.Measure is not null)
                    CommandLineParser.Parse(command.Measure, version);
            }
            catch (QuantSdkException e)
            {
                text.Append($"{e.Code}: {e.Message}\n");
            }
            text.Append('\n');
        }
        var file = Repository.Data(Path.Combine("trtexec", name + ".txt"));
        if (Environment.GetEnvironmentVariable(Write) is { Length: > 0 })
            File.WriteAllText(file, text.ToString());
        Assert.AreEqual(File.ReadAllText(file), text.ToString());
    }

    /// <summary>Whatever is asked for: the grammar of the version takes the command, or what it would refuse is our error.</summary>
    [TestMethod]
    public void Every_combination_in_every_version()
    {
        using var folder = new TempFolder();
        File.WriteAllText(folder["plugin.so"], "");
        var graphs = ((DataType[])[DataType.Int8, DataType.Float8E4M3Fn, DataType.Int4, DataType.Float4E2M1]).ToDictionary(t => t, t => TrtModels.Small(t).Graph);
        var (asked, refused) = (0, 0);
        foreach (var version in StandInVersion.All)
        foreach (var typed in (bool[])[true, false])
        foreach (var type in graphs.Keys)
        foreach (var precision in (string[])["fp32", "fp16", "bf16"])
        foreach (var strip in (bool[])[false, true])
        foreach (var hardware in (string[])["none", "ampere+", "sameComputeCapability"])
        foreach (var compatible in (bool[])[false, true])
        foreach (var profiles in (int[])[0, 1, 2])
        {
            // What does not depend on the version goes round in turns.
            var i = asked++;
            string[] shapes(int batch) => [.. Enumerable.Range(1, profiles).Select(p => $"sample:{batch * p}x4x64x64")];
            var options = new TensorRtOptions
            {
                StronglyTyped = typed, StripWeights = strip, HardwareCompatibility = hardware, VersionCompatible = compatible, MinShapes = shapes(1), OptShapes = shapes(2), MaxShapes = shapes(4),
                BuilderOptimizationLevel = i % 7 == 6 ? null : i % 7, Workspace = i % 3 == 0 ? 1 << (i % 13) : null, Refit = i % 2 == 0, Sparsity = ((string[])["disable", "enable", "force"])[i / 2 % 3],
                ProfilingVerbosity = ((string[])["layer_names_only", "detailed", "none"])[i / 3 % 3], LayerInfo = i % 5 < 2, Plugins = i % 4 == 0 ? ["plugin.so"] : [], GpuDevice = i % 3, MeasureEngine = i % 11 < 5, CudaGraph = i % 2 == 1,
            };
            var request = Request(graphs[type]) with { HighPrecision = precision, ProjectDirectory = folder.Path };
            List<string> naive = ["--onnx=m", $"--hardwareCompatibilityLevel={hardware}"];
            if (typed)
                naive.Add("--stronglyTyped");
            else
                naive.AddRange(((string[])[precision == "fp32" ? "" : precision, Flag(type)]).Where(f => f.Length > 0).Select(f => "--" + f));
            if (strip)
                naive.Add(version.AtLeast(10, 0) ? "--stripWeights" : "--weightless");
            for (var p = 0; p < profiles && profiles > 1; p++)
                naive.AddRange([$"--profile={p}", "--minShapes=sample:1x4x64x64"]);
            var refusal = Refusal(naive, version);
            try
            {
                var command = PlanCommand.Of(Version(version), options, request, "/obj/model.plan.tmp", i % 2 == 0 ? "/t" : null, "/l");
                Assert.IsNull(refusal, $"{version}: {string.Join(' ', command.Build)}");
                Assert.IsTrue(type != DataType.Int4 || version.Major >= 10, "int4 before TensorRT 10");
                Assert.IsNull(Refusal(command.Build, version), $"{version}: {string.Join(' ', command.Build)}");
                var parsed = CommandLineParser.Parse(command.Build, version);
                Assert.AreEqual((typed || version.Major >= 11, options.Workspace ?? 0.0), (parsed.StronglyTyped, parsed.Pools.GetValueOrDefault("workspace")));
                Assert.HasCount(Math.Max(1, profiles), parsed.Profiles);
                foreach (var (profile, range) in parsed.Profiles.Zip(command.Profiles.Select(p => p.Inputs.Single())))
                    Assert.AreEqual($"{string.Join('x', range.Min)} {string.Join('x', range.Opt)} {string.Join('x', range.Max)}", $"{string.Join('x', profile["sample"].Min)} {string.Join('x', profile["sample"].Opt)} {string.Join('x', profile["sample"].Max)}");
                if (command.Measure is not null)
                    Assert.IsNull(Refusal(command.Measure, version), $"{version}: {string.Join(' ', command.Measure)}");
            }
            catch (QuantSdkException e) when (e.Code == "QSDK4026")
            {
                refused++;
                Assert.IsTrue(refusal is not null || (type == DataType.Int4 && version.Major < 10) || (type == DataType.Float4E2M1 && !version.AtLeast(10, 8)) || (!typed && type == DataType.Float4E2M1) || (!typed && version.Major >= 11), $"{version} takes {string.Join(' ', naive)}, and we say: {e.Message}");
            }
        }
        Assert.IsGreaterThan(asked / 5, refused);
        Assert.IsLessThan(asked * 4 / 5, refused);
    }

    /// <summary>Two tables of the same options, written apart.</summary>
    [TestMethod]
    public void Our_table_of_options_has_what_each_version_has()
    {
        foreach (var version in StandInVersion.All)
            Assert.AreEqual(string.Join(' ', CommandLineParser.Options(version).Order(StringComparer.Ordinal)), string.Join(' ', TrtExecOptions.All.Where(o => o.IsIn(Version(version))).Select(o => o.Name).Order(StringComparer.Ordinal)), version.Family);
    }

    /// <summary>The rows of docs/tensorrt.md: each wish is met from the version on that is written there, and until that one.</summary>
    [TestMethod]
    [DataRow("types as the graph says, the default | 9.1 on", "9.0", "9.1", "11.1", null)]
    [DataRow("| until 10.16, deprecated from 10.14 on", null, "8.6", "10.16", "11.0")]
    [DataRow("`HighPrecision=bf16` with `StronglyTyped=false` | 9.1 to 10.16", "9.0", "9.1", "10.16", "11.0")]
    [DataRow("| int4 | 10.0 on;", "9.3", "10.0", "11.1", null)]
    [DataRow("with `StronglyTyped=false` 10.1 to 10.16", "10.0", "10.1", "10.16", "11.0")]
    [DataRow("| 4-bit floats | 10.8 on", "10.7", "10.8", "11.1", null)]
    [DataRow("| several profiles | 9.1 on", "9.0", "9.1", "11.1", null)]
    [DataRow("| `StripWeights` | 9.3 on", "9.2", "9.3", "11.1", null)]
    [DataRow("| `HardwareCompatibility=sameComputeCapability` | 10.9 on", "10.8", "10.9", "11.1", null)]
    public void The_page_says_what_each_version_can(string row, string? before, string first, string last, string? after)
    {
        StringAssert.Contains(File.ReadAllText(Path.Combine(Repository.Root, "docs", "tensorrt.md")), row);
        var weak = row.Contains("StronglyTyped=false", StringComparison.Ordinal) || row.StartsWith("| until", StringComparison.Ordinal);
        var type = row.Contains("int4", StringComparison.Ordinal) || row.StartsWith("with", StringComparison.Ordinal) ? DataType.Int4 : row.Contains("4-bit floats", StringComparison.Ordinal) ? DataType.Float4E2M1 : DataType.Int8;
        string[] shapes = row.Contains("profiles", StringComparison.Ordinal) ? ["sample:1x4x64x64", "sample:2x4x64x64"] : [];
        foreach (var (family, can) in ((string?, bool)[])[(before, false), (first, true), (last, true), (after, false)])
        {
            if (family is null)
                continue;
            var version = TensorRtVersion.Parse(family)!.Value;
            var options = new TensorRtOptions
            {
                // 8.6 to 9.0 have weakly typed networks alone: what is asked for beside that is asked for in those.
                StronglyTyped = !weak && (version >= new TensorRtVersion(9, 1, 0) || row.StartsWith("types", StringComparison.Ordinal)), MinShapes = shapes, OptShapes = shapes, MaxShapes = shapes,
                StripWeights = row.Contains("StripWeights", StringComparison.Ordinal), HardwareCompatibility = row.Contains("sameCompute", StringComparison.Ordinal) ? "sameComputeCapability" : "none",
            };
            var request = Request(TrtModels.Small(type).Graph) with { HighPrecision = row.Contains("bf16", StringComparison.Ordinal) ? "bf16" : "fp16" };
            if (can)
                PlanCommand.Of(version, options, request, "/p", null, null);
            else
                Assert.AreEqual("QSDK4026", Assert.ThrowsExactly<QuantSdkException>(() => PlanCommand.Of(version, options, request, "/p", null, null)).Code, family);
        }
    }

    [TestMethod]
    [DataRow("--fp16=false", "QSDK4030"), DataRow("--noTF32=false", "QSDK4030"), DataRow("--avgTiming", "QSDK4030"), DataRow("--avgTiming=8x", "QSDK4030"), DataRow("--avgTiming 8", "QSDK4030"), DataRow("-v", "QSDK4030"), DataRow("verbose", "QSDK4030")]
    [DataRow("--onnx=other.onnx", "QSDK4030"), DataRow("--saveEngine=/etc/passwd", "QSDK4030"), DataRow("--exportProfile=x", "QSDK4030"), DataRow("--loadInputs=a:b", "QSDK4030"), DataRow("--staticPlugins=evil.so", "QSDK4030"), DataRow("--tempdir=/tmp", "QSDK4030")]
    [DataRow("--calib=c", "QSDK4030"), DataRow("--minShapes=x:1", "QSDK4030"), DataRow("--inputIOFormats=fp16:chw", "QSDK4030"), DataRow("--stripWeights", "QSDK4030"), DataRow("--maxTactic=3", "QSDK4030"), DataRow("--tilingOptimizationLevel=4", "QSDK4030")]
    [DataRow("--iterations=20", "QSDK4030"), DataRow("--verbose\n--saveEngine=x", "QSDK4030"), DataRow("--layerPrecisions=a:fp16", "QSDK4030"), DataRow("--weightStreamingBudget=1G", "QSDK4030"), DataRow("--cpuOnly", "QSDK4030"), DataRow("--noCudaGraph", "QSDK4026"), DataRow("--enablePluginOverride", "QSDK4026"), DataRow("--heuristic", "QSDK4026")]
    [DataRow("--verbose", null), DataRow("--maxTactics=16", null), DataRow("--tacticSources=-CUDNN,+CUBLAS", null), DataRow("--l2LimitForTiling=8000000000", null), DataRow("--noTF32", null), DataRow("--allowWeightStreaming", null)]
    public void Further_arguments(string argument, string? code)
    {
        var options = new TensorRtOptions { TrtExecArguments = [argument] };
        if (code is null)
        {
            Assert.AreEqual(argument, Command(options).Build[^1]);
            return;
        }
        var thrown = Assert.ThrowsExactly<QuantSdkException>(() => Command(options));
        Assert.AreEqual(code, thrown.Code, thrown.Message);
        Assert.IsFalse(thrown.Message.Contains('\n'), "an MSBuild error is one line");
    }

    [TestMethod]
    public void Arguments_that_do_not_go_together()
    {
        Assert.AreEqual("QSDK4030", Code(new() { TrtExecArguments = ["--noTF32", "--noTF32"] }));
        Assert.AreEqual("QSDK4030", Code(new() { TrtExecArguments = ["--pi"], VersionCompatible = true }));
        Assert.AreEqual("QSDK4030", Code(new() { TrtExecArguments = ["--allowWeightStreaming"], StronglyTyped = false }));
        var command = Command(new() { TrtExecArguments = ["--duration=1", "--useCudaGraph", "--allowWeightStreaming", "--weightStreamingBudget=1G"], MeasureEngine = true });
        Assert.IsFalse(command.Build.Contains("--duration=1"));
        Assert.AreEqual(1, command.Measure!.Count(a => a == "--useCudaGraph"));
        CommandLineParser.Parse(command.Measure!, StandInVersion.Of("10.13"));
    }

    [TestMethod]
    public void A_plugin_is_relative_to_the_project_and_must_be_there()
    {
        using var folder = new TempFolder();
        Assert.AreEqual("QSDK4031", Code(new() { Plugins = ["a plugin.so"] }));
        File.WriteAllText(folder["a plugin.so"], "");
        var command = PlanCommand.Of(new(10, 13, 3), new() { Plugins = ["a plugin.so"] }, Request(TrtModels.Small().Graph) with { ProjectDirectory = folder.Path }, "/p", null, null);
        CollectionAssert.Contains(command.Build.ToArray(), $"--staticPlugins={folder["a plugin.so"]}");
    }

    [TestMethod]
    public void A_command_for_a_person() =>
        Assert.AreEqual(@"'/a b/trtexec' --onnx=/m.onnx '--minShapes='\''x:0'\'':1x3' '--preview=a;b'", CommandText.Of("/a b/trtexec", ["--onnx=/m.onnx", "--minShapes='x:0':1x3", "--preview=a;b"]));

    private static string Prompt(int batch, int sequence) =>
        $"input_ids:{batch}x{sequence},attention_mask:{batch}x{sequence},position_ids:{batch}x{sequence},past_key_values.*:{batch}x8x0x128";

    private static string Step(int batch, int past) => $"input_ids:{batch}x1,attention_mask:{batch}x{past + 1},position_ids:{batch}x1,past_key_values.*:{batch}x8x{past}x128";

    /// <summary>A model's inputs, and an int8 pair as a lowering writes it.</summary>
    private static GraphProto Quantised(GraphProto model)
    {
        var graph = TrtModels.Small().Graph;
        graph.Input.Clear();
        graph.Input.Add(model.Input);
        graph.Node[0].Input[0] = graph.Input[0].Name;
        return graph;
    }

    private static string Flag(DataType type) => type switch { DataType.Int8 => "int8", DataType.Int4 => "int4", DataType.Float8E4M3Fn => "fp8", _ => "" };

    private static PlanRequest Request(GraphProto graph) => new() { Name = "unet", Model = "/obj/model.onnx", Graph = graph, Plan = "/obj/model.plan", HighPrecision = "fp16" };

    private static PlanCommand Command(TensorRtOptions options) => PlanCommand.Of(new(10, 13, 3), options, Request(TrtModels.Small().Graph), "/obj/plan", null, null);

    private static string Code(TensorRtOptions options) => Assert.ThrowsExactly<QuantSdkException>(() => Command(options)).Code;

    private static TensorRtVersion Version(StandInVersion version) => new(version.Major, version.Minor, version.Patch, version.Build);

    private static string? Refusal(IReadOnlyList<string> arguments, StandInVersion version)
    {
        try
        {
            CommandLineParser.Parse(arguments, version);
            return null;
        }
        catch (OptionException e)
        {
            return e.Message;
        }
    }
}
