using System.Numerics;

namespace QuantSdk.Runtime;

/// <summary>The registers of one run over samples of one length, and what executes <see cref="Evaluation"/>s on them.</summary>
internal sealed class SampleState<T>(SampleBounds bounds, int registers)
    where T : unmanaged, IFloatingPointIeee754<T>
{
    private readonly T[][] _kept = [.. Enumerable.Repeat(Array.Empty<T>(), registers)];
    private T[] _scratch = [];

    public void Run(Evaluation evaluation, ReadOnlySpan<T> output, ReadOnlySpan<T> noise, Span<T> sample, int rows)
    {
        foreach (var assignment in evaluation.Assignments)
        {
            var target = Writable(assignment.Target, sample);
            Assign(target, assignment.Terms, output, noise, sample);
            if (assignment.Bounded && bounds.Any)
                Bound(target, rows);
        }
    }

    private void Assign(Span<T> target, Term[] terms, ReadOnlySpan<T> output, ReadOnlySpan<T> noise, ReadOnlySpan<T> sample)
    {
        if (typeof(T) != typeof(float) && HasRounding(terms))
        {
            AssignRounded(target, terms, output, noise, sample);
            return;
        }
        if (terms.Length == 1)
            LinearCombination.Scale(target, Factor(terms[0]), Readable(terms[0], output, noise, sample));
        else
            LinearCombination.Assign(target,
                Factor(terms[0]), Readable(terms[0], output, noise, sample), Factor(terms[1]), Readable(terms[1], output, noise, sample));
        for (var i = 2; i < terms.Length; i++)
            LinearCombination.Add(target, Factor(terms[i]), Readable(terms[i], output, noise, sample));
    }

    /// <summary>The same with float32 where diffusers has it. Only a sample in double comes here.</summary>
    private void AssignRounded(Span<T> target, Term[] terms, ReadOnlySpan<T> output, ReadOnlySpan<T> noise, ReadOnlySpan<T> sample)
    {
        var sum = new double[target.Length];
        foreach (var term in terms)
        {
            var source = Readable(term, output, noise, sample);
            for (var i = 0; i < sum.Length; i++)
            {
                var value = double.CreateTruncating(source[i]);
                sum[i] += term.Rounding switch
                {
                    SingleRounding.None => value * term.Factor,
                    SingleRounding.Register => (float)value * term.Factor,
                    _ => (float)((float)value * term.Factor),
                };
            }
        }
        for (var i = 0; i < sum.Length; i++)
            target[i] = T.CreateTruncating(sum[i]);
    }

    private void Bound(Span<T> target, int rows)
    {
        var length = target.Length / rows;
        if (_scratch.Length < length)
            _scratch = new T[length];
        for (var row = 0; row < rows; row++)
            bounds.Apply(target.Slice(row * length, length), _scratch.AsSpan(0, length));
    }

    private Span<T> Writable(Register register, Span<T> sample)
    {
        if (register == Register.Sample)
            return sample;
        ref var kept = ref _kept[register - Register.Kept];
        if (kept.Length != sample.Length)
            kept = new T[sample.Length];
        return kept;
    }

    private ReadOnlySpan<T> Readable(Term term, ReadOnlySpan<T> output, ReadOnlySpan<T> noise, ReadOnlySpan<T> sample) => term.Register switch
    {
        Register.Sample => sample,
        Register.Output => output,
        Register.Noise => noise,
        _ => _kept[term.Register - Register.Kept],
    };

    private static T Factor(Term term) => T.CreateTruncating(term.Factor);

    private static bool HasRounding(Term[] terms)
    {
        foreach (var term in terms)
            if (term.Rounding != SingleRounding.None)
                return true;
        return false;
    }
}
