using QuantSdk.Calibration;
using QuantSdk.Planning;

namespace QuantSdk.Tests.Planning;

[TestClass]
public sealed class AtomTests
{
    [TestMethod]
    public void The_value_of_a_third_of_the_positions_is_an_atom()
    {
        // Channel 0 is 1.69 at every third position, channel 1 never twice the same.
        var positions = new float[2 * 300];
        for (var p = 0; p < 300; p++)
            (positions[2 * p], positions[2 * p + 1]) = (p % 3 == 0 ? 1.69f : p / 300f, -p / 300f);

        var atoms = Atom.Of(new ChannelSample(2, [0, -1], [1.69f, 0], positions, 300));

        Assert.AreEqual(1.69f, atoms[0].Value, 1e-3f);
        Assert.AreEqual(100 / 300.0, atoms[0].Share, 1e-2);
        Assert.AreEqual(0, atoms[1].Share);
    }

    [TestMethod]
    [DataRow(1.69f, 0.07)]
    [DataRow(-0.654f, 0.02)]
    [DataRow(10f, 0.03)]
    public void A_widened_grid_has_the_value_on_it(float value, double step)
    {
        var widening = new Atom(value, 0.3).Widening(step);

        var codes = value / (step * widening);
        Assert.AreEqual(Math.Round(codes), codes, 1e-6);
        Assert.IsGreaterThanOrEqualTo(1, widening);
        Assert.IsLessThan(1.05, widening);
    }

    [TestMethod]
    public void A_grid_is_left_alone_where_wider_steps_would_cost_more()
    {
        // Next to two steps: the grid would have to be half as wide again for one value in twenty.
        Assert.AreEqual(1, new Atom(1.49f, 0.001).Widening(1));
        Assert.AreEqual(1, new Atom(0.4f, 0.9).Widening(1), "less than a step has no multiple");
        Assert.AreEqual(1, default(Atom).Widening(1));
    }

    [TestMethod]
    public void A_centre_moves_by_less_than_a_step_and_leaves_the_value_on_the_grid()
    {
        var centre = new Atom(1.69f, 0.3).Centre(0.5f, 0.07f);

        Assert.AreEqual(0.5f, centre, 0.035f + 1e-6f);
        var codes = (1.69 - centre) / 0.07;
        Assert.AreEqual(Math.Round(codes), codes, 1e-4);
    }

    [TestMethod]
    public void What_a_sample_missed_is_counted_up_to_the_exact_extremes()
    {
        // 64 of 4096 exponential values: the sample's largest is far below the exact one.
        var random = new Random(1);
        var all = Enumerable.Range(0, 4096).Select(_ => (float)-Math.Log(1 - random.NextDouble())).ToArray();
        var sample = new ChannelSample(1, [all.Min()], [all.Max()], [.. all.Where((_, i) => i % 64 == 0)], all.Length);

        var histogram = sample.Distribution([1], null, [1]);

        Assert.AreEqual(all.Max(), histogram.Max, 1e-6f);
        long total = 0, beyond = 0;
        var limit = sample.SampleExtremes().High[0];
        for (var bin = 0; bin < Bf16Histogram.BinsPerSign; bin++)
        {
            total += histogram.Positive[bin];
            beyond += Bf16Histogram.Edge(bin) > limit ? histogram.Positive[bin] : 0;
        }
        Assert.AreEqual(4096, total, 4096 * 0.1);
        Assert.AreEqual(all.Count(x => x > limit), beyond, 64);
        Assert.IsGreaterThan(8, beyond);
    }
}
