namespace QuantSdk.Runtime.Tests;

/// <summary>A GPU has a copy of an input, which must be made again exactly where the host's memory may have changed.</summary>
[TestClass]
public sealed class BoundInputTests
{
    private static readonly Port Pair = new("x", TensorType.Of("float")!, [2], [""]);

    [TestMethod]
    public void What_is_copied_in_counts_once()
    {
        using var input = new BoundInput(Pair, [2]);
        using var borrower = new BoundInput(Pair, input);
        var writes = input.Writes;
        input.Write([0, 0, 128, 63, 0, 0, 0, 64]);
        Assert.AreNotEqual(writes, input.Writes);
        Assert.AreEqual(input.Writes, borrower.Writes);
        Assert.IsFalse(borrower.IsOpen);
        CollectionAssert.AreEqual(new[] { 1f, 2f }, borrower.Value.GetTensorDataAsSpan<float>().ToArray());
    }

    [TestMethod]
    public void A_span_that_was_handed_out_may_be_written_at_any_time()
    {
        using var input = new BoundInput(Pair, [2]);
        using var borrower = new BoundInput(Pair, input);
        Assert.IsFalse(input.IsOpen);
        input.Open<float>()[1] = 3;
        Assert.IsTrue(input.IsOpen);
        Assert.IsTrue(borrower.IsOpen);
    }

    [TestMethod]
    public void Other_lent_memory_counts_as_written()
    {
        using var first = new BoundInput(Pair, [2]);
        using var second = new BoundInput(Pair, [2]);
        using var borrower = new BoundInput(Pair, [2], first.Value);
        var writes = borrower.Writes;
        borrower.Lend(first.Value);
        Assert.AreEqual(writes, borrower.Writes);
        borrower.Lend(second.Value);
        Assert.AreNotEqual(writes, borrower.Writes);
        Assert.AreSame(second.Value, borrower.Value);
    }

    [TestMethod]
    public void Memory_keeps_bytes_while_nobody_else_may_write_it()
    {
        using var input = new BoundInput(Pair, [2]);
        byte[] ones = [0, 0, 128, 63, 0, 0, 128, 63], twos = [0, 0, 0, 64, 0, 0, 0, 64];
        input.Write(ones);
        Assert.IsTrue(input.Keeps(ones));
        Assert.IsFalse(input.Keeps(twos));
        _ = input.Open<float>();
        Assert.IsFalse(input.Keeps(ones), "it may have held something else in a run between");
    }
}
