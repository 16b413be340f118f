using System.Security.Cryptography;
using Microsoft.Win32.SafeHandles;

namespace QuantSdk.Runtime;

/// <summary>
/// SHA-256 over the concatenated SHA-256 of 4 MiB leaves, in lower-case hexadecimal; an empty file has no leaves.
/// Leaves are independent, so that a large file is hashed on every core.
/// </summary>
internal static class TreeHash
{
    public const int LeafBytes = 4 << 20;

    /// <summary>Read and hashed at once: small enough to stay in the second-level cache between the two.</summary>
    private const int ChunkBytes = 256 << 10;

    /// <summary>The hash of one file.</summary>
    public static string OfFile(string path, CancellationToken cancellationToken = default) => OfFiles([path], Environment.ProcessorCount, cancellationToken)[0];

    /// <summary>The hashes of several files, whose leaves are spread together over <paramref name="threads"/> threads.</summary>
    public static IReadOnlyList<string> OfFiles(IReadOnlyList<string> paths, int threads, CancellationToken cancellationToken = default)
    {
        var handles = new SafeFileHandle[paths.Count];
        try
        {
            var leaves = new List<(int File, long Offset, long End)>();
            var digests = new byte[paths.Count][];
            for (var i = 0; i < handles.Length; i++)
            {
                handles[i] = File.OpenHandle(paths[i], FileMode.Open, FileAccess.Read, FileShare.Read);
                var length = RandomAccess.GetLength(handles[i]);
                digests[i] = new byte[(length + LeafBytes - 1) / LeafBytes * SHA256.HashSizeInBytes];
                for (var offset = 0L; offset < length; offset += LeafBytes)
                    leaves.Add((i, offset, Math.Min(offset + LeafBytes, length)));
            }
            var next = -1;
            void Work()
            {
                using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
                var chunk = GC.AllocateUninitializedArray<byte>(ChunkBytes);
                for (int index; (index = Interlocked.Increment(ref next)) < leaves.Count;)
                {
                    cancellationToken.ThrowIfCancellationRequested();
                    var (file, offset, end) = leaves[index];
                    var digest = digests[file].AsSpan((int)(offset / LeafBytes) * SHA256.HashSizeInBytes, SHA256.HashSizeInBytes);
                    HashLeaf(handles[file], paths[file], offset, end, chunk, hash, digest);
                }
            }
            threads = Math.Clamp(threads, 1, Math.Max(1, leaves.Count));
            if (threads == 1)
                Work();
            else
                try
                {
                    Parallel.Invoke(Enumerable.Repeat(Work, threads).ToArray());
                }
                catch (AggregateException e)
                {
                    throw e.InnerExceptions[0];
                }
            return Array.ConvertAll(digests, bytes => Convert.ToHexStringLower(SHA256.HashData(bytes)));
        }
        finally
        {
            foreach (var handle in handles)
                handle?.Dispose();
        }
    }

    private static void HashLeaf(SafeFileHandle handle, string path, long offset, long end, byte[] chunk, IncrementalHash hash, Span<byte> digest)
    {
        while (offset < end)
        {
            var read = RandomAccess.Read(handle, chunk.AsSpan(0, (int)Math.Min(chunk.Length, end - offset)), offset);
            if (read == 0)
                throw new EndOfStreamException($"'{path}' became shorter while it was read.");
            hash.AppendData(chunk, 0, read);
            offset += read;
        }
        hash.GetHashAndReset(digest);
    }
}
