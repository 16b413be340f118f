using System.Runtime.InteropServices;
using QuantSdk.Calibration;
using QuantSdk.Runtime;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Calibration;

[TestClass]
public sealed class CalibrationFilesTests
{
    [TestMethod]
    public void Files_written_by_NumPy_are_read()
    {
        var forward = CalibrationFiles.Read([Repository.Data("golden/golden_forward.npz")], null);
        CollectionAssert.AreEquivalent(new[] { "sample", "timestep", "encoder_hidden_states", "text_embeds", "time_ids", "noise_pred" }, forward.Keys.ToArray());
        Assert.AreEqual(DataType.Int64, forward["timestep"].Type);
        CollectionAssert.AreEqual(new long[] { 4, 1, 32, 32 }, forward["sample"].Shape.ToArray());
        // The conditioning of a 32×32 picture, as SDXL writes it: original size, crop, target size.
        CollectionAssert.AreEqual(new float[] { 32, 32, 0, 0, 32, 32 }, MemoryMarshal.Cast<byte, float>(forward["time_ids"].Data.Span)[..6].ToArray());
        var test = CalibrationFiles.Read([Repository.Digits("digits_test.npz")], null);
        Assert.AreEqual(DataType.Uint8, test["image"].Type);
        Assert.AreEqual(1000, test["label"].Rows);
    }

    [TestMethod]
    public void Several_files_are_joined_along_axis_0()
    {
        using var folder = new TempFolder();
        var a = NpyWriter.Npz(folder, ("x", NpyWriter.Npy("<f4", [2, 2], [1f, 2, 3, 4])));
        var b = NpyWriter.Npz(folder, ("x", NpyWriter.Npy("<f4", [1, 2], [5f, 6])));
        var joined = CalibrationFiles.Read([a, b], null)["x"];
        CollectionAssert.AreEqual(new long[] { 3, 2 }, joined.Shape.ToArray());
        CollectionAssert.AreEqual(new[] { 1f, 2, 3, 4, 5, 6 }, MemoryMarshal.Cast<byte, float>(joined.Data.Span).ToArray());
        var c = NpyWriter.Npz(folder, ("x", NpyWriter.Npy("<f4", [1, 3], [5f, 6, 7])));
        Assert.AreEqual("QSDK1014", Code(() => CalibrationFiles.Read([a, c], null)));
    }

    [TestMethod]
    [DataRow("|O", "QSDK1012")]
    [DataRow("<c8", "QSDK1012")]
    [DataRow(">f4", "QSDK1012")]
    public void Types_that_no_model_takes_are_refused(string descr, string code)
    {
        using var folder = new TempFolder();
        Assert.AreEqual(code, Code(() => CalibrationFiles.Read([NpyWriter.Npz(folder, ("x", NpyWriter.Npy(descr, [1], [1f])))], null)));
    }

    [TestMethod]
    public void A_header_that_claims_more_than_there_is_allocates_nothing()
    {
        using var folder = new TempFolder();
        var path = NpyWriter.Npz(folder, ("x", NpyWriter.Npy("<f4", [1L << 40, 1L << 40], [1f])));
        Assert.AreEqual("QSDK1011", Code(() => CalibrationFiles.Read([path], null)));
        Assert.AreEqual("QSDK1011", Code(() => CalibrationFiles.Read([NpyWriter.Npz(folder, ("x", NpyWriter.Npy("<f4", [2], [1f], fortran: true)))], null)));
    }

    [TestMethod]
    public void Casts_keep_every_value_or_say_which_one_is_lost()
    {
        CollectionAssert.AreEqual(new[] { 3L, -1 }, Cast<float, long>(DataType.Float, [3, -1], DataType.Int64));
        CollectionAssert.AreEqual(new[] { 7f, 255 }, Cast<byte, float>(DataType.Uint8, [7, 255], DataType.Float));
        CollectionAssert.AreEqual(new[] { 0.5f }, Cast<Half, float>(DataType.Float16, [(Half)0.5], DataType.Float));
        CollectionAssert.AreEqual(new[] { 0.25f }, Cast<double, float>(DataType.Double, [0.25], DataType.Float));
        Assert.AreEqual("QSDK1015", Code(() => Cast<float, long>(DataType.Float, [0.5f], DataType.Int64)));
        Assert.AreEqual("QSDK1015", Code(() => Cast<double, float>(DataType.Double, [0.1], DataType.Float)));
        Assert.AreEqual("QSDK1015", Code(() => Cast<long, int>(DataType.Int64, [1L << 40], DataType.Int32)));
        Assert.AreEqual("QSDK1015", Code(() => Cast<long, float>(DataType.Int64, [(1L << 24) + 1], DataType.Float)));
        Assert.AreEqual("QSDK1015", Code(() => Cast<sbyte, byte>(DataType.Int8, [-1], DataType.Uint8)));
    }

    private static TTo[] Cast<TFrom, TTo>(DataType from, TFrom[] values, DataType to)
        where TFrom : unmanaged
        where TTo : unmanaged =>
        MemoryMarshal.Cast<byte, TTo>(LosslessCast.To(new NpyArray(from, [values.Length], MemoryMarshal.AsBytes(values.AsSpan()).ToArray(), "'x'"), to, "x").Data.Span).ToArray();

    private static string Code(Action action) => Assert.ThrowsExactly<QuantSdkException>(action).Code;
}
