using QuantSdk.Calibration;
using QuantSdk.Runtime;

namespace QuantSdk.Bench;

/// <summary>The loop that makes digits: labels 0 to 9 in turn, guided.</summary>
/// <param name="encoder">The model that turns labels into conditioning.</param>
/// <param name="golden">100 images that PyTorch made with the float model, with the noise they came from.</param>
/// <param name="goldenSteps">Steps they took.</param>
/// <param name="constants">Conditioning that is the same for every row.</param>
internal sealed class DiffusionProtocol(Sampler sampler, DiffusionRoles roles, string encoder, string golden, int goldenSteps, IReadOnlyDictionary<string, ModelTensor> constants)
{
    public const int Steps = 20;
    public const float Guidance = 2;
    public const int Classes = 10;

    /// <summary>The prompt encoder's label for "no prompt".</summary>
    private const long NoLabel = 10;

    public Sampler Sampler => sampler;

    public DiffusionRoles Roles => roles;

    public string Encoder => encoder;

    public string Golden => Path.Combine(Repository.Root, "tests", "data", "golden", golden);

    public int GoldenSteps => goldenSteps;

    public IReadOnlyList<long> SampleShape { get; } = [1, 32, 32];

    public SamplingSource Source(int rows, long seed) => new(sampler, roles, Conditioning(rows), SampleShape, rows, Steps, Guidance, seed);

    /// <summary>Torch's CPU normal numbers, row i of seed + i.</summary>
    public ModelTensor Noise(int rows, long seed)
    {
        var length = (int)SampleShape.Aggregate(1L, (a, b) => a * b);
        var noise = new float[rows * length];
        for (var row = 0; row < rows; row++)
            TorchRandom.Normal(seed + row, noise.AsSpan(row * length, length));
        return ModelTensor.Create(noise, [rows, .. SampleShape]);
    }

    /// <summary>Row i is asked for the digit i mod 10.</summary>
    public Conditioning Conditioning(int rows)
    {
        using var session = ModelSession.Open(encoder, new SessionSettings());
        return new Conditioning(Encode([.. Enumerable.Range(0, rows).Select(i => (long)i % Classes)]), Encode([.. Enumerable.Repeat(NoLabel, rows)]));

        Dictionary<string, ModelTensor> Encode(long[] labels) =>
            session.Run(new Dictionary<string, ModelTensor> { ["label"] = ModelTensor.Create(labels, labels.Length) }).Concat(constants).ToDictionary();
    }
}
