using System.Numerics.Tensors;

namespace QuantSdk.Calibration;

/// <summary>
/// Watches one tensor channel by channel. Positions are sampled by the smallest keys (bottom-k), keys being hashes of the values
/// themselves, so that neither the order nor the batching of the data changes what is kept.
/// </summary>
internal sealed class ChannelObserver(ChannelLayout layout, int capacity)
{
    /// <summary>Positions of one row that may enter the sample.</summary>
    private const int CandidatesPerRow = 128;

    private long _seen;
    private readonly float[] _min = Filled(layout.Channels, float.PositiveInfinity);
    private readonly float[] _max = Filled(layout.Channels, float.NegativeInfinity);
    private readonly PriorityQueue<float[], (ulong, int)> _kept = new(Comparer<(ulong, int)>.Create((a, b) => b.CompareTo(a)));

    /// <param name="values">A whole tensor of <paramref name="rows"/> rows.</param>
    public void Add(ReadOnlySpan<float> values, int rows)
    {
        var channels = layout.Channels;
        if (rows == 0 || values.Length % ((long)rows * channels) != 0)
            return;
        var length = values.Length / rows;
        var positions = length / channels;
        _seen += (long)positions * rows;
        for (var row = 0; row < rows; row++)
        {
            var row1 = values.Slice(row * length, length);
            AddExtremes(row1, positions);
            Sample(row1, positions);
        }
    }

    public ChannelSample Finish()
    {
        // Ascending keys: the same sequence whatever the order of arrival.
        var ordered = _kept.UnorderedItems.OrderBy(i => i.Priority).Select(i => i.Element).ToArray();
        var positions = new float[ordered.Length * layout.Channels];
        for (var i = 0; i < ordered.Length; i++)
            ordered[i].CopyTo(positions, i * layout.Channels);
        // What was kept one by one goes before the next tensor is put together.
        _kept.Clear();
        return new ChannelSample(layout.Channels, _min, _max, positions, _seen);
    }

    private void AddExtremes(ReadOnlySpan<float> row, int positions)
    {
        var channels = layout.Channels;
        if (layout.Last)
        {
            for (var p = 0; p < positions; p++)
            {
                var position = row.Slice(p * channels, channels);
                TensorPrimitives.MinNumber(_min, position, _min);
                TensorPrimitives.MaxNumber(_max, position, _max);
            }
            return;
        }
        for (var c = 0; c < channels; c++)
        {
            var channel = row.Slice(c * positions, positions);
            _min[c] = Math.Min(_min[c], TensorPrimitives.Min(channel));
            _max[c] = Math.Max(_max[c], TensorPrimitives.Max(channel));
        }
    }

    private void Sample(ReadOnlySpan<float> row, int positions)
    {
        var channels = layout.Channels;
        var candidates = Math.Min(CandidatesPerRow, positions);
        // A few values tell rows apart; the hash of a row is the seed of its positions' keys.
        var seed = Mix((ulong)row.Length);
        for (var i = 0; i < 8; i++)
            seed = Mix(seed ^ BitConverter.SingleToUInt32Bits(row[(int)((long)i * (row.Length - 1) / 7)]));
        for (var i = 0; i < candidates; i++)
        {
            var position = candidates == positions ? i : (int)(Mix(seed + (ulong)i) % (ulong)positions);
            var key = (Mix(seed ^ (ulong)position), position);
            if (_kept.Count == capacity)
            {
                _kept.TryPeek(out _, out var largest);
                if (key.CompareTo(largest) >= 0)
                    continue;
            }
            var kept = new float[channels];
            for (var c = 0; c < channels; c++)
                kept[c] = layout.Last ? row[position * channels + c] : row[c * positions + position];
            if (_kept.Count == capacity)
                _kept.DequeueEnqueue(kept, key);
            else
                _kept.Enqueue(kept, key);
        }
    }

    /// <summary>SplitMix64's finaliser.</summary>
    private static ulong Mix(ulong x)
    {
        x += 0x9E3779B97F4A7C15;
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
        return x ^ (x >> 31);
    }

    private static float[] Filled(int count, float value)
    {
        var array = new float[count];
        array.AsSpan().Fill(value);
        return array;
    }
}
