using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using QuantSdk.Runtime;

namespace QuantSdk.Bench;

/// <summary>Runs of samplers that were recorded elsewhere, run again.</summary>
internal static partial class SamplerGoldens
{
    private static string Folder => Path.Combine(Repository.Root, "tests", "data", "golden");

    /// <summary>diffusers' own schedulers on ε(x, t) = 0.3·x·cos(t/300) + 0.05·sin(7x), x in double, with the noise they drew: the largest relative difference of any step of each run.</summary>
    public static IReadOnlyList<(string Scheduler, double Error)> Recorded() =>
        [.. Read("samplers.json").GetProperty("cases").EnumerateArray().Select(golden => (golden.GetProperty("scheduler").GetString()!, Recorded(golden)))];

    private static double Recorded(JsonElement golden)
    {
        var config = JsonNode.Parse(golden.GetProperty("config").GetRawText())!.AsObject();
        config["_class_name"] = golden.GetProperty("scheduler").GetString();
        var schedule = Sampler.FromJson(config.ToJsonString()).Schedule(golden.GetProperty("steps").GetInt32());
        var (sample, timesteps) = (Doubles(golden, "initial"), Doubles(golden, "timesteps"));
        var (noise, expected) = (golden.GetProperty("noise").EnumerateArray().GetEnumerator(), golden.GetProperty("samples").EnumerateArray().ToArray());
        var (scaled, largest) = (new double[sample.Length], 0.0);
        for (var i = 0; i < timesteps.Length; i++)
        {
            schedule.ScaleInput<double>(i, sample, scaled);
            var output = Array.ConvertAll(scaled, x => 0.3 * x * Math.Cos(timesteps[i] / 300) + 0.05 * Math.Sin(7 * x));
            schedule.StepInDouble(i, output, sample, 1, schedule.NeedsNoise(i) && noise.MoveNext() ? Doubles(noise.Current) : default(ReadOnlySpan<double>));
            var there = Doubles(expected[i]);
            largest = Math.Max(largest, Math.Sqrt(sample.Zip(there, (a, b) => (a - b) * (a - b)).Sum() / there.Sum(x => x * x)));
        }
        return largest;
    }

    /// <summary>
    /// Runs with the settings of real pipelines, made with tables in double, in float: the largest difference of the mean and of the elements that are recorded of the
    /// final sample, relative to these, to 1 where they are less.
    /// </summary>
    public static IReadOnlyList<(string Name, double Error)> Pipelines()
    {
        var extra = Read("samplers_extra.json");
        return [.. Read("samplers_extra_runs.json").EnumerateArray().Select(run => (run.GetProperty("name").GetString()!, Pipeline(run, extra.GetProperty(run.GetProperty("name").GetString()!))))];
    }

    private static double Pipeline(JsonElement run, JsonElement golden)
    {
        var options = new ScheduleOptions { Eta = run.TryGetProperty("eta", out var eta) ? eta.GetDouble() : null };
        var sample = Scene(Sampler.FromJson(run.GetProperty("config").GetRawText()).Schedule(run.GetProperty("steps").GetInt32(), options));
        var (first, last, mean) = (Doubles(golden, "first8"), Doubles(golden, "last4"), golden.GetProperty("mean_abs").GetDouble());
        var ends = first.Zip(sample).Concat(last.Zip(sample[^last.Length..])).Max(pair => Math.Abs(pair.First - pair.Second) / Math.Max(1, Math.Abs(pair.First)));
        return Math.Max(ends, Math.Abs(sample.Average(x => (double)Math.Abs(x)) / mean - 1));
    }

    /// <summary>The scene of diffusers' own tests: arange(768)/768 as (4, 3, 8, 8), model(x, t) = x·t/(t + 1), torch's noise of seed 0.</summary>
    private static float[] Scene(SamplerSchedule schedule)
    {
        const int Rows = 4, Length = 192;
        float[] sample = [.. Enumerable.Range(0, Rows * Length).Select(i => (i % Length * Rows + i / Length) / (float)(Rows * Length) * schedule.InitNoiseSigma)];
        var noise = TorchNoise.Batch(0);
        var (input, output, fresh) = (new float[sample.Length], new float[sample.Length], new float[sample.Length]);
        for (var index = 0; index < schedule.Timesteps.Count; index++)
        {
            var timestep = schedule.Timesteps[index];
            schedule.ScaleInput(index, sample, input);
            for (var i = 0; i < sample.Length; i++)
                output[i] = input[i] * timestep / (timestep + 1);
            if (schedule.NeedsNoise(index))
                noise.Normal(fresh, Rows);
            schedule.Step(index, output, sample, Rows, fresh);
        }
        return sample;
    }

    private static JsonElement Read(string name) => JsonDocument.Parse(BareNumber().Replace(File.ReadAllText(Path.Combine(Folder, name)), "\"$0\"")).RootElement;

    private static double[] Doubles(JsonElement values) => [.. values.EnumerateArray().Select(value => value.GetDouble())];

    private static double[] Doubles(JsonElement golden, string name) => Doubles(golden.GetProperty(name));

    /// <summary>Numbers that Python writes and JSON does not know.</summary>
    [GeneratedRegex(@"(?<=[\s:\[,])-?(Infinity|NaN)")]
    private static partial Regex BareNumber();
}
