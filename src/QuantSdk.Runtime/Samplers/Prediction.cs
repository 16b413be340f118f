namespace QuantSdk.Runtime;

/// <summary>
/// What a variance-preserving model predicts, as the linear maps from (sample, output) to the clean sample x0 and to the noise ε:
/// x = √ᾱ·x0 + √(1−ᾱ)·ε and v = √ᾱ·ε − √(1−ᾱ)·x0.
/// </summary>
internal sealed class Prediction
{
    public static readonly Prediction Epsilon = new();
    public static readonly Prediction Velocity = new();
    public static readonly Prediction Clean = new();

    private Prediction()
    {
    }

    public static Prediction Read(SamplerConfig config) => config.Choice("prediction_type", "epsilon", "epsilon", "v_prediction", "sample") switch
    {
        "epsilon" => Epsilon,
        "v_prediction" => Velocity,
        _ => Clean,
    };

    /// <summary>x0 = Sample·sample + Output·output.</summary>
    /// <param name="signal">√ᾱ.</param>
    /// <param name="noise">√(1−ᾱ).</param>
    public (double Sample, double Output) ToClean(double signal, double noise) =>
        this == Epsilon ? (1 / signal, -noise / signal)
        : this == Velocity ? (signal, -noise)
        : (0, 1);

    /// <summary>ε = Sample·sample + Output·output.</summary>
    /// <param name="signal">√ᾱ.</param>
    /// <param name="noise">√(1−ᾱ).</param>
    public (double Sample, double Output) ToNoise(double signal, double noise) =>
        this == Epsilon ? (0, 1)
        : this == Velocity ? (noise, signal)
        : (1 / noise, -signal / noise);
}
