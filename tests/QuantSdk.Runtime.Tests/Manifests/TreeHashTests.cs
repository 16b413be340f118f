using System.Security.Cryptography;

namespace QuantSdk.Runtime.Tests;

[TestClass]
public sealed class TreeHashTests
{
    private const int Leaf = 4 * 1024 * 1024;

    private readonly string _file = Path.GetTempFileName();

    [TestCleanup]
    public void Delete() => File.Delete(_file);

    [TestMethod]
    [DataRow(0)]
    [DataRow(1)]
    [DataRow(Leaf - 1)]
    [DataRow(Leaf)]
    [DataRow(Leaf + 1)]
    [DataRow(3 * Leaf + 12345)]
    public void The_hash_is_that_of_the_definition(int length)
    {
        var bytes = new byte[length];
        new Random(length).NextBytes(bytes);
        File.WriteAllBytes(_file, bytes);
        var leaves = bytes.Chunk(Leaf).SelectMany(SHA256.HashData).ToArray();
        var expected = Convert.ToHexString(SHA256.HashData(leaves)).ToLowerInvariant();
        Assert.AreEqual(expected, TreeHash.OfFile(_file));
        CollectionAssert.AreEqual(new[] { expected, expected }, TreeHash.OfFiles([_file, _file], threads: 5).ToArray());
        CollectionAssert.AreEqual(new[] { expected }, TreeHash.OfFiles([_file], threads: 1).ToArray());
    }

    [TestMethod]
    public void An_empty_file_has_no_leaves() =>
        Assert.AreEqual("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", TreeHash.OfFile(_file)); // SHA-256 of nothing

    [TestMethod]
    public void A_missing_file_is_reported_as_such() => Assert.ThrowsExactly<FileNotFoundException>(() => TreeHash.OfFiles([_file, _file + ".none"], threads: 2));
}
