namespace QuantSdk.Runtime;

/// <summary>
/// diffusers' <c>PNDMScheduler</c> (Liu et al. 2022): linear multistep of order 4 in ε (PLMS). It starts with three Runge-Kutta steps of four
/// evaluations each, or, with <c>skip_prk_steps</c>, with one step that is taken twice.
/// </summary>
internal sealed class PndmSampler : Sampler
{
    public const string ClassName = "PNDMScheduler";

    private const int History = 4, RungeKuttaSteps = 3;
    private const Register Start = Register.Kept + History, Sum = Start + 1;

    private readonly NoiseTable _table;
    private readonly string _spacing;
    private readonly int _stepsOffset;
    private readonly bool _skipRungeKutta;
    private readonly Prediction _prediction;

    public PndmSampler(SamplerConfig config)
        : base(config)
    {
        _table = new(config, TrainTimesteps, alphaToOne: false, knowsZeroSnr: false);
        _spacing = TimestepSpacing.Read(config, TimestepSpacing.Leading);
        _stepsOffset = config.Int("steps_offset", 0, least: 0);
        _skipRungeKutta = config.Bool("skip_prk_steps", false);
        _prediction = Prediction.Read(config);
        if (_prediction == Prediction.Clean)
            throw config.Unsupported("prediction_type", "Use epsilon or v_prediction.");
    }

    private protected override SamplerSchedule CreateSchedule(int steps, ScheduleOptions options)
    {
        var timesteps = TimestepSpacing.Whole(_spacing, TrainTimesteps, steps, _stepsOffset);
        CheckTimesteps(timesteps, steps);
        var evaluations = new List<Evaluation>();
        var start = options.StartStep;
        if (!_skipRungeKutta)
        {
            if (steps - start <= RungeKuttaSteps)
                throw Impossible($"{steps - start} steps remain; with skip_prk_steps false the first {RungeKuttaSteps} are Runge-Kutta steps and more must follow.");
            for (var i = 0; i < RungeKuttaSteps; i++)
                AddRungeKutta(evaluations, timesteps, steps, start + i, slot: i);
        }
        for (var step = start + (_skipRungeKutta ? 0 : RungeKuttaSteps); step < steps; step++)
            AddMultistep(evaluations, timesteps, steps, step, done: step - start);
        return new(evaluations, [], initNoiseSigma: 1, _table.Shares(timesteps[start]), SampleBounds.None);
    }

    /// <summary>The classical scheme of order 4: ε at the start, twice half-way and at the end, weighted 1/6, 1/3, 1/3, 1/6.</summary>
    private void AddRungeKutta(List<Evaluation> evaluations, int[] timesteps, int steps, int step, int slot)
    {
        var (from, next, half) = (timesteps[step], timesteps[step + 1], TrainTimesteps / steps / 2);
        int[] at = [from, next + half, next + half, next];
        int[] to = [from - half, next + half, next, next];
        double[] weights = [1.0 / 6, 1.0 / 3, 1.0 / 3, 1.0 / 6];
        for (var stage = 0; stage < 4; stage++)
        {
            var assignments = new List<Assignment>();
            if (stage == 0)
                assignments.AddRange([new(Register.Kept + slot, [(Register.Output, 1)]), new(Start, [(Register.Sample, 1)])]);
            assignments.Add(stage == 0 ? new(Sum, [(Register.Output, weights[0])]) : new(Sum, [(Sum, 1), (Register.Output, weights[stage])]));
            assignments.Add(Transfer(from, to[stage], Start, [(stage == 3 ? Sum : Register.Output, 1)]));
            evaluations.Add(new(at[stage], step, [.. assignments]));
        }
    }

    private void AddMultistep(List<Evaluation> evaluations, int[] timesteps, int steps, int step, int done)
    {
        var interval = TrainTimesteps / steps;
        var (from, to) = (timesteps[step], timesteps[step] - interval);
        var newest = Register.Kept + done % History;
        evaluations.Add(new(from, _skipRungeKutta && done > 0 ? step + 1 : step,
        [
            new(newest, [(Register.Output, 1)]),
            .. done == 0 ? new[] { new Assignment(Start, [(Register.Sample, 1)]) } : [],
            Transfer(from, to, Register.Sample, Weights(done)),
        ]));
        if (done > 0 || !_skipRungeKutta || step + 1 == steps)
            return;
        // The first step again, with the mean of ε at both of its ends; it counts as one more.
        var end = timesteps[step + 1];
        evaluations.Add(new(end, step + 1, [Transfer(end + interval, end, Start, [(Register.Output, 0.5), (newest, 0.5)])]));
    }

    /// <summary>Adams-Bashforth weights of the newest ε and those before it (Liu et al. 2022, equation 12).</summary>
    private static Term[] Weights(int done)
    {
        double[] weights = done switch
        {
            0 => [1],
            1 => [3.0 / 2, -1.0 / 2],
            2 => [23.0 / 12, -16.0 / 12, 5.0 / 12],
            _ => [55.0 / 24, -59.0 / 24, 37.0 / 24, -9.0 / 24],
        };
        return [.. weights.Select((weight, age) => new Term(Register.Kept + (done - age) % History, weight))];
    }

    /// <summary>x' = √(ᾱ'/ᾱ)·x − (ᾱ'−ᾱ)·ε/(ᾱ·√(1−ᾱ') + √(ᾱ(1−ᾱ)ᾱ')) (Liu et al. 2022, equation 11).</summary>
    private Assignment Transfer(int from, int to, Register sample, Term[] output)
    {
        var (alpha, next) = (_table.Alpha(from), _table.Alpha(to));
        var ofSample = (double)TorchMath.Sqrt(next / alpha);
        var ofNoise = -(double)(next - alpha) / (alpha * TorchMath.Sqrt(1 - next) + TorchMath.Sqrt(alpha * (1 - alpha) * next));
        var (signal, noise) = _table.Shares(from);
        var map = _prediction.ToNoise(signal, noise);
        return new(Register.Sample,
            [(sample, ofSample + ofNoise * map.Sample), .. output.Select(term => new Term(term.Register, term.Factor * ofNoise * map.Output))]);
    }
}
