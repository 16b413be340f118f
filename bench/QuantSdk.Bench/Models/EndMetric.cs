using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using System.Text.Json;
using QuantSdk.Calibration;
using QuantSdk.Runtime;

namespace QuantSdk.Bench;

/// <summary>One number of what a model is for.</summary>
internal sealed record Score(string Name, double Value);

/// <summary>What a model is for, measured: the first score is the one that figures are named after.</summary>
internal abstract class EndMetric
{
    public abstract IReadOnlyList<Score> Measure(ModelSession session);

    /// <summary>The metric of a model, or null where it has none (random weights).</summary>
    /// <param name="reference">The float model, open as long as the metric is used.</param>
    public static EndMetric? Of(ProtocolModel model, ModelSession reference) => model switch
    {
        { Diffusion: not null } => new DigitsMetric(model.Diffusion),
        { Name: "ocr" } => new OcrMetric(model.Test, reference),
        { Labels.Count: > 0 } => new Top1Metric(model.Test, model.Labels),
        _ => null,
    };
}

/// <summary>Share of test rows whose largest logit is that of their label.</summary>
internal sealed class Top1Metric(CalibrationSource test, IReadOnlyList<int> labels) : EndMetric
{
    private const int Batch = 50;

    public override IReadOnlyList<Score> Measure(ModelSession session) => [new("top-1", Accuracy(session))];

    public double Accuracy(ModelSession session)
    {
        int row = 0, right = 0;
        test.Run(session, (feed, _) => feed.Batch ?? Batch, (binding, rows) =>
        {
            var logits = binding.Output<float>(session.Outputs[0].Name);
            var classes = logits.Length / rows;
            for (var i = 0; i < rows; i++)
                right += TensorPrimitives.IndexOfMax(logits.Slice(i * classes, classes)) == labels[row++] ? 1 : 0;
        }, null, CancellationToken.None);
        return (double)right / row;
    }
}

/// <summary>
/// Digits made by the model in a loop of its own, from the noise and with the steps of the golden images that PyTorch made with the float model:
/// how many of them the classifier of the samples takes for what was asked for, and how far the images are from the golden ones, ‖q − f‖ / ‖f‖ over
/// all of them.
/// </summary>
internal sealed class DigitsMetric(DiffusionProtocol diffusion) : EndMetric
{
    /// <summary>Images made at once: few enough for small tensors.</summary>
    private const int Batch = 20;

    public override IReadOnlyList<Score> Measure(ModelSession session)
    {
        var golden = CalibrationFiles.Read([diffusion.Golden], null);
        var reference = MemoryMarshal.Cast<byte, float>(golden["images"].Data.Span);
        var images = Make(session, MemoryMarshal.Cast<byte, float>(golden["latents"].Data.Span));
        return [new("accuracy", DigitsClassifier.Accuracy(images, golden["label"].Data.Span, diffusion.SampleShape)), new("image error", TensorPrimitives.Distance(images, reference) / TensorPrimitives.Norm(reference))];
    }

    /// <summary>Images from noise; the labels are 0 to 9 in turn, as the golden ones are.</summary>
    private float[] Make(ModelSession session, ReadOnlySpan<float> noise)
    {
        var length = (int)diffusion.SampleShape.Aggregate(1L, (a, b) => a * b);
        var images = new float[noise.Length];
        using var denoiser = new ModelDenoiser(session, diffusion.Roles);
        var pipeline = new DiffusionPipeline(denoiser, diffusion.Sampler);
        for (var start = 0; start < noise.Length; start += Batch * length)
        {
            var latents = ModelTensor.Create<float>(noise.Slice(start, Batch * length).ToArray(), [Batch, .. diffusion.SampleShape]);
            pipeline.Run(latents, diffusion.Conditioning(Batch), diffusion.GoldenSteps, DiffusionProtocol.Guidance).AsSpan<float>().CopyTo(images.AsSpan(start));
        }
        return images;
    }
}

/// <summary>The classifier of the samples, as a judge of generated digits.</summary>
internal static class DigitsClassifier
{
    /// <summary>Share of images that it takes for their labels.</summary>
    public static double Accuracy(float[] images, ReadOnlySpan<byte> labels, IReadOnlyList<long> sampleShape)
    {
        using var classifier = ModelSession.Open(Path.Combine(Repository.Digits, "digits_cnn.onnx"), new SessionSettings { Threads = Quantisation.Threads });
        var logits = classifier.Run(new Dictionary<string, ModelTensor> { [classifier.Inputs[0].Name] = ModelTensor.Create(images, [labels.Length, .. sampleShape]) })[classifier.Outputs[0].Name].AsSpan<float>();
        var (classes, right) = (logits.Length / labels.Length, 0);
        for (var i = 0; i < labels.Length; i++)
            right += TensorPrimitives.IndexOfMax(logits.Slice(i * classes, classes)) == labels[i] ? 1 : 0;
        return (double)right / labels.Length;
    }
}

/// <summary>Lines read without a mistake but for spaces around them, and the share of frames whose most probable character is the float model's.</summary>
internal sealed class OcrMetric : EndMetric
{
    private const int Batch = 16;

    private readonly CalibrationSource _test;
    private readonly string[] _text = JsonSerializer.Deserialize<string[]>(File.ReadAllText(ProtocolModel.RealData("ppocr_rec", "test_text.json")))!;

    /// <summary>PaddleOCR's convention: class 0 is CTC's blank, then the keys line by line, then the space.</summary>
    private readonly string[] _characters = ["", .. File.ReadAllText(ProtocolModel.RealData("ppocr_rec", "ppocr_keys_v1.txt")).TrimEnd('\n').Split('\n'), " "];

    private readonly int[][] _reference;

    public OcrMetric(CalibrationSource test, ModelSession reference)
    {
        _test = test;
        _reference = Frames(reference);
    }

    public override IReadOnlyList<Score> Measure(ModelSession session)
    {
        var lines = Frames(session);
        var right = lines.Zip(_text).Count(line => Read(line.First).Trim() == line.Second);
        var same = lines.Zip(_reference).Sum(pair => pair.First.Zip(pair.Second).Count(frame => frame.First == frame.Second));
        return [new("exact lines", (double)right / lines.Length), new("frames", (double)same / _reference.Sum(line => line.Length))];
    }

    /// <summary>The most probable class of every frame of every line.</summary>
    private int[][] Frames(ModelSession session)
    {
        var lines = new List<int[]>();
        _test.Run(session, (feed, _) => feed.Batch ?? Batch, (binding, rows) =>
        {
            var name = session.Outputs[0].Name;
            var values = binding.Output<float>(name);
            var shape = binding.OutputShape(name);
            int frames = (int)shape[1], classes = (int)shape[2];
            for (var row = 0; row < rows; row++)
            {
                var line = new int[frames];
                for (var frame = 0; frame < frames; frame++)
                    line[frame] = TensorPrimitives.IndexOfMax(values.Slice((row * frames + frame) * classes, classes));
                lines.Add(line);
            }
        }, null, CancellationToken.None);
        return [.. lines];
    }

    /// <summary>Greedy CTC: repeats are one character, blanks none.</summary>
    private string Read(int[] frames) => string.Concat(frames.Where((c, i) => c != 0 && (i == 0 || frames[i - 1] != c)).Select(c => _characters[c]));
}
