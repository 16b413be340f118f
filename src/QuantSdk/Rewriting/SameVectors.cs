using System.Diagnostics.CodeAnalysis;

namespace QuantSdk.Rewriting;

/// <summary>One array for all arrays of the same values, so that keys may hold the array: a plan that was read from a file has copies.</summary>
internal sealed class SameVectors
{
    private readonly Dictionary<float[], float[]> _vectors = new(ByValue.Instance);

    [return: NotNullIfNotNull(nameof(vector))]
    public float[]? Same(float[]? vector) => vector is null || _vectors.TryAdd(vector, vector) ? vector : _vectors[vector];

    private sealed class ByValue : IEqualityComparer<float[]>
    {
        public static ByValue Instance { get; } = new();

        public bool Equals(float[]? x, float[]? y) => x.AsSpan().SequenceEqual(y);

        public int GetHashCode(float[] vector)
        {
            var hash = new HashCode();
            hash.AddBytes(System.Runtime.InteropServices.MemoryMarshal.AsBytes(vector.AsSpan()));
            return hash.ToHashCode();
        }
    }
}
