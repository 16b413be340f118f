namespace QuantSdk.Runtime.Tests;

/// <summary>Who decides about CUDA graphs: the app, else the build. That kernels are replayed rightly takes a GPU.</summary>
[TestClass]
public sealed class CudaGraphOptionTests
{
    private static readonly TensorRtInfo s_info = new("10.13.3.9", "9.0", "NVIDIA H100", "none", false, "tensorrt/model.plan", null, []);

    [TestMethod]
    [DataRow(false, null, false), DataRow(true, null, true), DataRow(true, false, false), DataRow(false, true, true)]
    public void The_app_wins_over_the_build(bool built, bool? asked, bool records)
    {
        var provider = TensorRtProvider.Of(s_info with { CudaGraph = built }, "", [], new QuantizedModelOptions { CudaGraph = asked });
        Assert.AreEqual(records, provider.Records);
        Assert.AreEqual(records ? "1" : null, provider.Options.GetValueOrDefault("trt_cuda_graph_enable"));
        Assert.AreEqual(asked == true, CudaProvider.Of([], new QuantizedModelOptions { CudaGraph = asked }).Records);
    }

    [TestMethod]
    public void Options_by_name_count_too()
    {
        var on = new Dictionary<string, string> { ["trt_cuda_graph_enable"] = "True", ["enable_cuda_graph"] = "1" };
        Assert.IsTrue(TensorRtProvider.Of(s_info, "", [], new QuantizedModelOptions { TensorRtOptions = on }).Records);
        Assert.IsTrue(CudaProvider.Of([], new QuantizedModelOptions { CudaOptions = on }).Records);
    }
}
