using QuantSdk.Calibration;

namespace QuantSdk.Tests.Calibration;

[TestClass]
public sealed class ChannelObserverTests
{
    private const int Channels = 3, Positions = 50, Rows = 40;

    [TestMethod]
    [DataRow(true)]
    [DataRow(false)]
    public void Neither_order_nor_batches_change_what_is_kept(bool last)
    {
        var rows = Data(last);
        var one = new ChannelObserver(new ChannelLayout(Channels, last), 100);
        one.Add(rows.SelectMany(r => r).ToArray(), Rows);
        var other = new ChannelObserver(new ChannelLayout(Channels, last), 100);
        foreach (var row in rows.Reverse())
            other.Add(row, 1);
        var (a, b) = (one.Finish(), other.Finish());

        Assert.AreEqual(100, a.Count);
        CollectionAssert.AreEqual(a.Positions, b.Positions);
        CollectionAssert.AreEqual(a.Min, b.Min);
    }

    [TestMethod]
    [DataRow(true)]
    [DataRow(false)]
    public void Extremes_are_exact_and_every_position_kept_was_there(bool last)
    {
        var rows = Data(last);
        var observer = new ChannelObserver(new ChannelLayout(Channels, last), 100);
        observer.Add(rows.SelectMany(r => r).ToArray(), Rows);
        var sample = observer.Finish();
        float At(float[] row, int position, int channel) => last ? row[position * Channels + channel] : row[channel * Positions + position];
        var all = rows.SelectMany(r => Enumerable.Range(0, Positions).Select(p => (At(r, p, 0), At(r, p, 1), At(r, p, 2)))).ToHashSet();

        for (var c = 0; c < Channels; c++)
        {
            Assert.AreEqual(rows.Min(r => Enumerable.Range(0, Positions).Min(p => At(r, p, c))), sample.Min[c]);
            Assert.AreEqual(rows.Max(r => Enumerable.Range(0, Positions).Max(p => At(r, p, c))), sample.Max[c]);
        }
        for (var p = 0; p < sample.Count; p++)
            Assert.Contains((sample.Position(p)[0], sample.Position(p)[1], sample.Position(p)[2]), all);
    }

    private static float[][] Data(bool last)
    {
        var random = new Random(last ? 1 : 2);
        return [.. Enumerable.Range(0, Rows).Select(_ => Enumerable.Range(0, Channels * Positions).Select(_ => random.NextSingle() * 4 - 1).ToArray())];
    }
}
