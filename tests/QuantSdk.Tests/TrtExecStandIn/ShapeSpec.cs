namespace QuantSdk.TrtExecStandIn;

/// <summary>name:dims[,name:dims]*, as trtexec splits it.</summary>
internal static class ShapeSpec
{
    public static Dictionary<string, int[]> Parse(string spec, StandInVersion version)
    {
        try
        {
            var shapes = new Dictionary<string, int[]>(StringComparer.Ordinal);
            foreach (var item in spec.Split(','))
            {
                var (name, dims) = Split(item, spec);
                shapes.TryAdd(name, Dims(dims, version));
            }
            return shapes;
        }
        catch (OptionException e) when (!e.IsUncaught)
        {
            throw new OptionException($"{e.Message} conversion failure: failed to parse minShapes/optShapes/maxShapes. Please double check your input string.");
        }
    }

    private static (string Name, string Dims) Split(string item, string spec)
    {
        var quotes = item.Count(c => c == '\'');
        if (quotes % 2 == 1)
            throw new OptionException($"Found invalid number of 's when parsing {spec}");
        if (quotes == 2 && item[0] == '\'')
        {
            var end = item.IndexOf('\'', 1);
            return (item[1..end], item[(end + 1)..].TrimStart(':'));
        }
        var colon = item.LastIndexOf(':');
        return colon < 0 ? (item, "") : (item[..colon], item[(colon + 1)..]);
    }

    private static int[] Dims(string dims, StandInVersion version) =>
        dims is "" or "scalar" && version.AtLeast(10, 0) ? [] : [.. dims.Split('x').Select(CppNumbers.Stoi)];
}
