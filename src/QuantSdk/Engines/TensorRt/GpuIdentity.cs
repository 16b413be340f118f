using System.Globalization;

namespace QuantSdk.Engines.TensorRt;

/// <summary>
/// Which GPU a device number means, from what the driver's files say: no GPU is woken for it. Where the order of different GPUs cannot be known
/// without asking CUDA, all of them are named.
/// </summary>
/// <param name="Model">Its name, such as NVIDIA H100 80GB HBM3; several with + between where any of them may be it; unknown.</param>
/// <param name="Lock">A name for the one GPU: its UUID where it is known, else its number.</param>
internal sealed record GpuIdentity(string Model, string Lock)
{
    public const string Unknown = "unknown";

    private const string DriverFolder = "/proc/driver/nvidia/gpus";

    public static GpuIdentity Of(int device) =>
        Of(device, DriverFolder, Environment.GetEnvironmentVariable("CUDA_VISIBLE_DEVICES"), Environment.GetEnvironmentVariable("CUDA_DEVICE_ORDER"));

    /// <param name="folder">Has one folder a GPU, named after its bus, each with a file `information`.</param>
    /// <param name="visible">Numbers, or beginnings of UUIDs, with commas between; null: all.</param>
    /// <param name="order">PCI_BUS_ID, or null for CUDA's own, which begins with the fastest.</param>
    public static GpuIdentity Of(int device, string folder, string? visible, string? order)
    {
        var nameless = new GpuIdentity(Unknown, string.Create(CultureInfo.InvariantCulture, $"gpu{device}"));
        var gpus = Installed(folder);
        if (gpus.Count == 0)
            return nameless;
        var wanted = device.ToString(CultureInfo.InvariantCulture);
        if (visible is not null)
        {
            var names = visible.Split(',', StringSplitOptions.TrimEntries);
            if (device >= names.Length || names[device].Length == 0)
                return nameless;
            wanted = names[device];
        }
        var (models, all) = (gpus.Select(g => g.Model).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal).ToArray(), gpus);
        if (!int.TryParse(wanted, NumberStyles.None, CultureInfo.InvariantCulture, out var index))
        {
            var named = gpus.Where(g => g.Uuid.StartsWith(wanted, StringComparison.OrdinalIgnoreCase)).ToArray();
            // A MIG instance is a part of one GPU, which its name does not tell.
            return named is [var one] ? new(one.Model, one.Uuid) : new(string.Join('+', models) + (wanted.StartsWith("MIG", StringComparison.Ordinal) ? " MIG" : ""), FileName(wanted));
        }
        if (index >= all.Count)
            return nameless;
        return models.Length == 1 || order == "PCI_BUS_ID" ? new(all[index].Model, all[index].Uuid) : new(string.Join('+', models), string.Create(CultureInfo.InvariantCulture, $"gpu{index}"));
    }

    /// <summary>Letters, digits, dots and dashes alone.</summary>
    public static string FileName(string text) => string.Concat(text.Select(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' ? c : '_'));

    private static List<(string Bus, string Model, string Uuid)> Installed(string folder)
    {
        var gpus = new List<(string Bus, string Model, string Uuid)>();
        try
        {
            foreach (var gpu in Directory.GetDirectories(folder))
            {
                var facts = new Dictionary<string, string>(StringComparer.Ordinal);
                foreach (var line in File.ReadAllLines(Path.Combine(gpu, "information")))
                {
                    if (line.IndexOf(':') is > 0 and var colon)
                        facts.TryAdd(line[..colon].Trim(), line[(colon + 1)..].Trim());
                }
                if (facts.TryGetValue("Model", out var model) && facts.TryGetValue("GPU UUID", out var uuid))
                    gpus.Add((Path.GetFileName(gpu), model, uuid));
            }
        }
        catch (Exception e) when (FileSystemError.Is(e))
        {
            return [];
        }
        gpus.Sort((a, b) => string.CompareOrdinal(a.Bus, b.Bus));
        return gpus;
    }
}
