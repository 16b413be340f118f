using System.Runtime.InteropServices;
using QuantSdk.Calibration;
using QuantSdk.Onnx;
using QuantSdk.Runtime;

namespace QuantSdk.Bench;

/// <summary>
/// A network of Stable Diffusion's blocks: ResBlock and transformer block over and over, from channels to channels. A depthwise 1×1
/// convolution before them reads the sample and one after them writes the output: next to no work, but those two stay in float by the built-in
/// exclusions, so that the blocks are quantised whole.
/// </summary>
/// <param name="Channels">Width; heads are 64 wide.</param>
/// <param name="Size">Height and width; their product is the number of tokens.</param>
internal sealed record SdBlock(string Name, int Repeats, int Channels, int Size)
{
    private const int HeadWidth = 64;

    /// <summary>One block at 32×32, 14.8 MB of weights.</summary>
    public static SdBlock Small { get; } = new("block", 1, 320, 32);

    /// <summary>Eight blocks of twice the width at 16×16, 472 MB.</summary>
    public static SdBlock Large { get; } = new("block8", 8, 640, 16);

    /// <summary>Writes the float model as one file.</summary>
    public string Write(string folder)
    {
        var path = Path.Combine(folder, Name + ".onnx");
        var g = new GraphWriter();
        var x = g.Depthwise("/conv_in/Conv", g.Input("sample", -1, Channels, Size, Size), Channels);
        for (var i = 0; i < Repeats; i++)
            x = Transformer(g, $"/blocks.{i}/attention", ResBlock(g, $"/blocks.{i}/resnet", x));
        g.Output(g.Depthwise("/conv_out/Conv", x, Channels), -1, Channels, Size, Size);
        g.Save(path);
        return path;
    }

    /// <summary>Gaussian samples.</summary>
    public NpyArray Samples(int rows, long seed)
    {
        var values = new float[rows * Channels * Size * Size];
        TorchRandom.Normal(seed, values);
        return new NpyArray(TensorProto.Types.DataType.Float, [rows, Channels, Size, Size], MemoryMarshal.AsBytes(values.AsSpan()).ToArray(), $"{rows} samples");
    }

    private string ResBlock(GraphWriter g, string name, string x)
    {
        var h = g.Conv(name + "/conv1/Conv", g.SiLU(name + "/act1", g.GroupNorm(name + "/norm1", x, Channels, Size)), Channels, Channels, 3);
        h = g.Conv(name + "/conv2/Conv", g.SiLU(name + "/act2", g.GroupNorm(name + "/norm2", h, Channels, Size)), Channels, Channels, 3);
        return g.Add(name + "/Add", x, h);
    }

    private string Transformer(GraphWriter g, string name, string x)
    {
        var image = g.Conv(name + "/proj_in/Conv", g.GroupNorm(name + "/norm", x, Channels, Size), Channels, Channels, 1);
        var tokens = g.Reshape(name + "/Reshape", g.Transpose(name + "/Transpose", image, 0, 2, 3, 1), 0, Size * Size, Channels);
        tokens = g.Add(name + "/Add", tokens, Attention(g, name + "/attn", g.LayerNorm(name + "/norm1", tokens, Channels)));
        tokens = g.Add(name + "/Add_1", tokens, FeedForward(g, name + "/ff", g.LayerNorm(name + "/norm2", tokens, Channels)));
        image = g.Transpose(name + "/Transpose_1", g.Reshape(name + "/Reshape_1", tokens, 0, Size, Size, Channels), 0, 3, 1, 2);
        return g.Add(name + "/Add_2", x, g.Conv(name + "/proj_out/Conv", image, Channels, Channels, 1));
    }

    private string Attention(GraphWriter g, string name, string x)
    {
        int heads = Channels / HeadWidth, tokens = Size * Size;
        string Heads(string which, params ReadOnlySpan<long> order) => g.Transpose(
            $"{name}/{which}/Transpose", g.Reshape($"{name}/{which}/Reshape", g.Linear($"{name}/to_{which}", x, Channels, Channels, bias: false), 0, tokens, heads, HeadWidth), order);
        var scores = g.Node("Mul", name + "/Mul", g.Node("MatMul", name + "/QK", Heads("q", 0, 2, 1, 3), Heads("k", 0, 2, 3, 1)), g.Scalar(1 / MathF.Sqrt(HeadWidth)));
        var weights = g.Node(Nodes.Create("Softmax", name + "/Softmax", [scores], [name + "_weights"]).With("axis", -1L));
        var mixed = g.Transpose(name + "/Transpose", g.Node("MatMul", name + "/PV", weights, Heads("v", 0, 2, 1, 3)), 0, 2, 1, 3);
        return g.Linear(name + "/to_out", g.Reshape(name + "/Reshape", mixed, 0, tokens, Channels), Channels, Channels, bias: true);
    }

    /// <summary>GEGLU: one half gates the other.</summary>
    private string FeedForward(GraphWriter g, string name, string x)
    {
        var (value, gate) = g.Chunk(name + "/Split", g.Linear(name + "/proj", x, Channels, 8 * Channels, bias: true));
        return g.Linear(name + "/out", g.Node("Mul", name + "/Mul", value, g.Gelu(name + "/gelu", gate)), 4 * Channels, Channels, bias: true);
    }
}
