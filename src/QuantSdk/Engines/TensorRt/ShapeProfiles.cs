using QuantSdk.Onnx;
using QuantSdk.Recipes;
using QuantSdk.Runtime;

namespace QuantSdk.Engines.TensorRt;

/// <summary>
/// Which shapes an engine is built for: what the metadata say, and for inputs that they do not name, the batch from 1 to 8 and other dynamic
/// dimensions as calibration saw them. Inputs of one shape are left out, and a model without others gets no profile: trtexec refuses to be told
/// shapes that it knows.
/// </summary>
internal static class ShapeProfiles
{
    /// <summary>Rows of the largest batch where nothing is said about it.</summary>
    public const long LargestBatch = 8;

    /// <summary>One profile or several, each with the same inputs in the graph's order; empty for a model of fixed shapes.</summary>
    /// <exception cref="QuantSdkException">QSDK4027: shapes that do not fit the model. QSDK4028: a name that cannot be written. QSDK4029: a dimension that nothing tells.</exception>
    public static IReadOnlyList<TensorRtProfile> Of(TensorRtOptions options, PlanRequest request)
    {
        var inputs = new GraphView(request.Graph).Inputs.Select(DynamicInput.Of).ToArray();
        var batches = inputs.Select(i => i.BatchSymbol).OfType<string>().ToHashSet(StringComparer.Ordinal);
        var count = Math.Max(1, new[] { options.MinShapes.Count, options.OptShapes.Count, options.MaxShapes.Count }.Max());
        var profiles = new List<TensorRtProfile>();
        for (var p = 0; p < count; p++)
        {
            var (min, opt, max) = (Named("MinShapes", options.MinShapes, p, inputs, request), Named("OptShapes", options.OptShapes, p, inputs, request), Named("MaxShapes", options.MaxShapes, p, inputs, request));
            var ranges = new List<ShapeRange>();
            foreach (var input in inputs)
            {
                var range = Range(input, min, opt, max, request) ?? (input.IsDynamic ? Default(input, batches, request) : null);
                if (range is null)
                    continue;
                Check(range, input, request);
                if (input.IsDynamic)
                    ranges.Add(range);
            }
            if (ranges.Count > 0)
                profiles.Add(new TensorRtProfile(ranges));
        }
        foreach (var range in profiles.SelectMany(p => p.Inputs))
            ShapeText.Quote(range.Input, request.Source ?? request.Model);
        return profiles;
    }

    private static Dictionary<string, long[]> Named(string metadata, IReadOnlyList<string> profiles, int index, DynamicInput[] inputs, PlanRequest request)
    {
        var shapes = new Dictionary<string, long[]>(StringComparer.Ordinal);
        if (index >= profiles.Count || profiles[index].Trim().Length == 0)
            return shapes;
        var entries = ShapeText.Parse(metadata, profiles[index]);
        // A name in full goes before a pattern, as trtexec has it.
        foreach (var (name, dims) in entries.OrderBy(e => e.Name.Contains('*')))
        {
            var matches = inputs.Where(i => i.Name == name || (name.Split('*') is [var head, var tail] && i.Name.Length >= head.Length + tail.Length && i.Name.StartsWith(head, StringComparison.Ordinal) && i.Name.EndsWith(tail, StringComparison.Ordinal))).ToArray();
            if (matches.Length == 0)
                throw Misfit(request, $"{metadata} names '{name}', which is not an input of the model.{NearNames.Suggest(name, inputs.Select(i => i.Name))} Inputs: {string.Join(", ", inputs.Select(i => i.ToString()))}.");
            foreach (var input in matches)
                shapes.TryAdd(input.Name, dims);
        }
        return shapes;
    }

    private static ShapeRange? Range(DynamicInput input, Dictionary<string, long[]> min, Dictionary<string, long[]> opt, Dictionary<string, long[]> max, PlanRequest request)
    {
        (string Metadata, long[]? Dims)[] given = [("MinShapes", min.GetValueOrDefault(input.Name)), ("OptShapes", opt.GetValueOrDefault(input.Name)), ("MaxShapes", max.GetValueOrDefault(input.Name))];
        if (given.All(g => g.Dims is null))
            return null;
        if (given.Any(g => g.Dims is null))
            throw Misfit(request, $"'{input.Name}' is in {string.Join(" and ", given.Where(g => g.Dims is not null).Select(g => g.Metadata))} and not in {string.Join(" and ", given.Where(g => g.Dims is null).Select(g => g.Metadata))}. Name it in all three, or in Shapes where it has one shape.");
        return new ShapeRange(input.Name, given[0].Dims!, given[1].Dims!, given[2].Dims!);
    }

    private static ShapeRange Default(DynamicInput input, HashSet<string> batches, PlanRequest request)
    {
        var observed = request.Observed.GetValueOrDefault(input.Name);
        if (observed is not null && observed.Length != input.Dims.Count)
            throw Misfit(request, $"the input {input} has {observed.Length} dimensions in the calibration data ({string.Join('×', observed)}).");
        var (min, opt, max) = (new long[input.Dims.Count], new long[input.Dims.Count], new long[input.Dims.Count]);
        for (var axis = 0; axis < input.Dims.Count; axis++)
        {
            if (input.Dims[axis] >= 0)
                min[axis] = opt[axis] = max[axis] = input.Dims[axis];
            else if (axis == 0 || (input.Symbols[axis] is { } symbol && batches.Contains(symbol)))
                (min[axis], opt[axis], max[axis]) = (1, request.Guided ? 2 : 1, LargestBatch);
            else if (observed is not null && observed[axis] > 0)
                min[axis] = opt[axis] = max[axis] = observed[axis];
            else
                throw new QuantSdkException("QSDK4029", $"{request.Name}: nothing tells how large dimension {axis} of the input {input} is: it is dynamic, and no calibration data show it. Set MinShapes, OptShapes and MaxShapes (or Shapes) for '{input.Name}'.", request.Source ?? request.Model);
        }
        return new ShapeRange(input.Name, min, opt, max);
    }

    private static void Check(ShapeRange range, DynamicInput input, PlanRequest request)
    {
        foreach (var (metadata, dims) in ((string, IReadOnlyList<long>)[])[("MinShapes", range.Min), ("OptShapes", range.Opt), ("MaxShapes", range.Max)])
        {
            if (dims.Count != input.Dims.Count)
                throw Misfit(request, $"{metadata} has {dims.Count} dimensions for '{input.Name}', and the model's input is {input}.");
            for (var axis = 0; axis < dims.Count; axis++)
            {
                if (input.Dims[axis] >= 0 && dims[axis] != input.Dims[axis])
                    throw Misfit(request, $"{metadata} has {dims[axis]} in dimension {axis} of '{input.Name}', which the model fixes: {input}.");
            }
        }
        for (var axis = 0; axis < range.Min.Count; axis++)
        {
            if (range.Min[axis] > range.Opt[axis] || range.Opt[axis] > range.Max[axis])
                throw Misfit(request, $"number {axis} of '{input.Name}' is {range.Min[axis]} in MinShapes, {range.Opt[axis]} in OptShapes and {range.Max[axis]} in MaxShapes; it must not fall.");
        }
    }

    private static QuantSdkException Misfit(PlanRequest request, string message) => new("QSDK4027", $"{request.Name}: {message}", request.Source ?? request.Model);

    /// <param name="Dims">−1: dynamic.</param>
    /// <param name="Symbols">Names of dynamic dimensions, where they have one.</param>
    private sealed record DynamicInput(string Name, int Type, IReadOnlyList<long> Dims, IReadOnlyList<string?> Symbols)
    {
        public bool IsDynamic => Dims.Contains(-1);

        public string? BatchSymbol => Dims is [-1, ..] ? Symbols[0] : null;

        public static DynamicInput Of(ValueInfoProto input)
        {
            var dims = input.Type?.TensorType?.Shape?.Dim ?? [];
            return new(input.Name, input.Type?.TensorType?.ElemType ?? 0, [.. dims.Select(d => d.HasDimValue && d.DimValue >= 0 ? d.DimValue : -1)], [.. dims.Select(d => d.HasDimParam && d.DimParam.Length > 0 ? d.DimParam : null)]);
        }

        public override string ToString() => $"{Name} {ElementType.Name(Type)}[{string.Join(',', Dims.Select((d, i) => d >= 0 ? d.ToString(System.Globalization.CultureInfo.InvariantCulture) : Symbols[i] ?? "?"))}]";
    }
}
