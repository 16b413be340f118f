using QuantSdk.Onnx;
using QuantSdk.Runtime;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Onnx;

[TestClass]
public sealed class OnnxFileTests
{
    [TestMethod]
    public void External_data_survives_a_round_trip_and_the_graph_file_is_small()
    {
        using var folder = new TempFolder();
        var weights = TestModels.Random(64 * 1024, 1);
        var model = TestModels.Create([TestModels.Input("x", DataType.Float, -1, 64)], ["y"], [Tensors.Create("w", weights, 64, 1024)], Nodes.Create("MatMul", "m", ["x", "w"], ["y"]));
        var loaded = TestModels.Reload(model, folder);
        CollectionAssert.AreEqual(weights, loaded.Graph.Initializer[0].ToFloats());
        Assert.IsLessThan(1000L, new FileInfo(folder["model.onnx"]).Length);
        Assert.AreEqual(folder["model.onnx.data"], loaded.ExternalFiles.Single());
    }

    [TestMethod]
    public void Unknown_fields_survive_a_round_trip()
    {
        // Field 1000 is no field of ModelProto: a later version of the format may have it.
        byte[] unknown = [0xC0, 0x3E, 0x2A];
        var model = TestModels.Create([TestModels.Input("x", DataType.Float, 1)], ["y"], [], Nodes.Create("Relu", "r", ["x"], ["y"]));
        using var folder = new TempFolder();
        File.WriteAllBytes(folder["m.onnx"], [.. Google.Protobuf.MessageExtensions.ToByteArray(model), .. unknown]);
        var loaded = OnnxFile.Load(folder["m.onnx"]);
        OnnxFile.Save(loaded.Proto, folder["n.onnx"], folder["n.data"]);
        CollectionAssert.IsSubsetOf(unknown, File.ReadAllBytes(folder["n.onnx"]));
        StringAssert.EndsWith(Convert.ToHexString(File.ReadAllBytes(folder["n.onnx"])), Convert.ToHexString(unknown));
    }

    [TestMethod]
    [DataRow("../secret.bin")]
    [DataRow("/etc/hostname")]
    [DataRow("a/../../secret.bin")]
    [DataRow("missing.bin")]
    public void External_data_outside_the_folder_is_refused(string location)
    {
        using var folder = new TempFolder();
        Directory.CreateDirectory(folder["inner/a"]);
        File.WriteAllBytes(folder["secret.bin"], new byte[16]);
        var tensor = new TensorProto { Name = "w", DataType = (int)DataType.Float, DataLocation = DataLocation.External };
        tensor.Dims.Add(4);
        tensor.ExternalData.Add(new StringStringEntryProto { Key = "location", Value = location });
        var model = TestModels.Create([TestModels.Input("x", DataType.Float, 4)], ["y"], [tensor], Nodes.Create("Add", "a", ["x", "w"], ["y"]));
        File.WriteAllBytes(folder["inner/m.onnx"], Google.Protobuf.MessageExtensions.ToByteArray(model));
        Assert.AreEqual("QSDK1003", Assert.ThrowsExactly<QuantSdkException>(() => OnnxFile.Load(folder["inner/m.onnx"])).Code);
    }

    [TestMethod]
    public void A_model_reached_through_a_link_finds_its_data()
    {
        using var folder = new TempFolder();
        Directory.CreateDirectory(folder["store"]);
        var model = TestModels.Create([TestModels.Input("x", DataType.Float, 1, 1024)], ["y"], [Tensors.Vector("w", new float[1024])], Nodes.Create("Add", "a", ["x", "w"], ["y"]));
        OnnxFile.Save(model, folder["store/m.onnx"], folder["store/m.data"]);
        Directory.CreateSymbolicLink(folder["link"], folder["store"]);
        Assert.HasCount(1024, OnnxFile.Load(Path.Combine(folder["link"], "m.onnx")).Graph.Initializer[0].ToFloats());
    }

    [TestMethod]
    public void Links_into_one_folder_of_a_download_cache_are_followed_and_others_are_not()
    {
        using var folder = new TempFolder();
        Directory.CreateDirectory(folder["blobs"]);
        Directory.CreateDirectory(folder["snapshot"]);
        Directory.CreateDirectory(folder["elsewhere"]);
        var model = TestModels.Create([TestModels.Input("x", DataType.Float, 1, 1024)], ["y"], [Tensors.Vector("w", new float[1024])], Nodes.Create("Add", "a", ["x", "w"], ["y"]));
        OnnxFile.Save(model, folder["blobs/1"], folder["blobs/m.data"]);
        File.Move(folder["blobs/m.data"], folder["blobs/2"]);
        File.CreateSymbolicLink(folder["snapshot/m.onnx"], folder["blobs/1"]);
        File.CreateSymbolicLink(folder["snapshot/m.data"], folder["blobs/2"]);
        Assert.HasCount(1024, OnnxFile.Load(folder["snapshot/m.onnx"]).Graph.Initializer[0].ToFloats());
        File.Move(folder["blobs/2"], folder["elsewhere/2"]);
        File.Delete(folder["snapshot/m.data"]);
        File.CreateSymbolicLink(folder["snapshot/m.data"], folder["elsewhere/2"]);
        Assert.AreEqual("QSDK1003", Assert.ThrowsExactly<QuantSdkException>(() => OnnxFile.Load(folder["snapshot/m.onnx"])).Code);
    }

    [TestMethod]
    public void Values_in_typed_fields_are_found_as_raw_data()
    {
        var typed = new TensorProto { Name = "w", DataType = (int)DataType.Float };
        typed.Dims.Add(2);
        typed.FloatData.Add([1.5f, -2]);
        var half = new TensorProto { Name = "h", DataType = (int)DataType.Float16 };
        half.Dims.Add(1);
        half.Int32Data.Add(BitConverter.HalfToUInt16Bits((Half)0.5f));
        using var folder = new TempFolder();
        var model = TestModels.Create([TestModels.Input("x", DataType.Float, 2)], ["y"], [typed, half], Nodes.Create("Add", "a", ["x", "w"], ["y"]));
        File.WriteAllBytes(folder["m.onnx"], Google.Protobuf.MessageExtensions.ToByteArray(model));
        var loaded = OnnxFile.Load(folder["m.onnx"]);
        CollectionAssert.AreEqual(new[] { 1.5f, -2 }, loaded.Graph.Initializer[0].ToFloats());
        CollectionAssert.AreEqual(new[] { 0.5f }, loaded.Graph.Initializer[1].ToFloats());
    }
}
