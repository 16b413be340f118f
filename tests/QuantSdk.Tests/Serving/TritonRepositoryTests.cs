using System.Text.Json.Nodes;
using QuantSdk.Engines.TensorRt;
using QuantSdk.Onnx;
using QuantSdk.Runtime;
using QuantSdk.Serving;
using QuantSdk.Tests.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Serving;

/// <summary>What config.pbtxt says about engines of every kind, read by a parser of its own. Plans are their headers: no server was at hand.</summary>
[TestClass]
public sealed class TritonRepositoryTests
{
    private static readonly TensorRtInfo s_info = new("10.13.3.9", "9.0", "NVIDIA H100", "none", false, "tensorrt/model.plan", null, [Profile(1, 2, 8)]);

    [TestMethod]
    public void A_plan_whose_tensors_all_begin_with_the_batch_is_batched()
    {
        using var folder = new TempFolder();
        var config = One(Engine(folder, "a", s_info), folder, new TritonOptions { QueueDelay = 500, Instances = 2, Gpus = [0, 2] });
        Equal("""{"name":"unet","platform":"tensorrt_plan","max_batch_size":8}""", Only(config, "name", "platform", "max_batch_size"));
        Equal("""[{"name":"sample","data_type":"TYPE_FP32","dims":[4,8,8]},{"name":"timestep","data_type":"TYPE_INT64","dims":[1],"reshape":{"shape":[]}}]""", config["input"]!);
        Equal("""[{"name":"y","data_type":"TYPE_FP16","dims":[4,8,8]}]""", config["output"]!);
        Equal("""[{"count":2,"kind":"KIND_GPU","gpus":[0,2]}]""", config["instance_group"]!);
        Equal("""{"max_queue_delay_microseconds":500}""", config["dynamic_batching"]!);
        Equal("""{"latest":{"num_versions":1}}""", config["version_policy"]!);
        Equal("""{"string_value":"10.13.3"}""", config["parameters"]!["quantsdk.trt_version"]!);
        Equal("""{"string_value":"sample"}""", config["parameters"]!["quantsdk.sample"]!);
        Assert.IsNull(config["optimization"]);
        CollectionAssert.AreEqual(new byte[] { 10, 13, 3, 9 }, File.ReadAllBytes(folder["repository/unet/1/model.plan"])[24..28]);
    }

    [TestMethod]
    [DataRow("[1]"), DataRow("other name"), DataRow("scalar"), DataRow("no name")]
    public void A_tensor_that_does_not_begin_with_the_batch_makes_dimensions_whole(string timestep)
    {
        using var folder = new TempFolder();
        var config = One(Engine(folder, "a", s_info, timestep), folder);
        Assert.AreEqual(0, config["max_batch_size"]!.GetValue<long>());
        Assert.IsNull(config["dynamic_batching"]);
        Equal("[-1,4,8,8]", config["input"]![0]!["dims"]!);
        Equal(timestep is "other name" or "no name" ? """{"name":"timestep","data_type":"TYPE_INT64","dims":[-1]}""" : timestep == "[1]" ? """{"name":"timestep","data_type":"TYPE_INT64","dims":[1]}"""
            : """{"name":"timestep","data_type":"TYPE_INT64","dims":[1],"reshape":{"shape":[]}}""", config["input"]![1]!);
        Assert.Contains("# Requests are not joined: ", File.ReadAllText(folder["repository/unet/config.pbtxt"]));
        // Asking for it does not help.
        Assert.AreEqual("QSDK4077", Refusal(() => TritonRepository.Write([folder["a"]], folder["repository"], new TritonOptions { MaxBatchSize = 4 })).Code);
    }

    [TestMethod]
    [DataRow(1, 8, null, 8), DataRow(1, 8, 4, 4), DataRow(1, 8, 0, 0), DataRow(2, 8, null, 0)]
    public void The_batch_stays_within_the_plan(int min, int max, int? wanted, int batch)
    {
        using var folder = new TempFolder();
        var engine = Engine(folder, "a", s_info with { Profiles = [Profile(min, 4, max)] });
        Assert.AreEqual(batch, One(engine, folder, new TritonOptions { MaxBatchSize = wanted })["max_batch_size"]!.GetValue<long>());
        Assert.AreEqual("QSDK4077", Refusal(() => TritonRepository.Write([engine], folder["repository"], new TritonOptions { MaxBatchSize = max + 1 })).Code);
    }

    [TestMethod]
    public void Profiles_are_given_to_each_instance_and_waited_for()
    {
        using var folder = new TempFolder();
        var config = One(Engine(folder, "a", s_info with { CudaGraph = true, Profiles = [Profile(1, 1, 1), Profile(2, 8, 16)] }), folder);
        Equal("""[{"count":1,"kind":"KIND_GPU","profile":["0","1"]}]""", config["instance_group"]!);
        Equal("""{"preferred_batch_size":[1,8],"max_queue_delay_microseconds":0}""", config["dynamic_batching"]!);
        Equal("""{"cuda":{"graphs":true}}""", config["optimization"]!);
        Assert.AreEqual(16, config["max_batch_size"]!.GetValue<long>());
    }

    [TestMethod]
    public void Plans_for_several_gpus_are_one_model()
    {
        using var folder = new TempFolder();
        string[] engines = [Engine(folder, "h100", s_info), Engine(folder, "l4", s_info with { ComputeCapability = "8.9", Gpu = "NVIDIA L4" })];
        TritonRepository.Write(engines, folder["repository"], new TritonOptions());
        var config = Read(folder, "unet");
        Equal("""{"8.9":"model_sm89.plan","9.0":"model_sm90.plan"}""", config["cc_model_filenames"]!);
        Assert.AreEqual("model_sm89.plan", config["default_model_filename"]!.GetValue<string>());
        CollectionAssert.AreEquivalent(new[] { "model_sm89.plan", "model_sm90.plan" }, Directory.GetFiles(folder["repository/unet/1"]).Select(Path.GetFileName).ToArray());
        CollectionAssert.AreEqual(File.ReadAllBytes(folder["l4/tensorrt/model.plan"]), File.ReadAllBytes(folder["repository/unet/1/model_sm89.plan"]));
        foreach (var other in (TensorRtInfo[])[s_info, s_info with { ComputeCapability = "8.6", Version = "10.9.0.34" }, s_info with { ComputeCapability = "8.6", Profiles = [Profile(1, 2, 4)] }])
            Assert.AreEqual("QSDK4073", Refusal(() => TritonRepository.Write([engines[0], Engine(folder, Guid.NewGuid().ToString("N"), other)], folder["repository"], new TritonOptions())).Code);
    }

    [TestMethod]
    public void A_cached_plan_is_two_models_that_know_of_each_other()
    {
        using var folder = new TempFolder();
        TritonRepository.Write([Engine(folder, "a", s_info with { LivePlan = "tensorrt/live.plan" })], folder["repository"], new TritonOptions());
        var (full, live) = (Read(folder, "unet"), Read(folder, "unet_live"));
        CollectionAssert.AreEqual(new[] { "y", "deep/feature" }, Names(full, "output"));
        CollectionAssert.AreEqual(new[] { "sample", "deep/feature" }, Names(live, "input"), "the live part does not read the timestep");
        CollectionAssert.AreEqual(new[] { "y" }, Names(live, "output"));
        Equal("""{"string_value":"unet_live"}""", full["parameters"]!["quantsdk.live"]!);
        Equal("""{"string_value":"unet"}""", live["parameters"]!["quantsdk.full"]!);
        Equal("""{"string_value":"[\"deep/feature\"]"}""", full["parameters"]!["quantsdk.cached"]!);
        Assert.AreEqual(8, live["max_batch_size"]!.GetValue<long>());
        CollectionAssert.AreEqual(File.ReadAllBytes(folder["a/tensorrt/live.plan"]), File.ReadAllBytes(folder["repository/unet_live/1/model.plan"]));
        Assert.AreEqual("QSDK4075", Refusal(() => TritonRepository.Write([folder["a"], Engine(folder, "b", s_info, name: "unet_live")], folder["repository"], new TritonOptions())).Code);

        static string[] Names(JsonObject config, string kind) => [.. config[kind]!.AsArray().Select(t => t!["name"]!.GetValue<string>())];
    }

    [TestMethod]
    public void Versions_are_added_and_replaced_and_nothing_else_is_touched()
    {
        using var folder = new TempFolder();
        var engine = Engine(folder, "a", s_info);
        foreach (var version in (int[])[1, 3, 3])
            TritonRepository.Write([engine], folder["repository"], new TritonOptions { ModelVersion = version });
        File.WriteAllText(folder["repository/unet/3/left.over"], "");
        Directory.CreateDirectory(folder["repository/other"]);
        TritonRepository.Write([engine], folder["repository"], new TritonOptions { ModelVersion = 3 });
        CollectionAssert.AreEquivalent(new[] { "config.pbtxt", "1", "3" }, Directory.GetFileSystemEntries(folder["repository/unet"]).Select(Path.GetFileName).ToArray());
        CollectionAssert.AreEqual(new[] { "model.plan" }, Directory.GetFileSystemEntries(folder["repository/unet/3"]).Select(Path.GetFileName).ToArray());
        Assert.IsTrue(Directory.Exists(folder["repository/other"]));
    }

    [TestMethod]
    public void What_a_server_cannot_do_is_refused_before_anything_is_written()
    {
        using var folder = new TempFolder();
        void Refused(string code, string engine, TritonOptions? options = null)
        {
            Assert.AreEqual(code, Refusal(() => TritonRepository.Write([Engine(folder, "good", s_info, name: "good"), engine], folder["repository"], options ?? new())).Code);
            Assert.IsFalse(Directory.Exists(folder["repository"]));
        }
        Refused("QSDK4074", Engine(folder, "stripped", s_info with { Stripped = true }));
        Refused("QSDK4076", folder.Path);
        var engine = Engine(folder, "damaged", s_info);
        File.WriteAllBytes(folder["damaged/tensorrt/model.plan"], [.. File.ReadAllBytes(folder["damaged/tensorrt/model.plan"])[..^1], 1]);
        Refused("QSDK7007", engine);
        Refused("QSDK4071", Engine(folder, "no cpu", s_info), new TritonOptions { Variant = "cpu" });
        engine = Engine(folder, "hoisted", s_info);
        var manifest = ManifestFile.Read(Path.Combine(engine, "manifest.json"));
        ManifestFile.Write(Path.Combine(engine, "manifest.json"), manifest with { Variants = [manifest.Variants[0] with { Heads = [new("prompt", "tensorrt/model.context.onnx", null, [new("h", "float", [1])])] }] });
        Refused("QSDK4072", engine);
    }

    [TestMethod]
    [DataRow("name: \"a\" platform"), DataRow("nam: \"a\""), DataRow("max_batch_size: eight"), DataRow("name: \"a\" name: \"b\""), DataRow("input { data_type: TYPE_FLOAT }"), DataRow("input { name: \"x\"")]
    public void The_parser_refuses_what_is_no_configuration(string text) => Assert.ThrowsExactly<FormatException>(() => TextProtoParser.Parse(text));

    [TestMethod]
    public void Texts_survive_the_format()
    {
        var config = new TritonConfig { Name = "a\"b\\c\nü", Platform = TritonConfig.OnnxRuntime, Inputs = [], Outputs = [], Comments = ["nothing"] };
        Assert.AreEqual(config.Name, TextProtoParser.Parse(TritonConfigText.Write(config))["name"]!.GetValue<string>());
    }

    private static TensorRtProfile Profile(long min, long opt, long max) => new([new ShapeRange("sample", [min, 4, 8, 8], [opt, 4, 8, 8], [max, 4, 8, 8])]);

    private static JsonObject One(string engine, TempFolder folder, TritonOptions? options = null)
    {
        TritonRepository.Write([engine], folder["repository"], options ?? new TritonOptions());
        return Read(folder, "unet");
    }

    private static JsonObject Read(TempFolder folder, string model) => TextProtoParser.Parse(File.ReadAllText(folder[$"repository/{model}/config.pbtxt"]));

    private static JsonObject Only(JsonObject config, params string[] fields) => new([.. fields.Select(f => KeyValuePair.Create(f, config[f]?.DeepClone()))]);

    private static void Equal(string expected, JsonNode actual) => Assert.IsTrue(JsonNode.DeepEquals(JsonNode.Parse(expected), actual), $"expected {expected}, got {actual.ToJsonString()}");

    private static QuantSdkException Refusal(Action action) => Assert.ThrowsExactly<QuantSdkException>(action);

    /// <summary>An engine folder with one variant, for TensorRT, as a build leaves it.</summary>
    /// <param name="timestep">batch, [1], scalar, or a first dimension with another name or none.</param>
    private static string Engine(TempFolder folder, string directory, TensorRtInfo info, string timestep = "batch", string name = "unet")
    {
        Directory.CreateDirectory(folder[$"{directory}/tensorrt"]);
        var input = timestep switch { "[1]" => TestModels.Input("timestep", DataType.Int64, 1), "scalar" => TestModels.Input("timestep", DataType.Int64), _ => TestModels.Input("timestep", DataType.Int64, -1) };
        if (timestep == "other name")
            input.Type.TensorType.Shape.Dim[0].DimParam = "steps";
        if (timestep == "no name")
            input.Type.TensorType.Shape.Dim[0] = new TensorShapeProto.Types.Dimension();
        var (sample, deep, y) = (TestModels.Input("sample", DataType.Float, -1, 4, 8, 8), TestModels.Input("deep/feature", DataType.Float, -1, 16, 8, 8), TestModels.Input("y", DataType.Float16, -1, 4, 8, 8));
        var files = new List<string> { "tensorrt/model.context.onnx", info.Plan };
        Wrapper("model.context.onnx", [sample, input], info.LivePlan is null ? [y] : [y, deep], info.Plan);
        if (info.LivePlan is { } live)
        {
            Wrapper("live.context.onnx", [sample, deep], [y], live);
            files.AddRange(["tensorrt/live.context.onnx", live]);
        }
        File.Delete(folder[$"{directory}/tensorrt/unused.data"]);
        var manifest = new Manifest
        {
            Name = name,
            ToolVersion = "1.0.0",
            Precision = "int8",
            RecipeHash = "00",
            Inputs = [Info(sample), Info(input)],
            Outputs = [Info(y)],
            Roles = new("sample", "timestep", 0.001f),
            Variants =
            [
                new("tensorrt", "tensorrt/model.context.onnx", null, [], [.. files.Select(f => new EngineFile(f, new FileInfo(folder[$"{directory}/{f}"]).Length, TreeHash.OfFile(folder[$"{directory}/{f}"])))],
                    info.LivePlan is null ? null : new("tensorrt/live.context.onnx", null, [Info(deep)]), TensorRt: info),
            ],
        };
        ManifestFile.Write(folder[$"{directory}/manifest.json"], manifest);
        return folder[directory];

        static TensorInfo Info(ValueInfoProto value) => new(value.Name, ElementType.Name(value.Type.TensorType.ElemType), [.. value.Type.TensorType.Shape.Dim.Select(d => d.HasDimValue ? d.DimValue : -1)]);

        void Wrapper(string file, ValueInfoProto[] inputs, ValueInfoProto[] outputs, string plan)
        {
            var graph = new GraphProto();
            graph.Input.Add(inputs);
            graph.Output.Add(outputs);
            OnnxFile.Save(ContextModel.Create(graph, info, Path.GetFileName(plan)), folder[$"{directory}/tensorrt/{file}"], folder[$"{directory}/tensorrt/unused.data"]);
            // Plans of different GPUs are different files.
            byte[] version = [.. info.Version.Split('.').Select(byte.Parse)];
            File.WriteAllBytes(folder[$"{directory}/{plan}"], [0x66, 0x74, 0x72, 0x74, .. new byte[20], .. version, .. System.Text.Encoding.UTF8.GetBytes(info.ComputeCapability + plan)]);
        }
    }
}
