namespace QuantSdk.Runtime.Tests;

[TestClass]
public sealed class ManifestTests
{
    private readonly string _file = Path.GetTempFileName();

    [TestCleanup]
    public void Delete() => File.Delete(_file);

    [TestMethod]
    public void What_is_written_is_read_back()
    {
        var manifest = Full();
        ManifestFile.Write(_file, manifest);
        var read = ManifestFile.Read(_file);
        CollectionAssert.AreEqual(File.ReadAllBytes(_file), ManifestFile.Serialize(read));
        Assert.AreEqual(manifest.Roles, read.Roles);
        Assert.AreEqual(manifest.FloatBytes, read.FloatBytes);
        Assert.AreEqual(manifest.Variants[0].Optimised, read.Variants[0].Optimised);
        CollectionAssert.AreEqual(manifest.Variants[0].Files.ToArray(), read.Variants[0].Files.ToArray());
        CollectionAssert.AreEqual(manifest.Quality.ToArray(), read.Quality.ToArray());
        CollectionAssert.AreEqual(manifest.Inputs[0].Shape.ToArray(), read.Inputs[0].Shape.ToArray());
    }

    [TestMethod]
    public void The_text_is_camel_case_with_line_feeds()
    {
        ManifestFile.Write(_file, Full());
        var text = File.ReadAllText(_file);
        Assert.StartsWith("{\n  \"schema\": 1,\n  \"name\": \"unet\",\n  \"toolVersion\"", text);
        Assert.EndsWith("}\n", text);
        Assert.DoesNotContain("\r", text);
    }

    [TestMethod]
    public void Unknown_fields_are_skipped()
    {
        ManifestFile.Write(_file, Full());
        File.WriteAllText(_file, File.ReadAllText(_file).Replace("\"name\": \"unet\"", "\"later\": { \"a\": [1] }, \"name\": \"unet\""));
        Assert.AreEqual("unet", ManifestFile.Read(_file).Name);
    }

    [TestMethod]
    [DataRow("\"schema\": 1", "\"schema\": 2", "QSDK7004")]
    [DataRow("\"schema\": 1,", "", "QSDK7004")]
    [DataRow("\"name\": \"unet\",", "", "QSDK7003")]
    [DataRow("\"name\": \"unet\"", "\"name\": null", "QSDK7003")]
    [DataRow("\"model\": \"cpu/model.onnx\"", "\"model\": 3", "QSDK7003")]
    [DataRow("\"path\": \"cpu/model.onnx\",", "", "QSDK7003")]
    [DataRow("\"files\": [", "\"files\": [ null,", "QSDK7003")]
    [DataRow("{", "[", "QSDK7003")]
    public void A_broken_manifest_is_refused(string from, string to, string code)
    {
        ManifestFile.Write(_file, Full());
        var text = File.ReadAllText(_file);
        var changed = text.Replace(from, to);
        Assert.AreNotEqual(text, changed);
        File.WriteAllText(_file, changed);
        Assert.AreEqual(_file, Tensors.Refuses(code, () => ManifestFile.Read(_file)).File);
    }

    [TestMethod]
    [DataRow("../outside.onnx")]
    [DataRow("/etc/hostname")]
    [DataRow("cpu/../../outside.onnx")]
    [DataRow("cpu//model.onnx")]
    [DataRow("./cpu/model.onnx")]
    [DataRow("cpu\\model.onnx")]
    [DataRow("C:/model.onnx")]
    [DataRow("")]
    public void A_path_that_leaves_the_folder_is_refused(string path)
    {
        using var folder = ModelFolder.Small();
        folder.Change(variant => variant with { Files = [.. variant.Files, new EngineFile(path, 0, "")] });
        Tensors.Refuses("QSDK7005", () => QuantizedModel.Load(folder.Path));
        folder.Change(variant => variant with { Files = [.. variant.Files.SkipLast(1)], Model = path });
        Tensors.Refuses("QSDK7005", () => QuantizedModel.Load(folder.Path));
    }

    [TestMethod]
    public void A_link_that_leaves_the_folder_is_refused()
    {
        using var folder = ModelFolder.Small();
        var outside = Path.Combine(folder.Root, "outside");
        Directory.CreateDirectory(outside);
        File.Move(folder.File("cpu/model.data"), Path.Combine(outside, "model.data"));
        File.CreateSymbolicLink(folder.File("cpu/model.data"), Path.Combine("..", "..", "outside", "model.data"));
        Assert.Contains("outside", Tensors.Refuses("QSDK7005", () => QuantizedModel.Load(folder.Path)).Message);

        File.Delete(folder.File("cpu/model.data"));
        Directory.CreateSymbolicLink(folder.File("cpu2"), outside);
        folder.Change(variant => variant with { Files = [variant.Files[0], variant.Files[1] with { Path = "cpu2/model.data" }] });
        Tensors.Refuses("QSDK7005", () => QuantizedModel.Load(folder.Path));
    }

    [TestMethod]
    public void Links_inside_the_folder_and_to_the_folder_are_fine()
    {
        using var folder = ModelFolder.Small();
        File.Move(folder.File("cpu/model.data"), folder.File("data"));
        File.CreateSymbolicLink(folder.File("cpu/model.data"), "../data");
        var alias = Path.Combine(folder.Root, "alias");
        Directory.CreateSymbolicLink(alias, folder.Path);
        QuantizedModel.Load(alias).Dispose();
    }

    private static Manifest Full() => new()
    {
        Name = "unet",
        ToolVersion = "1.0.0",
        Precision = "int8",
        RecipeHash = "ab",
        FloatBytes = 3_000_000_000,
        Inputs = [new("sample", "float", [-1, 1, 32, 32]), new("timestep", "int64", [])],
        Outputs = [new("noise_pred", "float", [-1, 1, 32, 32])],
        Roles = new("sample", "timestep", 0.001f),
        Variants =
        [
            new("cpu", "cpu/model.onnx", new("cpu/model.optimised.onnx", "1.29.0", "x64:avx2"), ["MatMulAddFusion"],
                [new("cpu/model.onnx", 12, "00"), new("cpu/model.data", 0, "11")]),
        ],
        Quality = [new("noise_pred", 31.25, 0.999), new("exact", double.PositiveInfinity, 1)],
    };
}
