using System.Runtime.InteropServices;
using QuantSdk.Calibration;
using QuantSdk.Onnx;
using QuantSdk.Planning;
using QuantSdk.Recipes;
using QuantSdk.Runtime;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Bench;

/// <summary>A model of the protocol by which the peers were measured, with the data it is calibrated on and judged by.</summary>
/// <param name="Labels">The true class of every test row, for the classifier.</param>
internal sealed record ProtocolModel(string Name, string Path, Recipe Recipe, CalibrationSource Calibration, CalibrationSource Test, IReadOnlyList<int> Labels)
{
    public static IReadOnlyList<string> Names { get; } = ["unet", "mmdit", "cnn"];

    private const int Steps = 20;
    private const float Guidance = 2;
    private const int Classes = 10;

    /// <summary>The prompt encoder's label for "no prompt".</summary>
    private const long NoLabel = 10;

    /// <summary>Far from the calibration's seeds.</summary>
    private const long TestSeed = 1000;

    public static ProtocolModel Read(string name) => name switch
    {
        // SDXL's time ids: original height and width, crop top and left, target height and width.
        "unet" => Diffusion(name, System.IO.Path.Combine(Repository.Digits, "unet.onnx"), new() { ["time_ids"] = ModelTensor.Create<float>([32, 32, 0, 0, 32, 32], 1, 6) }),
        "mmdit" => Diffusion(name, System.IO.Path.Combine(Repository.CachedDiffusion, "transformer.onnx"), []),
        "cnn" => Classifier(),
        _ => throw new ArgumentOutOfRangeException(nameof(name), name, string.Join(", ", Names)),
    };

    /// <summary>Labels 0 to 9 twice for calibration and once, with other noise, for the test.</summary>
    private static ProtocolModel Diffusion(string name, string path, Dictionary<string, ModelTensor> constants)
    {
        var folder = System.IO.Path.GetDirectoryName(path)!;
        var recipe = new Recipe { Name = name, Scheduler = System.IO.Path.Combine(folder, "scheduler", "scheduler_config.json"), Steps = Steps, GuidanceScale = Guidance };
        var sampler = Sampler.FromConfig(recipe.Scheduler);
        var roles = Roles.Find(OnnxFile.Load(path), recipe)!;
        using var encoder = ModelSession.Open(System.IO.Path.Combine(folder, "prompt_encoder.onnx"), new SessionSettings());
        return new ProtocolModel(name, path, recipe, Source(2 * Classes, 0), Source(Classes, TestSeed), []);

        SamplingSource Source(int rows, long seed)
        {
            var positive = Encode([.. Enumerable.Range(0, rows).Select(i => (long)i % Classes)]);
            var negative = Encode([.. Enumerable.Repeat(NoLabel, rows)]);
            return new SamplingSource(sampler, roles, new Conditioning(positive, negative), [1, 32, 32], rows, Steps, Guidance, seed);
        }

        Dictionary<string, ModelTensor> Encode(long[] labels) =>
            encoder.Run(new Dictionary<string, ModelTensor> { ["label"] = ModelTensor.Create(labels, labels.Length) }).Concat(constants).ToDictionary();
    }

    private static ProtocolModel Classifier()
    {
        var path = System.IO.Path.Combine(Repository.Digits, "digits_cnn.onnx");
        var calibration = CalibrationFiles.Read([System.IO.Path.Combine(Repository.Digits, "digits_calib.npz")], null)["image"];
        var test = CalibrationFiles.Read([System.IO.Path.Combine(Repository.Digits, "digits_test.npz")], null);
        using var session = ModelSession.Open(path, new SessionSettings());
        RowSource Rows(NpyArray images) => new(Feed.Fit(new Dictionary<string, NpyArray> { ["image"] = images }, session.Inputs, path));
        return new ProtocolModel("cnn", path, new Recipe { Name = "cnn" }, Rows(calibration), Rows(Scaled(test["image"])), [.. test["label"].Data.ToArray().Select(l => (int)l)]);
    }

    /// <summary>The test images are bytes; the classifier was trained on x/127.5 − 1, as the calibration images are stored.</summary>
    private static NpyArray Scaled(NpyArray images)
    {
        var values = Array.ConvertAll(images.Data.ToArray(), pixel => pixel / 127.5f - 1);
        return images with { Type = DataType.Float, Data = MemoryMarshal.AsBytes(values.AsSpan()).ToArray() };
    }
}
