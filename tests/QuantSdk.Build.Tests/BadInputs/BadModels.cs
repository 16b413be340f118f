namespace QuantSdk.Build.Tests.BadInputs;

/// <summary>Models that are damaged, dangerous, or not of the kind that can be quantised.</summary>
internal static class BadModels
{
    public static IEnumerable<(string Name, BadInput Input)> All { get; } =
    [
        ("truncated model", Bytes("QSDK1002", DigitsCnn()[..200_000])),
        ("empty model", Bytes("QSDK1002", [])),
        ("random bytes as model", Bytes("QSDK1002", RandomBytes())),
        ("pointer file of a large-file store as model", Bytes("QSDK1002", [.. "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"u8])),
        ("negative dimension of a weight", Bytes("QSDK1002", TinyModel.Classifier(firstDimension: -8), "w1")),
        ("weight shorter than its shape", Bytes("QSDK1002", TinyModel.Classifier(firstDimension: 1L << 40), "w1")),
        ("operator that does not exist", Bytes("QSDK7009", TinyModel.Classifier(activation: "Frobnicate"), "Frobnicate")),
        ("opset 6", Bytes("QSDK3001", TinyModel.Classifier(opset: 6), "opset 6")),
        ("nothing to quantise", Bytes("QSDK3003", TinyModel.WithoutWeights(), "no Conv")),
        ("missing model", new("QSDK1001", ["nowhere.onnx"], f => [f["nowhere.onnx"], "--data", f["good.npz"]])),
        ("missing model of ConditionedBy", new("QSDK1001", ["nowhere.onnx"], f => [f["tiny.onnx"], "--data", f["good.npz"], "--conditioned-by", f["nowhere.onnx"]])),
        ("external data above the folder", External(_ => new("../outside.bin"), "../outside.bin")),
        ("external data with an absolute path", External(f => new(f["outside.bin"]), "outside.bin")),
        ("external data through a link", External(_ => new("link.bin"), "link.bin")),
        ("external data beyond the end of its file", External(_ => new("weights.bin", Offset: 200), "weights.bin")),
        ("external data whose offset overflows", External(_ => new("weights.bin", Offset: long.MaxValue), "weights.bin")),
        ("external data shorter than the shape", External(_ => new("weights.bin", Length: 16), "w2")),
        ("external data that is missing", External(_ => new("gone.bin"), "gone.bin")),
    ];

    private static BadInput Bytes(string code, byte[] model, params string[] cause) =>
        new(code, ["model.onnx", .. cause], f => [f.Write("model.onnx", model), "--data", f["good.npz"]]);

    private static BadInput External(Func<CaseFolder, TinyModel.External> external, string cause) => new("QSDK1003", ["w2", cause], f =>
    {
        var folder = Directory.CreateDirectory(f["model"]).FullName;
        var weights = new byte[8 * 8 * sizeof(float)];
        f.Write("outside.bin", weights);
        f.Write("model/weights.bin", weights);
        File.CreateSymbolicLink(Path.Combine(folder, "link.bin"), f["outside.bin"]);
        return [f.Write("model/model.onnx", TinyModel.Classifier(external: external(f))), "--data", f["good.npz"]];
    });

    private static byte[] DigitsCnn() => File.ReadAllBytes(Path.Combine(RepositoryPaths.DigitsModels, "digits_cnn.onnx"));

    private static byte[] RandomBytes()
    {
        var bytes = new byte[10_000];
        new Random(1).NextBytes(bytes);
        return bytes;
    }
}
