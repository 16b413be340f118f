namespace QuantSdk.Runtime;

/// <summary>MT19937 of Matsumoto and Nishimura, seeded by init_genrand: the generator behind torch's CPU random numbers.</summary>
internal sealed class MersenneTwister
{
    private const int Size = 624, Shift = 397;

    private readonly uint[] _state = new uint[Size];
    private int _next = Size;

    public MersenneTwister(uint seed)
    {
        _state[0] = seed;
        for (var i = 1u; i < Size; i++)
            _state[i] = 1812433253u * (_state[i - 1] ^ _state[i - 1] >> 30) + i;
    }

    public uint Next()
    {
        if (_next == Size)
            Twist();
        var word = _state[_next++];
        word ^= word >> 11;
        word ^= word << 7 & 0x9D2C5680u;
        word ^= word << 15 & 0xEFC60000u;
        return word ^ word >> 18;
    }

    private void Twist()
    {
        for (var i = 0; i < Size; i++)
        {
            var mixed = _state[i] & 0x80000000u | _state[(i + 1) % Size] & 0x7FFFFFFFu;
            _state[i] = _state[(i + Shift) % Size] ^ mixed >> 1 ^ ((mixed & 1) == 0 ? 0u : 0x9908B0DFu);
        }
        _next = 0;
    }
}
