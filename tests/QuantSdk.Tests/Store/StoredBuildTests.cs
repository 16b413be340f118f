using QuantSdk.Engines;
using QuantSdk.Runtime;
using QuantSdk.Store;

namespace QuantSdk.Tests.Store;

/// <summary>Builds of the digit classifier with a store, against the same builds without one.</summary>
[TestClass]
public sealed class StoredBuildTests
{
    [TestMethod]
    public void A_change_reruns_the_stages_to_its_right_and_gives_the_bytes_that_a_build_without_a_store_gives()
    {
        using var temp = new TempFolder();
        void Same(string stages, params (string, string)[] metadata)
        {
            var stored = Build(temp, "stored", true, metadata);
            Build(temp, "alone", false, metadata);
            Assert.AreEqual(stages, string.Join(' ', stored.Report.Stages!.Select(s => $"{s.Key}:{s.Value}")));
            AssertSameFolders(temp["alone"], temp["stored"]);
            Assert.AreEqual(File.ReadAllText(temp["alone.plan.json"]), File.ReadAllText(temp["stored.plan.json"]));
            Assert.AreEqual(File.ReadAllText(temp["alone.calibration.json"]), File.ReadAllText(temp["stored.calibration.json"]));
        }

        Same("calibration:built cpu:built model:built plan:built quality:built");
        Same("calibration:store cpu:store model:store plan:store quality:store");
        // A gate is checked, and nothing is run.
        Same("calibration:store cpu:store model:store plan:store quality:store", ("MinSqnr", "10"));
        Same("amax:built calibration:store cpu:store model:built plan:store plan.tensorrt:built quality:built tensorrt-onnx:built", ("Targets", "cpu;tensorrt-onnx"));
        Same("amax:store calibration:store cpu:store model:built plan:store plan.tensorrt:store quality:built tensorrt-onnx:built", ("Targets", "cpu;tensorrt-onnx"), ("HighPrecision", "bf16"));
        Same("calibration:store cpu:built model:built plan:store quality:built", ("Prepacked", "false"));
        // Planned anew from the stored sample.
        Same("calibration:store cpu:built model:built plan:built quality:built", ("SmoothQuant", "off"));
        Same("calibration:built cpu:built model:built plan:built quality:built", ("Calibrator", "max"));
        Same("calibration:store cpu:store model:store plan:store quality:store", ("Calibrator", "max"));
    }

    [TestMethod]
    public void Codes_of_few_bits_are_taken_from_the_store()
    {
        using var temp = new TempFolder();
        var four = Build(temp, "stored", true, ("Precision", "int4"));
        Assert.AreEqual("built", four.Report.Stages!["rounding"]);
        var portable = Build(temp, "stored", true, ("Precision", "int4"), ("Prepacked", "false"));
        Assert.AreEqual("store", portable.Report.Stages!["rounding"]);
        Assert.AreEqual("built", portable.Report.Stages["cpu"]);
        Build(temp, "alone", false, ("Precision", "int4"), ("Prepacked", "false"));
        AssertSameFolders(temp["alone"], temp["stored"]);
    }

    [TestMethod]
    public void A_missed_gate_writes_nothing_and_keeps_what_was_made()
    {
        using var temp = new TempFolder();
        Assert.AreEqual("QSDK5001", Assert.ThrowsExactly<QuantSdkException>(() => Build(temp, "stored", true, ("MinSqnr", "90"))).Code);
        Assert.IsFalse(Directory.Exists(temp["stored"]));
        Assert.AreEqual("store", Build(temp, "stored", true, ("MinSqnr", "10")).Report.Stages!["model"]);
        Assert.AreEqual("QSDK5001", Assert.ThrowsExactly<QuantSdkException>(() => Build(temp, "stored", true, ("MinSqnr", "90"))).Code);
    }

    [TestMethod]
    public void Damage_is_found_said_and_made_good()
    {
        using var temp = new TempFolder();
        Build(temp, "alone", false);
        Build(temp, "stored", true);
        foreach (var blob in Directory.GetFiles(temp["store"], "*", SearchOption.AllDirectories).Where(f => f.Contains("blobs", StringComparison.Ordinal)))
        {
            if (!OperatingSystem.IsWindows())
                File.SetUnixFileMode(blob, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            using var file = File.Open(blob, FileMode.Open);
            file.Position = file.Length / 2;
            var old = file.ReadByte();
            file.Position--;
            file.WriteByte((byte)(old ^ 16));
        }
        var log = new SilentLog();
        var result = Build(temp, "stored", true, log: log);
        Assert.AreEqual("built", result.Report.Stages!["calibration"]);
        Assert.IsTrue(log.Warnings.Count > 0 && log.Warnings.All(w => w.Code == "QSDK6002"), string.Join('\n', log.Warnings));
        AssertSameFolders(temp["alone"], temp["stored"]);
        log = new SilentLog();
        Assert.AreEqual("store", Build(temp, "stored", true, log: log).Report.Stages!["model"]);
        Assert.IsEmpty(log.Warnings);
    }

    [TestMethod]
    public void Warnings_of_a_stage_are_said_again_under_the_name_of_who_uses_it()
    {
        using var temp = new TempFolder();
        var (first, second) = (new SilentLog(), new SilentLog());
        Build(temp, "one", true, log: first, metadata: ("CalibrationData", "random"));
        var hit = Build(temp, "two", true, log: second, metadata: ("CalibrationData", "random"));
        Assert.AreEqual("store", hit.Report.Stages!["model"]);
        Assert.Contains("from the store", hit.Summary);
        Assert.HasCount(1, first.Warnings);
        Assert.AreEqual("QSDK2005", second.Warnings.Single().Code);
        Assert.AreEqual(first.Warnings[0].Message.Replace("one:", "two:", StringComparison.Ordinal), second.Warnings[0].Message);
        Assert.AreEqual("two", hit.Manifest.Name);
        Assert.AreEqual("two", ManifestFile.Read(temp["two/manifest.json"]).Name);
    }

    [TestMethod]
    public void A_shared_store_is_read_and_never_written()
    {
        using var temp = new TempFolder();
        Build(temp, "first", true);
        Directory.Move(temp["store"], temp["shared"]);
        var before = Listing(temp["shared"]);
        var settings = new StoreSettings(temp["store"], temp["shared"], StoreMode.ReadWrite, long.MaxValue, false);
        Assert.AreEqual("store", Build(temp, "stored", settings).Report.Stages!["model"]);
        Assert.AreEqual("built", Build(temp, "stored", settings, ("SmoothQuant", "off")).Report.Stages!["plan"]);
        CollectionAssert.AreEqual(before, Listing(temp["shared"]));
        // A build that may only read adds nothing, and takes what there is.
        var own = Listing(temp["store"]);
        Assert.IsNotEmpty(own);
        var reading = settings with { Mode = StoreMode.Read };
        Assert.AreEqual("store", Build(temp, "stored", reading, ("SmoothQuant", "off")).Report.Stages!["model"]);
        Assert.AreEqual("built", Build(temp, "stored", reading, ("BiasCorrection", "false")).Report.Stages!["plan"]);
        CollectionAssert.AreEqual(own, Listing(temp["store"]));
    }

    [TestMethod]
    public void A_store_that_cannot_be_written_costs_a_warning()
    {
        using var temp = new TempFolder();
        File.WriteAllText(temp["file"], "");
        var log = new SilentLog();
        Build(temp, "stored", new StoreSettings(temp["file/store"], null, StoreMode.ReadWrite, long.MaxValue, false), log);
        Assert.AreEqual("QSDK6001", log.Warnings.Single().Code);
        log = new SilentLog();
        // Nobody asked for the default folder.
        Build(temp, "stored", new StoreSettings(temp["file/store"], null, StoreMode.ReadWrite, long.MaxValue, true), log);
        Assert.IsEmpty(log.Warnings);
    }

    [TestMethod]
    public void Two_builds_of_one_model_do_the_work_once()
    {
        using var temp = new TempFolder();
        var results = new BuildResult[2];
        Parallel.For(0, 2, i => results[i] = Build(temp, $"engine{i}", true));
        CollectionAssert.AreEquivalent((string[])["built", "store"], results.Select(r => r.Report.Stages!["model"]).ToArray());
        AssertSameFolders(temp["engine0"], temp["engine1"], except: "manifest.json");
    }

    [TestMethod]
    public void A_missed_gate_can_warn_or_ship_the_float_model()
    {
        using var temp = new TempFolder();
        var log = new SilentLog();
        var warned = Build(temp, "stored", true, log, ("MinSqnr", "90"), ("OnGateFailure", "Warn"));
        Assert.AreEqual("QSDK5001", log.Warnings.Single().Code);
        Assert.IsNull(warned.Manifest.Fallback);
        Assert.StartsWith("QSDK5001", warned.Report.Missed!.Single());

        log = new SilentLog();
        var fallback = Build(temp, "stored", true, log, ("MinSqnr", "90"), ("OnGateFailure", "Fallback"));
        Assert.AreEqual("QSDK5030", log.Warnings.Single().Code);
        Assert.AreEqual("QSDK5001", fallback.Manifest.Fallback);
        Assert.AreEqual("QSDK5001", ManifestFile.Read(temp["stored/manifest.json"]).Fallback);
        Assert.Contains("float", fallback.Summary);
        Assert.Contains("in place of int8, which missed QSDK5001", fallback.Summary);
        Build(temp, "float", false, ("Precision", "none"), ("CalibrationData", ""));
        AssertSameFolders(temp["float"], temp["stored"], except: "manifest.json");
        // An app is told.
        var said = new List<string>();
        using var model = QuantizedModel.Load(temp["stored"], null, said.Add);
        Assert.IsTrue(said.Exists(s => s.Contains("QSDK5001", StringComparison.Ordinal)));
    }

    [TestMethod]
    public void A_speedup_nobody_reaches_fails_and_one_that_anything_reaches_does_not()
    {
        using var temp = new TempFolder();
        Assert.AreEqual("QSDK5020", Assert.ThrowsExactly<QuantSdkException>(() => Build(temp, "stored", true, ("MinSpeedup", "500"))).Code);
        var fast = Build(temp, "stored", true, ("MinSpeedup", "0.01"));
        Assert.AreEqual("store", fast.Report.Stages!["model"], "timing is no part of the stored result");
        Assert.IsTrue(fast.Report.Speedup is { Median: > 0.01, Pairs: >= 15 });
    }

    private static BuildResult Build(TempFolder temp, string name, bool store, params (string Key, string Value)[] metadata) => Build(temp, name, store, null, metadata);

    private static BuildResult Build(TempFolder temp, string name, bool store, SilentLog? log, params (string Key, string Value)[] metadata) =>
        Build(temp, name, store ? new StoreSettings(temp["store"], null, StoreMode.ReadWrite, long.MaxValue, false) : null, log, metadata);

    private static BuildResult Build(TempFolder temp, string name, StoreSettings settings, params (string Key, string Value)[] metadata) => Build(temp, name, settings, null, metadata);

    private static BuildResult Build(TempFolder temp, string name, StoreSettings? settings, SilentLog? log, params (string Key, string Value)[] metadata)
    {
        var all = new Dictionary<string, string> { ["CalibrationData"] = "digits_calib.npz" };
        foreach (var (key, value) in metadata)
            all[key] = value;
        // Engines of one name, so that manifests can be compared.
        var model = name is "stored" or "alone" ? "digits" : name;
        return ModelBuilder.Build(
            new BuildRequest(model, Repository.Digits("digits_cnn.onnx"), Repository.Digits(""), temp[name], temp[name + ".report.json"], 2, all, null, settings), log ?? new SilentLog(), default);
    }

    private static void AssertSameFolders(string expected, string actual, string? except = null)
    {
        string[] files = Listing(expected);
        CollectionAssert.AreEqual(files, Listing(actual));
        foreach (var file in files.Where(f => f != except))
            CollectionAssert.AreEqual(File.ReadAllBytes(Path.Combine(expected, file)), File.ReadAllBytes(Path.Combine(actual, file)), file);
    }

    private static string[] Listing(string folder) =>
        [.. Directory.GetFiles(folder, "*", SearchOption.AllDirectories).Select(f => Path.GetRelativePath(folder, f)).Order(StringComparer.Ordinal)];
}
