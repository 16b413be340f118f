namespace QuantSdk.Runtime;

/// <summary>
/// diffusers' <c>UniPCMultistepScheduler</c> (Zhao et al. 2023): a multistep predictor, and a corrector that uses the prediction at the new
/// point, which the next step needs anyway.
/// </summary>
internal sealed class UniPcSampler : MultistepSampler
{
    public const string ClassName = "UniPCMultistepScheduler";

    private const int History = 4;
    private const Register Last = Register.Kept + History, Scratch = Last + 1;

    private readonly bool _clean, _linearB, _endsAtZero;
    private readonly int[] _uncorrected;

    public UniPcSampler(SamplerConfig config)
        : base(config, withEnds: true)
    {
        _clean = config.Bool("predict_x0", true);
        _linearB = config.Choice("solver_type", "bh2", "bh1", "bh2", "midpoint", "heun", "logrho") == "bh1";
        _endsAtZero = config.Choice("final_sigmas_type", "zero", "zero", "sigma_min") == "zero";
        _uncorrected = config.Ints("disable_corrector");
        if (config.Has("solver_p"))
            throw config.Unsupported("solver_p", "Leave it out.");
        if (config.OptionalDouble("shift_terminal") is not null)
            throw config.Unsupported("shift_terminal", "Leave it out.");
        if (!_clean && Prediction == Prediction.Flow)
            throw config.Unsupported("predict_x0", "With flow_prediction it must be true.");
        if (_endsAtZero && (!LowerOrderFinal && Order > 1 || !_clean))
            throw config.Unsupported("final_sigmas_type", "Without lower_order_final, or with predict_x0 false, only sigma_min is possible.");
    }

    private SampleBounds Bounding => _clean ? Bounds : SampleBounds.None;

    protected override float FinalSigma(SigmaTable table, float last) => _endsAtZero ? 0 : Levelled ? last : table.Least;

    private protected override SamplerSchedule CreateSchedule(int steps, ScheduleOptions options)
    {
        var (sigmas, timesteps) = Levels(steps, options);
        var start = options.StartStep;
        var evaluations = new List<Evaluation>();
        for (var step = start; step < steps; step++)
        {
            var assignments = new List<Assignment>(Convert(Slot(step), Scratch, sigmas[step], _clean, Bounding));
            if (step > start && !_uncorrected.Contains(step - 1))
                assignments.Add(new(Register.Sample, Combine(sigmas, step - 1, OrderOf(step - 1, start, steps), Last, corrected: true)));
            assignments.Add(new(Last, [(Register.Sample, 1)]));
            assignments.Add(new(Register.Sample, Combine(sigmas, step, OrderOf(step, start, steps), Register.Sample, corrected: false)));
            evaluations.Add(new(timesteps[step], step, [.. assignments]));
        }
        return new(evaluations, sigmas[start..], initNoiseSigma: 1, Start(sigmas[start]), Bounding);
    }

    private int OrderOf(int step, int start, int steps) => Math.Min(LowerOrderFinal ? Math.Min(Order, steps - step) : Order, step - start + 1);

    /// <summary>
    /// x_t from x_s (Zhao et al. 2023, equations 5 and 8): the first-order step, and B(h)·Σ ρ_k·(m_k − m_0)/r_k over older predictions, with
    /// the corrector also over the one at t, r = 1.
    /// </summary>
    private Term[] Combine(float[] sigmas, int step, int order, Register sample, bool corrected)
    {
        var (alphaT, sigmaT) = Shares(sigmas[step + 1]);
        var (alphaS, sigmaS) = Shares(sigmas[step]);
        var lambda = Lambda(sigmas[step]);
        var h = Lambda(sigmas[step + 1]) - lambda;
        if (h == 0) // levels that end at the least one, and the least one as the final level
            return [(sample, 1)];
        var signed = _clean ? -h : h;
        var phi = TorchMath.Expm1(signed);
        var scale = _linearB ? signed : phi;
        float[] r = [.. Enumerable.Range(1, order - 1).Select(age => (Lambda(sigmas[step - age]) - lambda) / h), 1];
        var rho = Weights(r, signed, phi, scale, corrected);
        var (ratio, share) = _clean ? (sigmaT / sigmaS, alphaT) : (alphaT / alphaS, sigmaT);
        double ofNewest = -(share * phi), each = -(share * scale);
        var terms = new List<Term> { (sample, ratio) };
        for (var age = 1; age < order; age++)
        {
            terms.Add((Slot(step - age), each * rho[age - 1] / r[age - 1]));
            ofNewest -= each * rho[age - 1] / r[age - 1];
        }
        if (corrected)
        {
            terms.Add((Slot(step + 1), each * rho[^1]));
            ofNewest -= each * rho[^1];
        }
        terms.Insert(1, (Slot(step), ofNewest));
        return [.. terms];
    }

    /// <summary>ρ from R(h)·ρ = b (Zhao et al. 2023, equation 6), in float32; the predictor leaves out the last row and column.</summary>
    private static float[] Weights(float[] r, float h, float phi, float scale, bool corrected)
    {
        var order = r.Length;
        if (order == (corrected ? 1 : 2))
            return [0.5f];
        var rows = corrected ? order : order - 1;
        var (matrix, b) = (new float[rows, rows], new float[rows]);
        var (phiK, factorial) = (phi / h - 1, 1);
        for (var i = 0; i < rows; i++)
        {
            for (var k = 0; k < rows; k++)
                matrix[i, k] = i == 0 ? 1 : matrix[i - 1, k] * r[k];
            b[i] = phiK * factorial / scale;
            factorial *= i + 2;
            phiK = phiK / h - 1f / factorial;
        }
        return Solve(matrix, b);
    }

    /// <summary>Gauss elimination with the largest pivot of each column, rounded as LAPACK does: fused, and with reciprocals of the diagonal.</summary>
    private static float[] Solve(float[,] matrix, float[] x)
    {
        var n = x.Length;
        for (var column = 0; column < n; column++)
        {
            var pivot = Enumerable.Range(column, n - column).MaxBy(row => MathF.Abs(matrix[row, column]));
            for (var k = 0; k < n; k++)
                (matrix[column, k], matrix[pivot, k]) = (matrix[pivot, k], matrix[column, k]);
            (x[column], x[pivot]) = (x[pivot], x[column]);
            for (var row = column + 1; row < n; row++)
            {
                var factor = matrix[row, column] / matrix[column, column];
                for (var k = column + 1; k < n; k++)
                    matrix[row, k] = MathF.FusedMultiplyAdd(-factor, matrix[column, k], matrix[row, k]);
                x[row] = MathF.FusedMultiplyAdd(-factor, x[column], x[row]);
            }
        }
        for (var row = n - 1; row >= 0; row--)
        {
            for (var k = row + 1; k < n; k++)
                x[row] = MathF.FusedMultiplyAdd(-matrix[row, k], x[k], x[row]);
            x[row] *= 1 / matrix[row, row];
        }
        return x;
    }

    private static Register Slot(int step) => Register.Kept + step % History;
}
