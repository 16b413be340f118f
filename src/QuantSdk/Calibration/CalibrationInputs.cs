using QuantSdk.Engines;
using QuantSdk.Interchange;
using QuantSdk.Recipes;
using QuantSdk.Runtime;
using static QuantSdk.Onnx.TensorProto.Types;

namespace QuantSdk.Calibration;

/// <summary>The recipe's data as sources.</summary>
/// <param name="Calibration">What to calibrate on; null where a calibration cache is all there is.</param>
/// <param name="HeldOut">What to judge on; null likewise.</param>
/// <param name="Cache">A calibration cache of TensorRT, whose ranges stand in for those of the data; its path.</param>
internal sealed record CalibrationInputs(CalibrationSource? Calibration, CalibrationSource? HeldOut, string? Cache = null)
{
    /// <summary>A few of the calibration's samples, made anew: what caching is decided on. Null where no sampler is given, or nothing is cached.</summary>
    public CalibrationSource? Trajectories { get; init; }

    private const string Negative = "negative.";
    private const int RandomRows = 16;

    /// <summary>Samples made for judging: a few suffice, as every step of each counts.</summary>
    private const int HeldOutSamples = 4;

    /// <param name="ports">The float model's inputs.</param>
    /// <param name="conditioner">The model of ConditionedBy, in float, or null.</param>
    /// <param name="log">Told where data is random or nothing is held out.</param>
    public static CalibrationInputs Read(BuildRequest request, Recipe recipe, IReadOnlyList<Port> ports, DiffusionRoles? roles, ModelSession? conditioner, IBuildLog log)
    {
        var files = recipe.CalibrationData.ToLookup(f => f.EndsWith(TensorRtCalibrationCache.Extension, StringComparison.OrdinalIgnoreCase));
        if (!files[true].Any())
            return ReadRows(request, recipe, ports, roles, conditioner, log);
        if (files[true].Count() > 1)
            throw new QuantSdkException("QSDK1020", $"{recipe.Name}: CalibrationData names {files[true].Count()} calibration caches ({string.Join(", ", files[true])}); one can be used.", request.Model);
        var cache = Path.GetFullPath(files[true].Single(), request.ProjectDirectory);
        IReadOnlyList<string> rows = files[false].Any() ? [.. files[false]] : recipe.ValidationData;
        if (rows.Count > 0)
            return ReadRows(request, recipe with { CalibrationData = rows }, ports, roles, conditioner, log) with { Cache = cache };
        if (recipe.MinSqnr is not null || recipe.MinCosine is not null)
            throw new QuantSdkException("QSDK2001", $"{recipe.Name}: MinSqnr and MinCosine need rows to judge on, and CalibrationData is a calibration cache alone. Give ValidationData.", request.Model);
        log.Warning("QSDK2006", $"{recipe.Name}: ranges come from a calibration cache and no rows are given to judge on: the quality is not measured. Give ValidationData.", request.Model);
        return new CalibrationInputs(null, null, cache);
    }

    /// <summary>One row of random numbers for each input, to learn shapes from.</summary>
    public static Feed RandomRow(IReadOnlyList<Port> ports, string model)
    {
        var feed = Feed.Fit(ports.ToDictionary(p => p.Name, RandomRowsFor, StringComparer.Ordinal), ports, model);
        return feed.Slice(0, feed.Batch ?? 1);
    }

    private static CalibrationInputs ReadRows(BuildRequest request, Recipe recipe, IReadOnlyList<Port> ports, DiffusionRoles? roles, ModelSession? conditioner, IBuildLog log)
    {
        var own = recipe.Scheduler is null ? ports : [.. ports.Where(p => p.Name != roles!.Sample && p.Name != roles.Timestep)];
        var fed = conditioner is null ? own : [.. own.Where(p => conditioner.Outputs.All(o => o.Name != p.Name)), .. conditioner.Inputs];
        var random = recipe.CalibrationData is ["random"];
        if (recipe.CalibrationData.Count == 0 && fed.Count > 0)
            throw new QuantSdkException("QSDK2001", $"{recipe.Name}: int8 needs CalibrationData: .npz, .npy or .safetensors files with {Feed.Wanted(fed)}; axis 0 of each array counts rows. (CalibrationData=\"random\" builds without, at a loss.)", request.Model);
        if (random)
            log.Warning("QSDK2005", $"{recipe.Name}: calibrated on random numbers. Ranges will not fit real inputs; use this to try the build, not to ship.", request.Model);

        IReadOnlyDictionary<string, NpyArray> Load(IReadOnlyList<string> files) =>
            random ? fed.ToDictionary(p => p.Name, RandomRowsFor, StringComparer.Ordinal) : CalibrationFiles.Read([.. files.Select(f => Path.GetFullPath(f, request.ProjectDirectory))], fed.Count == 1 ? fed[0].Name : null);

        var data = Load(recipe.CalibrationData);
        CheckNames(recipe, data, fed, request.Model);
        var validation = recipe.ValidationData.Count > 0 ? Load(recipe.ValidationData) : null;
        if (validation is not null)
            CheckNames(recipe, validation, fed, request.Model);
        if (recipe.Scheduler is null)
            return FromRows(Join(data, "", conditioner, own), validation is null ? null : Join(validation, "", conditioner, own), own, roles?.Timestep ?? recipe.TimestepInput, recipe, request.Model, log);
        return FromSampling(data, validation, conditioner, own, ports, roles!, recipe, request, random);
    }

    private static CalibrationInputs FromRows(IReadOnlyDictionary<string, NpyArray> data, IReadOnlyDictionary<string, NpyArray>? validation, IReadOnlyList<Port> ports, string? timestep, Recipe recipe, string model, IBuildLog log)
    {
        var feed = Feed.Fit(data, ports, model);
        if (validation is not null)
            return new CalibrationInputs(ToCalibrateOn(feed), new RowSource(Feed.Fit(validation, ports, model)));
        // The last tenth is never calibrated on; whole batches where the model's batch is fixed.
        var unit = feed.Batch ?? 1;
        var held = Math.Max(unit, feed.Rows / 10 / unit * unit);
        if (feed.Rows - held < unit)
        {
            log.Warning("QSDK2006", $"{recipe.Name}: {feed.Rows} row(s) of calibration data leave none to judge on; the quality below is measured on the calibration data itself. Give more rows, or ValidationData.", model);
            return new CalibrationInputs(ToCalibrateOn(feed), new RowSource(feed));
        }
        return new CalibrationInputs(ToCalibrateOn(feed.Slice(0, feed.Rows - held)), new RowSource(feed.Slice(feed.Rows - held, held)));

        RowSource ToCalibrateOn(Feed rows) => recipe.Calibrator == "timestep" && timestep is not null ? RowSource.ByTimestep(rows, ports.First(p => p.Name == timestep)) : new RowSource(rows);
    }

    private static CalibrationInputs FromSampling(
        IReadOnlyDictionary<string, NpyArray> data, IReadOnlyDictionary<string, NpyArray>? validation, ModelSession? conditioner, IReadOnlyList<Port> own,
        IReadOnlyList<Port> ports, DiffusionRoles roles, Recipe recipe, BuildRequest request, bool random)
    {
        var sampler = Sampler.FromConfig(Path.GetFullPath(recipe.Scheduler!, request.ProjectDirectory));
        var sample = ports.First(p => p.Name == roles.Sample);
        if (sample.Shape.Skip(1).Any(d => d <= 0))
            throw new QuantSdkException("QSDK2007", $"{recipe.Name}: the sample input {sample.Name} ({sample}) has no fixed size beyond the batch; calibrating by sampling needs one. Export the model with a fixed sample size.", request.Model);
        var (conditioning, rows) = Conditioned(data, int.MaxValue);
        var (heldConditioning, heldRows) = Conditioned(validation ?? data, HeldOutSamples);
        // Seeds follow those of the calibration, so no noise is seen twice.
        return new CalibrationInputs(Source(conditioning, rows, recipe.Seed), Source(heldConditioning, heldRows, recipe.Seed + rows)) { Trajectories = Trajectories() };

        CalibrationSource? Trajectories()
        {
            if (recipe.Cache is null)
                return null;
            var (few, count) = Conditioned(data, HeldOutSamples);
            return Source(few, count, recipe.Seed);
        }

        SamplingSource Source(Conditioning c, int n, long seed) => new(sampler, roles, c, [.. sample.Shape.Skip(1)], n, recipe.Steps, recipe.GuidanceScale, seed);

        (Conditioning, int) Conditioned(IReadOnlyDictionary<string, NpyArray> arrays, int most)
        {
            var positive = Feed.Fit(Join(arrays, "", conditioner, own), own, request.Model);
            Feed? negative = null;
            if (recipe.GuidanceScale != 1)
            {
                if (!random && !arrays.Keys.Any(k => k.StartsWith(Negative, StringComparison.Ordinal)) && own.Count > 0)
                    throw new QuantSdkException("QSDK2008", $"{recipe.Name}: GuidanceScale {recipe.GuidanceScale} needs the unconditional rows: arrays named {Negative}INPUT, for the inputs {string.Join(", ", (conditioner?.Inputs ?? own).Select(p => p.Name))}. Add them, or set GuidanceScale to 1.", request.Model);
                negative = Feed.Fit(Join(arrays, Negative, conditioner, own), own, request.Model);
            }
            var count = Math.Min(most, Math.Max(positive.Rows, negative?.Rows ?? 1));
            return (new Conditioning(Tensors(positive, own, count), negative is null ? null : Tensors(negative, own, count)), count);
        }
    }

    private static IReadOnlyDictionary<string, ModelTensor> Tensors(Feed feed, IReadOnlyList<Port> ports, int rows) => ports.ToDictionary(p => p.Name, p =>
    {
        var array = feed.Inputs[p.Name].Slice(0, Math.Min(rows, feed.Rows)).Array;
        return ModelTensor.FromBytes(p.Type, [.. array.Shape], array.Data.Span);
    }, StringComparer.Ordinal);

    /// <summary>The arrays for a model's own inputs; what the conditioner makes is computed from its inputs.</summary>
    /// <param name="prefix">"negative." for the unconditional rows, which fall back to the conditional ones.</param>
    private static Dictionary<string, NpyArray> Join(IReadOnlyDictionary<string, NpyArray> data, string prefix, ModelSession? conditioner, IReadOnlyList<Port> own)
    {
        NpyArray? Find(string name) => data.GetValueOrDefault(prefix + name) ?? data.GetValueOrDefault(name);
        var joined = new Dictionary<string, NpyArray>(StringComparer.Ordinal);
        foreach (var port in own)
        {
            if (Find(port.Name) is { } array)
                joined[port.Name] = array;
        }
        if (conditioner is null)
            return joined;
        var feed = Feed.Fit(conditioner.Inputs.Where(i => Find(i.Name) is not null).ToDictionary(i => i.Name, i => Find(i.Name)!, StringComparer.Ordinal), conditioner.Inputs, conditioner.File);
        using var runner = new RowRunner(conditioner, Math.Min(feed.Rows, 16));
        var parts = own.Where(p => conditioner.Outputs.Any(o => o.Name == p.Name)).ToDictionary(p => p.Name, _ => new List<NpyArray>(), StringComparer.Ordinal);
        runner.Run(feed, null, null, (binding, _, _) =>
        {
            foreach (var (name, list) in parts)
            {
                var tensor = binding.OutputTensor(name);
                list.Add(new NpyArray((DataType)tensor.ElementType.Element, [.. tensor.Dimensions], tensor.Bytes.ToArray(), $"'{name}' of {Path.GetFileName(conditioner.File)}"));
            }
        }, default);
        foreach (var (name, list) in parts)
        {
            var shape = list[0].Shape;
            joined[name] = list[0] with { Shape = [list.Sum(a => a.Shape[0]), .. shape.Skip(1)], Data = list.SelectMany(a => a.Data.ToArray()).ToArray() };
        }
        return joined;
    }

    private static void CheckNames(Recipe recipe, IReadOnlyDictionary<string, NpyArray> data, IReadOnlyList<Port> fed, string model)
    {
        foreach (var key in data.Keys)
        {
            var name = recipe.Scheduler is not null && key.StartsWith(Negative, StringComparison.Ordinal) ? key[Negative.Length..] : key;
            if (fed.All(p => p.Name != name))
                throw new QuantSdkException("QSDK2009", $"{recipe.Name}: the calibration data holds {data[key]}, which is no input.{NearNames.Suggest(name, fed.Select(p => p.Name))} Wanted: {Feed.Wanted(fed)}.", model);
        }
    }

    private static NpyArray RandomRowsFor(Port port)
    {
        long[] shape = [port.Shape is [> 0, ..] ? port.Shape[0] : RandomRows, .. port.Shape.Skip(1).Select(d => d > 0 ? d : 8)];
        var count = TensorShape.Count(shape, port.Type);
        var source = $"random {port.Name}";
        if (!Onnx.ElementType.IsFloat((int)port.Type.Element))
            return new NpyArray(DataType.Int64, shape, new byte[count * sizeof(long)], source);
        var values = new float[count];
        TorchRandom.Normal(0, values);
        return new NpyArray(DataType.Float, shape, System.Runtime.InteropServices.MemoryMarshal.AsBytes(values.AsSpan()).ToArray(), source);
    }
}
