using QuantSdk.Onnx;

namespace QuantSdk.Tests.Onnx;

[TestClass]
public sealed class ModulePathsTests
{
    [TestMethod]
    public void TorchScript_names_lose_the_exporters_wrapper()
    {
        var graph = OnnxFile.Load(Repository.Digits("unet.onnx")).Graph;
        var modules = new ModulePaths(graph);
        Assert.AreEqual("up_blocks.2.resnets.0.conv1", modules[graph.Node.First(n => n.Name == "/u/up_blocks.2/resnets.0/conv1/Conv")]);
    }

    [TestMethod]
    public void Dynamo_metadata_gives_the_same_kind_of_path()
    {
        var graph = OnnxFile.Load(Repository.Data("archs/flux_tiny.onnx")).Graph;
        var modules = new ModulePaths(graph);
        var paths = graph.Node.Select(n => modules[n]).Distinct().ToArray();
        CollectionAssert.Contains(paths, "x_embedder");
        CollectionAssert.Contains(paths, "transformer_blocks.0.attn.to_q");
        Assert.IsFalse(paths.Any(p => p.StartsWith("m.", StringComparison.Ordinal)));
    }

    [TestMethod]
    public void A_block_of_the_network_is_not_taken_for_a_wrapper()
    {
        var graph = OnnxFile.Load(Repository.Data("archs/t5_encoder_tiny.onnx")).Graph;
        var modules = new ModulePaths(graph);
        CollectionAssert.Contains(graph.Node.Select(n => modules[n]).ToArray(), "block.0.layer.0.SelfAttention.q");
        var dbrx = OnnxFile.Load(Repository.Data("archs/dbrx_tiny.onnx")).Graph;
        var blocks = new ModulePaths(dbrx);
        CollectionAssert.Contains(dbrx.Node.Select(n => blocks[n]).ToArray(), "blocks.0.Wqkv");
    }
}
