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

    /// <summary>Of flow matching, x = (1−σ)·x0 + σ·ε: dx/dσ = ε − x0.</summary>
    public static readonly Prediction Flow = new();

    private const string FlowName = "flow_prediction";

    private Prediction()
    {
    }

    public static Prediction Read(SamplerConfig config) => config.Choice("prediction_type", "epsilon", "epsilon", "v_prediction", "sample") switch
    {
        "epsilon" => Epsilon,
        "v_prediction" => Velocity,
        _ => Clean,
    };

    /// <summary>For classes that know flow matching, too.</summary>
    public static Prediction ReadWithFlow(SamplerConfig config) =>
        config.Choice("prediction_type", "epsilon", "epsilon", "v_prediction", "sample", FlowName) == FlowName ? Flow : Read(config);

    /// <summary>x0 = Sample·sample + Output·output.</summary>
    /// <param name="signal">√ᾱ.</param>
    /// <param name="noise">√(1−ᾱ).</param>
    public (double Sample, double Output) ToClean(double signal, double noise) =>
        this == Epsilon ? (1 / signal, -noise / signal)
        : this == Velocity ? (signal, -noise)
        : this == Flow ? (1, -noise)
        : (0, 1);

    /// <summary>ε = Sample·sample + Output·output.</summary>
    /// <param name="signal">√ᾱ.</param>
    /// <param name="noise">√(1−ᾱ).</param>
    public (double Sample, double Output) ToNoise(double signal, double noise) =>
        this == Epsilon ? (0, 1)
        : this == Velocity ? (noise, signal)
        : this == Flow ? (1, signal)
        : (1 / noise, -signal / noise);
}
