using QuantSdk.Onnx;
using QuantSdk.Runtime;

namespace QuantSdk.Tests.Onnx;

/// <summary>Models run on random numbers, at sizes that their dynamic dimensions are given.</summary>
internal static class RandomRuns
{
    /// <summary>RecurrentGemma's export runs at 16 tokens alone.</summary>
    private static readonly Dictionary<string, long> s_sizes = new() { ["batch"] = 4, ["b"] = 4, ["s"] = 16, ["h"] = 6, ["w"] = 4 };

    /// <summary>The trained models of the samples, and the architectures.</summary>
    public static IEnumerable<object[]> Models =>
    [
        [Repository.Digits("unet.onnx")], [Repository.Digits("digits_cnn.onnx")], [Repository.Digits("prompt_encoder.onnx")], [Repository.Mmdit("transformer.onnx")],
        .. Directory.GetFiles(Repository.Data("archs"), "*.onnx").Order(StringComparer.Ordinal).Select(f => new object[] { f }),
    ];

    public static IReadOnlyDictionary<string, ModelTensor> Run(ModelProto model, IReadOnlyDictionary<string, ModelTensor>? inputs = null)
    {
        using var folder = new TempFolder();
        OnnxFile.Save(model, folder["m.onnx"], folder["m.data"]);
        using var session = ModelSession.Open(folder["m.onnx"], new SessionSettings { Threads = 2 });
        return session.Run(inputs ?? session.Inputs.ToDictionary(i => i.Name, Fill));
    }

    /// <summary>The inputs that <see cref="Run"/> gives a model on its own.</summary>
    public static IReadOnlyDictionary<string, ModelTensor> Inputs(ModelProto model)
    {
        using var folder = new TempFolder();
        OnnxFile.Save(model, folder["m.onnx"], folder["m.data"]);
        using var session = ModelSession.Open(folder["m.onnx"], new SessionSettings { Threads = 1 });
        return session.Inputs.ToDictionary(i => i.Name, Fill);
    }

    /// <summary>The float values of a float or float16 tensor.</summary>
    public static float[] Floats(ModelTensor tensor) =>
        tensor.Type == "float16" ? Array.ConvertAll(tensor.AsSpan<Half>().ToArray(), v => (float)v) : tensor.AsSpan<float>().ToArray();

    /// <summary>Signal to noise of all float outputs together, in decibels; 200 where nothing differs.</summary>
    public static double Sqnr(IReadOnlyDictionary<string, ModelTensor> reference, IReadOnlyDictionary<string, ModelTensor> other)
    {
        double signal = 0, noise = 0;
        foreach (var (name, tensor) in reference.Where(o => o.Value.Type is "float" or "float16"))
        {
            CollectionAssert.AreEqual(tensor.Shape.ToArray(), other[name].Shape.ToArray(), name);
            foreach (var (a, b) in Floats(tensor).Zip(Floats(other[name])))
                (signal, noise) = (signal + (double)a * a, noise + (a - (double)b) * (a - (double)b));
        }
        return noise == 0 ? 200 : 10 * Math.Log10(signal / noise);
    }

    public static ModelTensor Fill(Port port)
    {
        long[] shape = [.. port.Shape.Select((d, axis) => d > 0 ? d : s_sizes.GetValueOrDefault(port.Symbols[axis], 4))];
        var count = (int)shape.Aggregate(1L, (a, b) => a * b);
        var random = new Random(port.Name.Length);
        return port.Type.Name switch
        {
            "float" => ModelTensor.Create([.. Enumerable.Range(0, count).Select(_ => (float)random.NextDouble())], shape),
            "float16" => ModelTensor.Create([.. Enumerable.Range(0, count).Select(_ => (Half)(float)random.NextDouble())], shape),
            _ => ModelTensor.Create([.. Enumerable.Range(0, count).Select(_ => port.Name.Contains("mask", StringComparison.Ordinal) ? 1L : random.Next(1, 10))], shape),
        };
    }
}
