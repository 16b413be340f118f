namespace QuantSdk.Runtime;

/// <summary>A factor times a register, one summand of an <see cref="Assignment"/>.</summary>
/// <param name="Rounding">Where diffusers passes through float32 when the sample is kept in double; without effect on a float sample.</param>
internal readonly record struct Term(Register Register, double Factor, SingleRounding Rounding = SingleRounding.None)
{
    public static implicit operator Term((Register Register, double Factor) term) => new(term.Register, term.Factor);
}
