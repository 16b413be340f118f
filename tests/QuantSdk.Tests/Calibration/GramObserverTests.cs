using QuantSdk.Calibration;
using QuantSdk.Onnx;

namespace QuantSdk.Tests.Calibration;

[TestClass]
public sealed class GramObserverTests
{
    [TestMethod]
    public void A_convolution_reads_what_plain_loops_read()
    {
        const int Channels = 2, Height = 5, Width = 4;
        var conv = Nodes.Create("Conv", "c", ["x", "w"], ["y"]).With("pads", 1, 0, 1, 1).With("strides", 2, 1).With("dilations", 1, 2);
        var patches = Patches.Of(conv, [3, Channels, 3, 2])!;
        var random = new Random(3);
        float[] image = [.. Enumerable.Range(0, Channels * Height * Width).Select(_ => random.NextSingle() - 0.3f)];
        // (5 + 1 + 1 − 3)/2 + 1 rows, (4 + 0 + 1 − 3)/1 + 1 columns.
        const int Down = 3, Across = 3;
        var vectors = new List<float[]>();
        for (var y = 0; y < Down; y++)
        {
            for (var x = 0; x < Across; x++)
            {
                var vector = new List<float>();
                for (var c = 0; c < Channels; c++)
                {
                    for (var ky = 0; ky < 3; ky++)
                    {
                        for (var kx = 0; kx < 2; kx++)
                        {
                            var (row, column) = (y * 2 - 1 + ky, x + kx * 2);
                            vector.Add(row is >= 0 and < Height && column is >= 0 and < Width ? image[(c * Height + row) * Width + column] : 0);
                        }
                    }
                }
                vectors.Add([.. vector]);
            }
        }

        var observer = new GramObserver(patches, positionsPerRow: 1000);
        observer.Add(image, [1, Channels, Height, Width], 1);
        var gram = observer.Finish();

        Assert.AreEqual(Down * Across, gram.Count);
        for (var i = 0; i < gram.Size; i++)
        {
            Assert.AreEqual(vectors.Sum(v => (double)v[i]), gram.Sum[i], 1e-5);
            for (var j = 0; j < gram.Size; j++)
                Assert.AreEqual(vectors.Sum(v => (double)v[i] * v[j]), gram.Products[i * gram.Size + j], 1e-5);
        }
    }

    [TestMethod]
    public void The_centred_Hessian_is_the_covariance_of_what_was_divided()
    {
        var observer = new GramObserver(Patches.Linear(2), 10);
        observer.Add([1, 2, 3, 8], [1, 2, 2], 1);

        // x − mean is ∓(1, 3); divided by (1, 2).
        CollectionAssert.AreEqual(new[] { 1, 1.5, 1.5, 2.25 }, observer.Finish().Hessian([1, 2], centred: true));
    }
}
