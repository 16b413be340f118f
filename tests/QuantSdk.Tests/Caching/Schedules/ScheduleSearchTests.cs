using QuantSdk.Caching.Schedules;
using QuantSdk.Engines;
using QuantSdk.Onnx;
using QuantSdk.Quality;
using QuantSdk.Runtime;
using QuantSdk.Tests.Onnx;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Tests.Caching.Schedules;

/// <summary>
/// On a denoiser that can be worked out by hand: deep = tanh(text · (1 + t) · sample), y = deep − sample/2. Its features change fast where t does, so that schedules differ.
/// </summary>
[TestClass]
public sealed class ScheduleSearchTests
{
    private const int Steps = 8, Rows = 12, Length = 4;

    private static readonly Sampler s_flow = Sampler.FromJson("""{ "_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0 }""");

    private static readonly float[] s_noise = TorchNoise.Rows(Enumerable.Range(7, Rows).Select(seed => (long)seed)).Normal(Rows, Length).AsSpan<float>().ToArray(), s_text = TestModels.Random(Rows * Length, 2), s_other = TestModels.Random(Rows * Length, 3);

    private static readonly TempFolder s_folder = new();
    private static QuantizedModel s_model = null!;
    private static string s_file = "";

    [ClassInitialize]
    public static void Build(TestContext _)
    {
        var nodes = new[]
        {
            Nodes.Create("Add", "t1", ["timestep", "one"], ["t1"]), Nodes.Create("Mul", "a", ["text", "t1"], ["a"]), Nodes.Create("Mul", "b", ["a", "sample"], ["b"]),
            Nodes.Create("Tanh", "deep", ["b"], ["deep"]), Nodes.Create("Mul", "tt", ["timestep", "half"], ["tt"]), Nodes.Create("Add", "th", ["tt", "half"], ["th"]),
            Nodes.Create("Mul", "s", ["sample", "th"], ["s"]), Nodes.Create("Sub", "y", ["deep", "s"], ["y"]),
        };
        var proto = TestModels.Create(
            [TestModels.Input("sample", DataType.Float, -1, Length), TestModels.Input("timestep", DataType.Float, 1), TestModels.Input("text", DataType.Float, -1, Length)],
            ["y"], [Tensors.Vector("one", [1f]), Tensors.Vector("half", [0.5f])], nodes);
        proto.Graph.Output[0] = TestModels.Input("y", DataType.Float, -1, Length);
        var model = TestModels.Reload(proto, s_folder);
        s_file = model.Path;
        var request = new BuildRequest("m", model.Path, s_folder.Path, s_folder["engine"], null, 1, new Dictionary<string, string> { ["Precision"] = "none", ["Cache"] = "tensor:deep", ["TimestepScale"] = "0.001", ["SampleInput"] = "sample", ["TimestepInput"] = "timestep" }, null);
        ModelBuilder.Build(request, new SilentLog(), default);
        s_model = QuantizedModel.Load(s_folder["engine"]);
    }

    [ClassCleanup]
    public static void Clean()
    {
        s_model?.Dispose();
        s_folder.Dispose();
    }

    [TestMethod]
    [DataRow(1f)]
    [DataRow(2.5f)]
    public void Drift_is_what_scalar_arithmetic_gives(float guidance)
    {
        var loop = Loop(guidance);
        var table = loop.Drift(window: 3, default);
        var trajectory = new List<double[]>();
        var reference = Scalar(guidance, [.. Enumerable.Range(0, Steps)], trajectory);
        AssertNear(reference, loop.Uncached.ToArray());
        var sigmas = s_flow.Schedule(Steps);
        for (var j = 0; j < Steps; j++)
        {
            for (var i = 0; i < j; i++)
            {
                if (j - i > 3)
                {
                    Assert.IsNull(table.Errors[i, j]);
                    continue;
                }
                var change = Enumerable.Range(0, Rows * Length).Select(k =>
                    Deep(guidance, k, trajectory[i][k], sigmas.Timesteps[i]) - Deep(guidance, k, trajectory[j][k], sigmas.Timesteps[j])).ToArray();
                AssertNear(change, table.Errors[i, j]!);
            }
        }
        // The step whose error is injected, and every step measured is 4 from the last, or the first. Four rows tell how far errors carry.
        const int few = 4 * Length;
        foreach (var step in new[] { 1, 3, 7 })
        {
            var carried = Scalar(guidance, [.. Enumerable.Range(0, Steps).Where(s => s != step)]).Zip(reference, (a, b) => a - b).ToArray();
            var expected = Norm(carried[..few]) / Norm([.. table.Errors[step - 1, step]![..few].Select(x => (double)x)]);
            Assert.AreEqual(expected, Math.Abs(table.Propagation[step]), 1e-3 * expected, $"step {step}");
        }
        Assert.AreEqual((table.Propagation[3] + table.Propagation[7]) / 2, table.Propagation[5], 1e-9);
    }

    [TestMethod]
    [DataRow(2), DataRow(3), DataRow(4)]
    public void The_search_finds_one_of_the_best_of_all_schedules(int fullSteps)
    {
        var loop = Loop(2.5f);
        var found = new ScheduleSearch(loop, 2, Steps, null, default).Best(fullSteps, runs: 14);
        var errors = Schedules(fullSteps).SelectMany(full => new[] { 0.0, 1 }.Select(extrapolation => new TrialSchedule(full, extrapolation))).ToDictionary(s => s.Key, s => Loop(2.5f).Error(s, default));
        Console.WriteLine($"{string.Join(' ', found.Full)} {found.Extrapolation} {found.Error:g4}, best {errors.MinBy(e => e.Value)}, median {errors.Values.Order().ElementAt(errors.Count / 2):g4}");
        Assert.AreEqual(errors[new TrialSchedule(found.Full, found.Extrapolation).Key], found.Error);
        Assert.IsLessThanOrEqualTo(errors.Values.Order().ElementAt(2), found.Error, $"best {errors.MinBy(e => e.Value)}"); // of 14, 42 and 70
        Assert.AreEqual(Steps, found.Steps);
        Assert.IsLessThanOrEqualTo(errors[string.Join(' ', ScheduleCandidates.Even(Steps, fullSteps))], found.Error);
        // What the loop calls the error is what scalar arithmetic gives.
        var reference = Scalar(2.5f, [.. Enumerable.Range(0, Steps)]);
        Assert.AreEqual(Norm([.. Scalar(2.5f, [.. found.Full], extrapolation: found.Extrapolation).Zip(reference, (a, b) => a - b)]) / Norm(reference), found.Error, 1e-4);
    }

    [TestMethod]
    public void A_gain_on_two_rows_is_no_reason_to_leave_every_n()
    {
        var loop = Loop(2.5f).Take(2);
        var search = new ScheduleSearch(loop, 2, Steps, null, default);
        var found = search.Best(3, runs: 14);
        double[] plain = [.. new[] { 0.0, 1 }.Select(extrapolation => loop.Error(new TrialSchedule(ScheduleCandidates.Even(Steps, 3), extrapolation), default))];
        Assert.IsLessThan(0.9 * plain.Min(), search.Tried(3).First().Error);
        CollectionAssert.AreEqual(ScheduleCandidates.Even(Steps, 3), found.Full.ToArray());
        Assert.AreEqual(plain.Min(), found.Error);
        Assert.AreEqual(Array.IndexOf(plain, plain.Min()), found.Extrapolation);
    }

    [TestMethod]
    public void A_run_that_goes_on_from_a_recorded_one_is_the_run_from_its_beginning()
    {
        var loop = Loop(2.5f);
        var random = new Random(1);
        var all = Schedules(4).SelectMany(full => new[] { 0, 0.5, 1 }.Select(extrapolation => new TrialSchedule(full, extrapolation))).OrderBy(_ => random.Next()).ToArray();
        foreach (var schedule in all)
            CollectionAssert.AreEqual(Loop(2.5f).Run(schedule, default), loop.Run(schedule, default), schedule.Key);
    }

    [TestMethod]
    [DataRow("0 3 5", 0.0, "0 3 6", 0.0, 5)] // 5 is full in one
    [DataRow("0 3 5", 1.0, "0 3 5", 1.0, 8)]
    [DataRow("0 3 5", 1.0, "0 3 5", 0.5, 4)] // with one full step behind there is no line
    [DataRow("0 3 5", 1.0, "0 3 5", 0.0, 4)]
    [DataRow("0 3 5", 1.0, "0 2 5", 1.0, 2)]
    public void Schedules_differ_where_a_step_computes_something_else(string full, double extrapolation, string other, double otherExtrapolation, int step)
    {
        static int[] Indices(string text) => [.. text.Split(' ').Select(int.Parse)];
        Assert.AreEqual(step, new TrialSchedule(Indices(full), extrapolation).FirstDifference(new TrialSchedule(Indices(other), otherExtrapolation), Steps));
    }

    [TestMethod]
    public void Recordings_give_the_one_that_goes_furthest_and_forget_the_ones_not_used()
    {
        var recordings = new Recordings(byteBudget: 2 * Steps * sizeof(float));
        List<float[]> Predictions(float value) => [.. Enumerable.Repeat(new[] { value }, Steps)];
        recordings.Add(new([0, 3, 5]), Predictions(1));
        recordings.Add(new([0, 2, 5]), Predictions(2));
        Assert.AreEqual((5, 1f), (recordings.Longest(new([0, 3, 6]), Steps).Until, recordings.Longest(new([0, 3, 6]), Steps).Predictions[0][0]));
        recordings.Add(new([0, 4]), Predictions(3)); // for the second one there is no room any more
        Assert.AreEqual((5, 1f), (recordings.Longest(new([0, 3, 6]), Steps).Until, recordings.Longest(new([0, 3, 6]), Steps).Predictions[0][0]));
        Assert.AreEqual(2, recordings.Longest(new([0, 2, 6]), Steps).Until);
        Assert.AreEqual(0, new Recordings(1000).Longest(new([0]), Steps).Until);
    }

    [TestMethod]
    [DataRow(1f)]
    [DataRow(2.5f)]
    public void Quality_compares_each_prediction_with_the_float_models_on_the_same_sample(float guidance)
    {
        using var reference = ModelSession.Open(s_file, new SessionSettings());
        var quality = Loop(guidance).Quality(reference, new TrialSchedule([0, 3, 6]), default).Single();
        var trajectory = new List<double[]>();
        Scalar(guidance, [0, 3, 6], trajectory);
        var timesteps = s_flow.Schedule(Steps).Timesteps;
        double signal = 0, error = 0;
        for (var step = 0; step < Steps; step++)
        {
            foreach (var text in guidance == 1 ? [s_text] : new[] { s_other, s_text })
            {
                for (var k = 0; k < text.Length; k++)
                {
                    double Feature(int at) => Math.Tanh(text[k] * (1 + timesteps[at] * 0.001) * trajectory[at][k]);
                    signal += Math.Pow(Feature(step) - trajectory[step][k] * (0.5 + 0.5 * timesteps[step] * 0.001), 2);
                    error += Math.Pow(Feature(step) - Feature(step / 3 * 3), 2);
                }
            }
        }
        Assert.AreEqual("y", quality.Output);
        Assert.AreEqual(10 * Math.Log10(signal / error), quality.SqnrDb, 0.01);
        Assert.AreEqual(ErrorMeter.Exact, Loop(guidance).Quality(reference, new TrialSchedule([.. Enumerable.Range(0, Steps)]), default).Single().SqnrDb, 80);
    }

    [TestMethod]
    public void Even_schedules_are_every_nth_step_where_there_is_one()
    {
        Assert.AreEqual("0 3 6 9 12 15 18 21 24 27", string.Join(' ', ScheduleCandidates.Even(30, 10)));
        Assert.AreEqual("0 3 6 9 12 15 18 21 24 27", string.Join(' ', ScheduleCandidates.Even(28, 10)));
        Assert.AreEqual("0 1 3 5 6 8", string.Join(' ', ScheduleCandidates.Even(10, 6)));
        Assert.AreEqual("0", string.Join(' ', ScheduleCandidates.Even(10, 1)));
        foreach (var (_, _, full) in ScheduleCandidates.Quadratic(30, 10))
            Assert.HasCount(10, full);
        Assert.IsGreaterThan(10, ScheduleCandidates.Quadratic(30, 10).Count);
    }

    private static TrialLoop Loop(float guidance) => new(
        s_model.Denoiser!, s_model.Live!, s_model.Cached, s_flow,
        new Conditioning(new Dictionary<string, ModelTensor> { ["text"] = ModelTensor.Create(s_text, Rows, Length) }, new Dictionary<string, ModelTensor> { ["text"] = ModelTensor.Create(s_other, Rows, Length) }),
        [Length], Rows, seed: 7, Steps, guidance);

    /// <summary>u + g·(c − u) of the deep features.</summary>
    private static double Deep(float guidance, int k, double x, double timestep)
    {
        double c = Math.Tanh(s_text[k] * (1 + timestep * 0.001) * x), u = Math.Tanh(s_other[k] * (1 + timestep * 0.001) * x);
        return guidance == 1 ? c : u + guidance * (c - u);
    }

    private static double[] Scalar(float guidance, int[] full, List<double[]>? trajectory = null, double extrapolation = 0)
    {
        var schedule = s_flow.Schedule(Steps);
        double[] x = [.. s_noise.Select(v => (double)v)], deep = new double[x.Length], before = new double[x.Length];
        for (var step = 0; step < Steps; step++)
        {
            trajectory?.Add((double[])x.Clone());
            var sofar = full.Where(f => f <= step).ToArray();
            for (var k = 0; k < x.Length; k++)
            {
                if (full.Contains(step))
                    (before[k], deep[k]) = (deep[k], Deep(guidance, k, x[k], schedule.Timesteps[step]));
                var feature = deep[k] + (sofar.Length > 1 ? extrapolation * (deep[k] - before[k]) * (step - sofar[^1]) / (sofar[^1] - sofar[^2]) : 0);
                x[k] += ((double)schedule.Sigmas[step + 1] - schedule.Sigmas[step]) * (feature - x[k] * (0.5 + 0.5 * schedule.Timesteps[step] * 0.001));
            }
        }
        return x;
    }

    private static void AssertNear(double[] expected, float[] actual) =>
        Assert.IsLessThan(1e-4 * Norm(expected), Norm([.. expected.Zip(actual, (a, b) => a - b)]));

    private static double Norm(double[] x) => Math.Sqrt(x.Sum(v => v * v));

    private static IEnumerable<int[]> Schedules(int fullSteps)
    {
        for (var bits = 0; bits < 1 << (Steps - 1); bits++)
            if (int.PopCount(bits) == fullSteps - 1)
                yield return [0, .. Enumerable.Range(1, Steps - 1).Where(step => (bits >> (step - 1) & 1) == 1)];
    }
}
