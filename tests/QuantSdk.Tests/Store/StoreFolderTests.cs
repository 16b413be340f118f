using QuantSdk.Runtime;
using QuantSdk.Store;

namespace QuantSdk.Tests.Store;

[TestClass]
public sealed class StoreFolderTests
{
    [TestMethod]
    public void What_was_not_used_for_longest_goes_first_and_shared_files_stay()
    {
        using var temp = new TempFolder();
        var store = new StoreFolder(temp["store"]);
        // 1000 bytes each; b and c share one of theirs.
        Add(store, temp, "a", ["a1"], ageHours: 3);
        Add(store, temp, "b", ["b1", "shared"], ageHours: 2);
        Add(store, temp, "c", ["c1", "shared"], ageHours: 1);
        Assert.AreEqual(4000L, store.Bytes());

        Assert.AreEqual(new StorePruned(1, 1000), store.Prune(3000));
        CollectionAssert.AreEquivalent((string[])["b", "c"], store.Records().Select(r => r.Record!.Name).ToArray());
        // Used again, b outlives c.
        store.Touch(Key("b"));
        Assert.AreEqual(new StorePruned(1, 1000), store.Prune(2500));
        Assert.AreEqual("b", store.Records().Single().Record!.Name);
        Assert.IsTrue(store.TryCopy(store.Find(Key("b"), _ => Assert.Fail())!.Files[1], temp["copy"]));
        Assert.AreEqual(1000, new FileInfo(temp["copy"]).Length);
        Assert.AreEqual(new StorePruned(1, 2000), store.Prune(0));
        Assert.AreEqual(0L, store.Bytes());
    }

    [TestMethod]
    public void A_blob_whose_record_may_still_come_is_left_for_an_hour()
    {
        using var temp = new TempFolder();
        var store = new StoreFolder(temp["store"]);
        File.WriteAllBytes(temp["new"], new byte[10]);
        File.WriteAllBytes(temp["old"], new byte[20]);
        store.AddBlob("x", temp["new"]);
        var old = store.AddBlob("x", temp["old"]);
        File.SetLastWriteTimeUtc(Directory.GetFiles(temp["store"], old.Hash, SearchOption.AllDirectories).Single(), DateTime.UtcNow.AddHours(-2));
        store.Prune(long.MaxValue);
        Assert.AreEqual(10L, store.Bytes());
    }

    [TestMethod]
    public void Verifying_finds_every_flipped_byte_and_deletes_what_needs_it()
    {
        using var temp = new TempFolder();
        var store = new StoreFolder(temp["store"]);
        Add(store, temp, "whole", ["w"], 0);
        Add(store, temp, "flipped", ["f"], 0);
        Add(store, temp, "lost", ["l"], 0);
        Add(store, temp, "record", ["r"], 0);
        Assert.IsEmpty(store.Verify(default));
        Flip(Blob(temp, store, "flipped"), 500);
        File.Delete(Blob(temp, store, "lost"));
        Flip(Directory.GetFiles(temp["store"], Key("record"), SearchOption.AllDirectories).Single(), 100);

        // The blob, its record, the record of the lost one, and the damaged record.
        Assert.HasCount(4, store.Verify(default));
        Assert.AreEqual("whole", store.Records().Single().Record!.Name);
        Assert.IsEmpty(store.Verify(default));
    }

    [TestMethod]
    public void Entries_are_read_only_and_copies_are_not()
    {
        using var temp = new TempFolder();
        var store = new StoreFolder(temp["store"]);
        Add(store, temp, "a", ["a1"], 0);
        store.TryCopy(store.Find(Key("a"), _ => Assert.Fail())!.Files[0], temp["copy"]);
        if (OperatingSystem.IsWindows())
            return;
        Assert.AreEqual(UnixFileMode.None, File.GetUnixFileMode(Blob(temp, store, "a")) & (UnixFileMode.UserWrite | UnixFileMode.GroupWrite | UnixFileMode.OtherWrite));
        Assert.AreNotEqual(UnixFileMode.None, File.GetUnixFileMode(temp["copy"]) & UnixFileMode.UserWrite);
    }

    [TestMethod]
    public void A_record_is_what_was_written_or_nothing()
    {
        var record = new StoreRecord("plan", "m", new Dictionary<string, string> { ["cut"] = "blocks:1-4" }, [new EngineFile("plan.json", 3, new string('a', 64))], [new StoredWarning("QSDK2005", "{name}: random", true)]);
        var bytes = record.Serialize();
        var read = StoreRecord.Deserialize(bytes)!;
        Assert.AreEqual(record.Files[0], read.Files[0]);
        Assert.AreEqual(record.Warnings[0], read.Warnings[0]);
        Assert.AreEqual("blocks:1-4", read.Values["cut"]);
        for (var i = 0; i < bytes.Length; i++)
        {
            var damaged = (byte[])bytes.Clone();
            damaged[i] ^= 1;
            Assert.IsNull(StoreRecord.Deserialize(damaged), $"byte {i}");
            Assert.IsNull(StoreRecord.Deserialize(bytes.AsSpan(0, i)), $"{i} bytes");
        }
    }

    [TestMethod]
    public void The_second_of_two_waits_says_so_once_and_can_be_cancelled()
    {
        using var temp = new TempFolder();
        var waits = 0;
        using var cancellation = new CancellationTokenSource(300);
        using (StoreLock.Take(temp["locks/k"], () => Assert.Fail(), default))
            Assert.ThrowsExactly<OperationCanceledException>(() => StoreLock.Take(temp["locks/k"], () => waits++, cancellation.Token));
        Assert.AreEqual(1, waits);
        StoreLock.Take(temp["locks/k"], () => Assert.Fail(), default).Dispose();
        // No lock where there can be none: the work is done all the same.
        File.WriteAllText(temp["file"], "");
        StoreLock.Take(temp["file/locks/k"], () => Assert.Fail(), default).Dispose();
    }

    [TestMethod]
    [DataRow("sometimes", null, "QSDK6003", "ReadWrite, Read, Off")]
    [DataRow("0", null, "QSDK6003", "ReadWrite, Read, Off")]
    [DataRow(null, "much", "QSDK6003", "gigabytes")]
    [DataRow(null, "0", "QSDK6003", "gigabytes")]
    public void A_setting_that_cannot_be_read_is_an_error(string? mode, string? limit, string code, string says)
    {
        var error = Assert.ThrowsExactly<QuantSdkException>(() => StoreSettings.Parse("store", null, mode, limit, "/project"));
        Assert.AreEqual(code, error.Code);
        Assert.Contains(says, error.Message);
    }

    [TestMethod]
    public void Settings_are_relative_to_the_project()
    {
        var settings = StoreSettings.Parse("store", "../team", "read", "1.5", "/home/me/project")!;
        Assert.AreEqual(new StoreSettings(Path.GetFullPath("/home/me/project/store"), Path.GetFullPath("/home/me/team"), StoreMode.Read, 1_500_000_000, false), settings);
        Assert.IsNull(StoreSettings.Parse("store", null, "off", null, "/project"));
    }

    private static string Key(string name) => StoreKey.Of("test", name);

    private static string Blob(TempFolder temp, StoreFolder store, string name) =>
        Directory.GetFiles(temp["store"], store.Find(Key(name), _ => Assert.Fail())!.Files[0].Hash, SearchOption.AllDirectories).Single();

    private static void Flip(string path, int at)
    {
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        var bytes = File.ReadAllBytes(path);
        bytes[at] ^= 1;
        File.WriteAllBytes(path, bytes);
    }

    private static void Add(StoreFolder store, TempFolder temp, string name, string[] files, int ageHours)
    {
        var blobs = files.Select(f =>
        {
            File.WriteAllBytes(temp[f], [.. Enumerable.Range(0, 1000).Select(i => (byte)(f[i % f.Length] + i))]);
            return store.AddBlob(f, temp[f]);
        }).ToArray();
        store.AddRecord(Key(name), new StoreRecord("test", name, new Dictionary<string, string>(), blobs, []));
        File.SetLastWriteTimeUtc(Directory.GetFiles(temp["store"], Key(name), SearchOption.AllDirectories).Single(), DateTime.UtcNow.AddHours(-ageHours));
    }
}
