namespace QuantSdk.Runtime;

/// <summary>
/// y ≈ 1/√x with 14 bits, what the instruction VRSQRT14SS returns: a table of 64 lines over the significand. Read off the instruction for all its 2¹⁶ different arguments,
/// on CPUs of Intel and of AMD, which agree.
/// </summary>
internal static class ReciprocalRoot14
{
    private const int FractionBits = 23, Bias = 127;

    /// <summary>Of the significand, the bits that choose the line, those that it is evaluated at, and those that count for nothing.</summary>
    private const int LineBits = 5, StepBits = 10, UnusedBits = FractionBits - LineBits - StepBits;

    /// <summary>At the beginning of each line, in 2⁻¹⁹; the first 32 for significands from 1 to 2, the others from 2 to 4.</summary>
    private static readonly int[] s_starts =
    [
        524265, 516257, 508613, 501298, 494286, 487559, 481101, 474897, 468922, 463169, 457623, 452276, 447106,
        442106, 437279, 432603, 428071, 423683, 419423, 415288, 411277, 407379, 403592, 399907, 396319, 392827,
        389430, 386110, 382879, 379734, 376655, 373658, 370709, 365049, 359644, 354468, 349516, 344759, 340193,
        335801, 331581, 327515, 323589, 319805, 316149, 312618, 309201, 305899, 302695, 299587, 296575, 293657,
        290819, 288062, 285380, 282776, 280242, 277773, 275367, 273022, 270741, 268509, 266336, 264214,
    ];

    /// <summary>By how much a line falls in 1024 steps, in 2⁻¹⁶.</summary>
    private static readonly int[] s_falls =
    [
        1001, 955, 915, 877, 841, 807, 775, 747, 719, 693, 669, 647, 625, 603, 585, 567, 549, 533, 517, 501, 487,
        473, 461, 449, 437, 425, 415, 403, 393, 385, 375, 367, 707, 675, 647, 619, 595, 571, 549, 527, 509, 491, 473,
        457, 441, 427, 413, 401, 389, 377, 365, 355, 345, 335, 325, 317, 309, 301, 293, 285, 279, 271, 265, 259,
    ];

    /// <param name="x">Positive, finite and not subnormal.</param>
    public static float Of(float x)
    {
        var bits = BitConverter.SingleToInt32Bits(x);
        var (exponent, fraction) = ((bits >> FractionBits) - Bias, bits & ((1 << FractionBits) - 1));
        var odd = exponent & 1;
        var power = -(exponent - odd) / 2;
        if (odd == 0 && fraction == 0)
            return MathF.ScaleB(1, power);
        var line = odd << LineBits | fraction >> (StepBits + UnusedBits);
        var step = fraction >> UnusedBits & ((1 << StepBits) - 1);
        // In 2⁻¹⁷, rounded down.
        return MathF.ScaleB(((s_starts[line] << 7) - s_falls[line] * step) >> 9, power - 17);
    }
}
