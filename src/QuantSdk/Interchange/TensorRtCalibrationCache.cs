using System.Globalization;
using System.Text;
using QuantSdk.Calibration;
using QuantSdk.Runtime;

namespace QuantSdk.Interchange;

/// <summary>
/// TensorRT's calibration cache, as `trtexec --calib` takes it: a first line with version and algorithm (TRT-8601-EntropyCalibration2), then
/// a line `tensor: hex` each, the bits of the float scale = amax/127, most significant first. Names may hold colons.
/// </summary>
internal sealed record TensorRtCalibrationCache(string Header, IReadOnlyList<KeyValuePair<string, float>> Scales)
{
    public const string Extension = ".cache";

    /// <summary>Symmetric ranges as a cache, in the order of the table.</summary>
    /// <param name="version">TensorRT's version as one number: 8601 is 8.6.1, 100300 is 10.3.0.</param>
    public static TensorRtCalibrationCache From(CalibrationTable table, int version) =>
        new(string.Create(CultureInfo.InvariantCulture, $"TRT-{version}-EntropyCalibration2"), [.. table.Tensors.Select(t => KeyValuePair.Create(t.Name, t.Amax / 127))]);

    /// <exception cref="QuantSdkException">QSDK1010 where the file cannot be opened; see <see cref="Parse"/>.</exception>
    public static TensorRtCalibrationCache Read(string file)
    {
        try
        {
            return Parse(File.ReadAllText(file), file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new QuantSdkException("QSDK1010", $"The calibration cache '{file}' cannot be opened: {e.Message}", file, inner: e);
        }
    }

    /// <exception cref="QuantSdkException">QSDK1041 with the line that is not understood.</exception>
    public static TensorRtCalibrationCache Parse(string text, string file)
    {
        var lines = text.Split('\n');
        var header = lines[0].TrimEnd('\r');
        if (!header.StartsWith("TRT-", StringComparison.Ordinal))
            throw Bad(1, "it begins with TRT-, the version and the algorithm, such as TRT-8601-EntropyCalibration2");
        var scales = new List<KeyValuePair<string, float>>();
        var names = new HashSet<string>(StringComparer.Ordinal);
        for (var i = 1; i < lines.Length; i++)
        {
            var line = lines[i].TrimEnd('\r');
            if (line.Length == 0)
                continue;
            var colon = line.LastIndexOf(':');
            if (colon < 1 || !uint.TryParse(line.AsSpan(colon + 1).Trim(' '), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var bits))
                throw Bad(i + 1, "a line is a tensor's name, a colon and up to 8 hexadecimal digits");
            var (name, scale) = (line[..colon], BitConverter.UInt32BitsToSingle(bits));
            if (!float.IsFinite(scale) || float.IsNegative(scale))
                throw Bad(i + 1, $"{scale.ToString(CultureInfo.InvariantCulture)} is no scale");
            if (!names.Add(name))
                throw Bad(i + 1, $"the tensor '{name}' has a line already");
            scales.Add(KeyValuePair.Create(name, scale));
        }
        return new TensorRtCalibrationCache(header, scales);

        QuantSdkException Bad(int line, string why) => new("QSDK1041", $"'{file}' is no calibration cache of TensorRT: line {line}: {why}.", file);
    }

    /// <summary>The file's text.</summary>
    public override string ToString()
    {
        var text = new StringBuilder(Header).Append('\n');
        foreach (var (name, scale) in Scales)
            text.Append(CultureInfo.InvariantCulture, $"{name}: {BitConverter.SingleToUInt32Bits(scale):x8}\n");
        return text.ToString();
    }

    /// <summary>±127·scale for each tensor asked for; what the cache holds beside them is left out.</summary>
    /// <param name="elementsPerRow">Of each tensor.</param>
    /// <exception cref="QuantSdkException">QSDK1042 where tensors have no line.</exception>
    public CalibrationTable Table(IReadOnlyList<string> tensors, IReadOnlyDictionary<string, long> elementsPerRow, string file)
    {
        var scales = new Dictionary<string, float>(Scales, StringComparer.Ordinal);
        var missing = tensors.Where(t => !scales.ContainsKey(t)).ToArray();
        if (missing.Length > 0)
            throw new QuantSdkException("QSDK1042", $"'{file}' holds no scale of {missing.Length} of {tensors.Count} tensors that are quantised: {string.Join(", ", missing.Take(5).Select(m => $"'{m}'"))}{(missing.Length > 5 ? ", …" : "")}. Calibrate this model, or leave their layers in float with ExcludeModules.", file, missing[0]);
        return new CalibrationTable(1, "tensorrt-cache", 0, [.. tensors.Select(t => 127 * scales[t] is var amax ? new TensorCalibration(t, -amax, amax, -amax, amax, amax, elementsPerRow[t]) : null!)]);
    }
}
