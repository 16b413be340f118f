using System.Text.Json;
using System.Text.Json.Nodes;

namespace QuantSdk.Runtime.Tests;

/// <summary>Every recorded run of diffusers' own schedulers: 76 runs of 13 classes on ε(x, t) = 0.3·x·cos(t/300) + 0.05·sin(7x), x in double, with the noise they drew.</summary>
[TestClass]
public sealed class GoldenSamplerTests
{
    private static readonly JsonElement[] Cases = [.. TestData.Json("samplers.json").GetProperty("cases").EnumerateArray()];

    [TestMethod]
    public void The_file_holds_the_expected_cases()
    {
        Assert.HasCount(76, Cases);
        Assert.AreEqual(13, Cases.Select(item => item.GetProperty("scheduler").GetString()).Distinct().Count());
    }

    [TestMethod]
    [DynamicData(nameof(Names))]
    public void Timesteps_and_noise_levels_are_those_of_diffusers(int index, string _)
    {
        var (golden, schedule) = Read(index);
        AssertClose(Doubles(golden.GetProperty("timesteps")), schedule.Timesteps, 1e-6);
        AssertClose(Doubles(golden.GetProperty("sigmas")), schedule.Sigmas, 0);
        Assert.AreEqual(golden.GetProperty("init_noise_sigma").GetDouble(), schedule.InitNoiseSigma, 0);
    }

    [TestMethod]
    [DynamicData(nameof(Names))]
    public void Every_step_lands_where_diffusers_lands(int index, string _)
    {
        var (golden, schedule) = Read(index);
        var error = Run(golden, schedule);
        Assert.IsLessThanOrEqualTo(1e-9, error.Largest, $"largest error {error.Largest:E2}, first above 1e-9 at evaluation {error.First}");
    }

    /// <summary>The same in float, as apps run it.</summary>
    [TestMethod]
    [DynamicData(nameof(Names))]
    public void In_float_every_step_lands_nearby(int index, string _)
    {
        var (golden, schedule) = Read(index);
        var sample = Doubles(golden.GetProperty("initial")).Select(value => (float)value).ToArray();
        var timesteps = Doubles(golden.GetProperty("timesteps"));
        var noise = golden.GetProperty("noise").EnumerateArray().Select(Doubles).GetEnumerator();
        var expected = golden.GetProperty("samples").EnumerateArray().ToArray();
        var scaled = new float[sample.Length];
        for (var i = 0; i < timesteps.Length; i++)
        {
            schedule.ScaleInput(i, sample, scaled);
            var output = scaled.Select(value => (float)Epsilon(value, timesteps[i])).ToArray();
            schedule.Step(i, output, sample, 1, schedule.NeedsNoise(i) && noise.MoveNext() ? [.. noise.Current.Select(value => (float)value)] : default);
            float[] values = [.. Doubles(expected[i]).Select(value => (float)value)];
            Assert.IsLessThan(5e-6, Tensors.RelativeError(sample, values), $"evaluation {i}");
        }
    }

    [TestMethod]
    [DataRow("DDIMScheduler")] // bounded
    [DataRow("EulerAncestralDiscreteScheduler")]
    [DataRow("UniPCMultistepScheduler")]
    public void Steps_allocate_nothing_once_they_have_their_buffers(string scheduler)
    {
        var schedule = Sampler.FromJson($$"""{ "_class_name": "{{scheduler}}", "thresholding": true }""").Schedule(6);
        float[] sample = new float[64], output = new float[64], noise = new float[64];
        Loop();
        var before = GC.GetAllocatedBytesForCurrentThread();
        Loop();
        Assert.AreEqual(before, GC.GetAllocatedBytesForCurrentThread());

        void Loop()
        {
            for (var i = 0; i < 6; i++)
            {
                schedule.ScaleInput(i, sample, output);
                schedule.Step(i, output, sample, 2, noise);
            }
        }
    }

    public static IEnumerable<object[]> Names() => Cases.Select((item, index) => new object[]
    {
        index, $"{item.GetProperty("scheduler").GetString()}, {item.GetProperty("steps").GetInt32()} steps",
    });

    private static (double Largest, int First) Run(JsonElement golden, SamplerSchedule schedule)
    {
        var sample = Doubles(golden.GetProperty("initial"));
        var timesteps = Doubles(golden.GetProperty("timesteps"));
        var noise = golden.GetProperty("noise").EnumerateArray().Select(Doubles).GetEnumerator();
        var expected = golden.GetProperty("samples").EnumerateArray().Select(Doubles).ToArray();
        Assert.HasCount(expected.Length, schedule.Timesteps);
        var (largest, first) = (0.0, -1);
        var scaled = new double[sample.Length];
        for (var i = 0; i < timesteps.Length; i++)
        {
            schedule.ScaleInput<double>(i, sample, scaled);
            var output = Array.ConvertAll(scaled, value => Epsilon(value, timesteps[i]));
            schedule.StepInDouble(i, output, sample, 1, schedule.NeedsNoise(i) && noise.MoveNext() ? noise.Current : default(ReadOnlySpan<double>));
            var error = Math.Sqrt(sample.Zip(expected[i], (a, b) => (a - b) * (a - b)).Sum() / expected[i].Sum(value => value * value));
            largest = Math.Max(largest, error);
            if (!(error <= 1e-9) && first < 0)
                first = i;
        }
        return (largest, first);
    }

    private static double Epsilon(double x, double t) => 0.3 * x * Math.Cos(t / 300) + 0.05 * Math.Sin(7 * x);

    private static (JsonElement Golden, SamplerSchedule Schedule) Read(int index)
    {
        var golden = Cases[index];
        var config = JsonNode.Parse(golden.GetProperty("config").GetRawText())!.AsObject();
        config["_class_name"] = golden.GetProperty("scheduler").GetString()!;
        return (golden, Sampler.FromJson(config.ToJsonString()).Schedule(golden.GetProperty("steps").GetInt32()));
    }

    private static double[] Doubles(JsonElement values) => [.. values.EnumerateArray().Select(value => value.GetDouble())];

    private static void AssertClose(double[] expected, IReadOnlyList<float> actual, double relative)
    {
        Assert.HasCount(expected.Length, actual);
        for (var i = 0; i < expected.Length; i++)
            Assert.AreEqual(expected[i], actual[i], relative * Math.Max(1e-3, Math.Abs(expected[i])), $"entry {i}");
    }
}
