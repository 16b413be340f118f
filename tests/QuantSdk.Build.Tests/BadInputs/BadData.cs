namespace QuantSdk.Build.Tests.BadInputs;

/// <summary>Calibration data that cannot be read, or that the model cannot take.</summary>
internal static class BadData
{
    private static readonly byte[] s_good = NumPy.Floats("32, 8", 256);

    public static IEnumerable<(string Name, BadInput Input)> All { get; } =
    [
        ("no data", new("QSDK2001", ["x (float", "CalibrationData"], f => [f["tiny.onnx"]])),
        ("missing data file", new("QSDK1010", ["nowhere.npz"], f => [f["tiny.onnx"], "--data", f["nowhere.npz"]])),
        ("folder as data file", new("QSDK1010", ["tmp"], f => [f["tiny.onnx"], "--data", f.Temporary])),
        ("text as data", new("QSDK1013", ["data.csv"], f => [f["tiny.onnx"], "--data", f.Write("data.csv", "1,2,3")])),
        ("text named npz", Data("QSDK1011", [.. "no zip at all"u8], "data.npz")),
        ("truncated npz", Data("QSDK1011", NumPy.Npz(("x", s_good))[..600], "data.npz")),
        ("array shorter than its shape", Npz("QSDK1011", "x", NumPy.Npy("<f4", "32, 8", new byte[100]), "'x'")),
        ("array that claims a huge shape", Npz("QSDK1011", "x", NumPy.Npy("<f4", "4000000000, 4000000000, 4000000000", new byte[100]), "'x'")),
        ("array whose header is no header", Npz("QSDK1011", "x", [0x93, .. "NUMPY"u8, 1, 0, 20, 0, .. "{'descr': 'nonsense' "u8], "'x'")),
        ("object array", Npz("QSDK1012", "x", NumPy.Npy("|O", "32", new byte[256]), "'x'", "|O")),
        ("complex array", Npz("QSDK1012", "x", NumPy.Npy("<c8", "32, 8", new byte[2048]), "'x'", "<c8")),
        ("missing key", new("QSDK2001", ["'cond'", "sample"], f => [f.Write("denoiser.onnx", TinyModel.Denoiser()), "--data", f.Write("data.npz", NumPy.Npz(("sample", Image()), ("timestep", NumPy.Floats("1", 1))))])),
        ("key that is no input", new("QSDK2009", ["'sampel'", "Did you mean 'sample'?"], f => [f.Write("denoiser.onnx", TinyModel.Denoiser()), "--data", f.Write("data.npz", NumPy.Npz(("sampel", Image())))])),
        ("wrong shape", Npz("QSDK2002", "x", NumPy.Floats("32, 9", 288), "'x'", "[32,9]", "tiny.onnx")),
        ("no rows", Npz("QSDK2002", "x", NumPy.Floats("0, 8", 0), "'x'", "no rows")),
        ("NaN", Npz("QSDK2004", "x", NumPy.Floats("32, 8", 256, i => i == 100 ? float.NaN : i), "'x'", "row 12")),
        ("infinity", Npz("QSDK2004", "x", NumPy.Floats("32, 8", 256, i => i == 8 ? float.NegativeInfinity : i), "'x'", "row 1")),
        ("values at which the model itself overflows", Npz("QSDK2003", "x", NumPy.Floats("32, 8", 256, i => i % 8 is < 3 or 7 ? -3e38f : 3e38f), "infinity", "'b'")),
        ("fractions for an input of integers", new("QSDK1015", ["'label'", "0.5"], f =>
            [Path.Combine(RepositoryPaths.DigitsModels, "prompt_encoder.onnx"), "--data", f.Write("data.npz", NumPy.Npz(("label", NumPy.Floats("4", 4, i => i / 2f))))])),
    ];

    private static BadInput Data(string code, byte[] npz, params string[] cause) => new(code, cause, f => [f["tiny.onnx"], "--data", f.Write("data.npz", npz)]);

    private static BadInput Npz(string code, string key, byte[] npy, params string[] cause) => Data(code, NumPy.Npz((key, npy)), cause);

    private static byte[] Image() => NumPy.Floats("4, 1, 8, 8", 256);
}
