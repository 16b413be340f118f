using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Rewriting;
using QuantSdk.Runtime;

namespace QuantSdk.Tests.Planning;

/// <summary>What is left alone in the trained models, against what their builders know about them.</summary>
[TestClass]
public sealed class PlacementTests
{
    [TestMethod]
    public void The_UNet_keeps_time_prompt_first_and_last_layers_in_float()
    {
        var placement = Decide(Repository.Digits("unet.onnx"), new Recipe { Name = "unet" });
        string Reason(string module) => placement.Kept.First(k => k.Module == module).Reason;
        Assert.AreEqual("reads the sample", Reason("conv_in"));
        Assert.AreEqual("writes the output", Reason("conv_out"));
        foreach (var module in (string[])["time_embedding.linear_1", "add_embedding.linear_2", "down_blocks.0.resnets.0.time_emb_proj", "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k", "mid_block.attentions.0.transformer_blocks.0.attn2.to_v"])
            Assert.AreEqual("does not depend on the sample (conditioning)", Reason(module));
        string[] quantised = [.. placement.Layers.Select(l => l.Module)];
        foreach (var module in (string[])["down_blocks.0.resnets.0.conv1", "up_blocks.2.resnets.0.conv_shortcut", "down_blocks.1.attentions.0.proj_in", "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_k", "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_q", "down_blocks.1.downsamplers.0.conv"])
            CollectionAssert.Contains(quantised, module);
        Assert.IsFalse(placement.Kept.Any(k => k.BuiltIn && quantised.Contains(k.Module)));
    }

    [TestMethod]
    public void The_text_stream_of_the_MMDiT_is_quantised_from_where_it_mixes_with_the_image()
    {
        var placement = Decide(Repository.Mmdit("transformer.onnx"), new Recipe { Name = "mmdit" });
        string[] quantised = [.. placement.Layers.Select(l => l.Module)], kept = [.. placement.Kept.Where(k => k.BuiltIn).Select(k => k.Module)];
        CollectionAssert.Contains(kept, "context_embedder");
        CollectionAssert.Contains(kept, "transformer_blocks.0.norm1.linear");
        CollectionAssert.Contains(kept, "transformer_blocks.0.attn.add_k_proj", "the text of block 0 has not met the image");
        CollectionAssert.Contains(kept, "proj_out");
        CollectionAssert.Contains(kept, "pos_embed.proj");
        CollectionAssert.Contains(quantised, "transformer_blocks.1.attn.add_k_proj");
        CollectionAssert.Contains(quantised, "transformer_blocks.0.attn.to_k");
    }

    [TestMethod]
    public void A_model_of_tokens_keeps_its_head_and_quantises_its_first_block()
    {
        var placement = Decide(Repository.Data("archs/llama_tiny.onnx"), new Recipe { Name = "llama" });
        CollectionAssert.Contains(placement.Layers.Select(l => l.Module).ToArray(), "layers.0.self_attn.q_proj");
        Assert.IsTrue(placement.Kept.Any(k => k is { Module: "lm_head", Reason: "writes the output" }));
    }

    [TestMethod]
    public void Every_product_is_either_quantised_or_has_a_reason()
    {
        foreach (var path in Directory.GetFiles(Repository.Data("archs"), "*.onnx").Append(Repository.Digits("unet.onnx")))
        {
            var model = Simplification.Simplify(OnnxFile.Load(path));
            var recipe = new Recipe { Name = "x" };
            var placement = Placement.Decide(model, recipe, Roles.Find(model, recipe));
            var products = model.Graph.Node.Count(Placement.IsProduct);
            Assert.AreEqual(products, placement.Layers.Count + placement.Kept.Count(k => k.Op is "Conv" or "ConvTranspose" or "Gemm" or "MatMul"), path);
            Assert.IsTrue(placement.Kept.All(k => k.Reason.Length > 0));
            Assert.IsNotEmpty(placement.Layers, path);
        }
    }

    [TestMethod]
    public void ExcludeModules_matches_modules_their_ancestors_names_and_op_types()
    {
        var path = Repository.Digits("digits_cnn.onnx");
        int Layers(params string[] exclude) => Decide(path, new Recipe { Name = "cnn", ExcludeModules = exclude }).Layers.Count;
        Assert.AreEqual(13, Layers());
        Assert.AreEqual(12, Layers("l1.dw"));
        Assert.AreEqual(12, Layers("/l1/dw/Conv"));
        Assert.IsLessThan(12, Layers("l1"));
        Assert.IsLessThan(11, Layers("*.dw"));
        Assert.AreEqual(1, Layers("Conv"));
        Assert.AreEqual(13 - Layers("l1"), Decide(path, new Recipe { Name = "cnn", Only = ["l1"] }).Layers.Count);
    }

    [TestMethod]
    public void A_pattern_that_matches_nothing_is_an_error_with_near_names()
    {
        var error = Assert.ThrowsExactly<QuantSdkException>(() => Decide(Repository.Digits("unet.onnx"), new Recipe { Name = "unet", ExcludeModules = ["up_block.2"] }));
        Assert.AreEqual("QSDK1023", error.Code);
        StringAssert.Contains(error.Message, "up_blocks.2");
        // A prefix is not a path: up_blocks.2 must not match up_blocks.20.
        Assert.ThrowsExactly<QuantSdkException>(() => Decide(Repository.Digits("unet.onnx"), new Recipe { Name = "unet", ExcludeModules = ["up_blocks.2.res"] }));
    }

    private static Placement Decide(string path, Recipe recipe)
    {
        var model = Simplification.Simplify(OnnxFile.Load(path));
        return Placement.Decide(model, recipe, Roles.Find(model, recipe));
    }
}
