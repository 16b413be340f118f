using System.Text.Json;
using System.Text.Json.Nodes;

namespace QuantSdk.Runtime.Tests;

/// <summary>Every recorded run of diffusers' own schedulers that this version can read.</summary>
[TestClass]
public sealed class GoldenSamplerTests
{
    private static readonly string[] Supported = ["DDIMScheduler", "FlowMatchEulerDiscreteScheduler"];

    private static readonly JsonElement[] Cases = [.. TestData.Json("samplers.json").GetProperty("cases").EnumerateArray()
        .Where(item => Supported.Contains(item.GetProperty("scheduler").GetString()))];

    [TestMethod]
    public void The_file_holds_the_expected_number_of_cases() => Assert.HasCount(16, Cases);

    [TestMethod]
    [DynamicData(nameof(Names))]
    public void Timesteps_and_noise_levels_are_those_of_diffusers(int index, string _)
    {
        var (golden, schedule) = Read(index);
        AssertClose(Floats(golden, "timesteps"), schedule.Timesteps, 1e-6);
        AssertClose(Floats(golden, "sigmas"), schedule.Sigmas, 1e-6);
        Assert.AreEqual(golden.GetProperty("init_noise_sigma").GetDouble(), schedule.InitNoiseSigma, 1e-6);
    }

    [TestMethod]
    [DynamicData(nameof(Names))]
    public void Every_step_lands_where_diffusers_lands(int index, string _)
    {
        var (golden, schedule) = Read(index);
        var sample = Floats(golden, "initial");
        var scaled = new float[sample.Length];
        var output = new float[sample.Length];
        var step = 0;
        foreach (var expected in golden.GetProperty("samples").EnumerateArray())
        {
            schedule.ScaleInput(step, sample, scaled);
            for (var i = 0; i < sample.Length; i++)
                output[i] = (float)(0.3 * scaled[i] * Math.Cos(schedule.Timesteps[step] / 300.0) + 0.05 * Math.Sin(7.0 * scaled[i]));
            schedule.Step(step++, output, sample);
            float[] values = [.. expected.EnumerateArray().Select(value => (float)value.GetDouble())];
            Assert.IsLessThan(2e-6, Tensors.RelativeError(sample, values), $"step {step}");
        }
        Assert.AreEqual(schedule.Timesteps.Count, step);
    }

    public static IEnumerable<object[]> Names() => Cases.Select((item, index) => new object[]
    {
        index, $"{item.GetProperty("scheduler").GetString()}, {item.GetProperty("steps").GetInt32()} steps",
    });

    private static (JsonElement Golden, SamplerSchedule Schedule) Read(int index)
    {
        var golden = Cases[index];
        var config = JsonNode.Parse(golden.GetProperty("config").GetRawText())!.AsObject();
        config["_class_name"] = golden.GetProperty("scheduler").GetString();
        return (golden, Sampler.FromJson(config.ToJsonString()).Schedule(golden.GetProperty("steps").GetInt32()));
    }

    private static float[] Floats(JsonElement golden, string name) => [.. golden.GetProperty(name).EnumerateArray().Select(value => (float)value.GetDouble())];

    private static void AssertClose(IReadOnlyList<float> expected, IReadOnlyList<float> actual, double relative)
    {
        Assert.HasCount(expected.Count, actual);
        for (var i = 0; i < expected.Count; i++)
            Assert.AreEqual(expected[i], actual[i], relative * Math.Max(1e-3, Math.Abs(expected[i])), $"entry {i}");
    }
}
