namespace QuantSdk.Runtime;

/// <summary>A model that a build made, loaded and ready to run. Its members may be used from several threads; each <see cref="ModelBinding"/> from one.</summary>
public sealed class QuantizedModel : IDisposable
{
    private QuantizedModel(Manifest manifest, ModelSelection selection, ModelSession session, ModelSession? live, IReadOnlyList<TensorInfo> cached)
    {
        (Manifest, Selection, Session, Live, Cached) = (manifest, selection, session, live, cached);
        Inputs = [.. session.Inputs.Select(port => port.Info)];
        // The cached tensors are the pipeline's business.
        Outputs = [.. session.Outputs.SkipLast(cached.Count).Select(port => port.Info)];
        if (manifest.Roles is { } roles)
            Denoiser = new ModelDenoiser(session, roles);
    }

    /// <summary>What the build says about the model.</summary>
    public Manifest Manifest { get; }

    /// <summary>Which of the model's files runs, by which provider, and why.</summary>
    public ModelSelection Selection { get; }

    /// <summary>The loaded variant's target, such as <c>cpu</c>.</summary>
    public string Target => Selection.Target;

    /// <summary>The inputs, in the order of the graph.</summary>
    public IReadOnlyList<TensorInfo> Inputs { get; }

    /// <summary>The outputs, in the order of the graph.</summary>
    public IReadOnlyList<TensorInfo> Outputs { get; }

    internal ModelSession Session { get; }

    /// <summary>The live part, or null where the model is not cached.</summary>
    internal ModelSession? Live { get; }

    /// <summary>The last outputs of <see cref="Session"/>, inputs of <see cref="Live"/>.</summary>
    internal IReadOnlyList<TensorInfo> Cached { get; }

    /// <summary>The model in a diffusion loop, or null where the manifest names no roles.</summary>
    internal ModelDenoiser? Denoiser { get; }

    /// <summary>
    /// Loads the first variant of a model's folder that works here, after comparing its files with the manifest's sizes and hashes.
    /// </summary>
    /// <param name="directory">The folder <c>models/NAME</c>; a relative path starts at <see cref="AppContext.BaseDirectory"/>, never at the working directory.</param>
    /// <param name="options">Threads and verification; null for the defaults.</param>
    /// <param name="log">Receives one line that says which file and provider were chosen and why.</param>
    /// <exception cref="QuantSdkException">
    /// QSDK7001, 7002: no such folder or no manifest in it; 7003, 7004: the manifest cannot be used; 7005: a path leaves the folder;
    /// 7006, 7007: a file is missing or damaged; 7008: no variant runs here; 7009: ONNX Runtime refuses the file; 7010: file and manifest disagree.
    /// </exception>
    public static QuantizedModel Load(string directory, QuantizedModelOptions? options = null, Action<string>? log = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(directory);
        options ??= new QuantizedModelOptions();
        directory = Path.TrimEndingDirectorySeparator(Path.GetFullPath(directory, AppContext.BaseDirectory));
        var manifestFile = FindManifest(directory);
        var manifest = ManifestFile.Read(manifestFile);
        var failed = new Dictionary<EngineVariant, string>(ReferenceEqualityComparer.Instance);
        while (true)
        {
            var (variant, selection) = VariantSelector.Select(manifest, manifestFile, ModelSession.OnnxRuntimeVersion, options.CpuFeatures, v => Judge(v, options, failed));
            try
            {
                var model = LoadVariant(directory, manifestFile, manifest, variant, selection, options);
                log?.Invoke($"QuantSdk: {manifest.Name}: {selection}");
                if (manifest.Fallback is { } gate)
                    log?.Invoke($"QuantSdk: {manifest.Name}: this is the float model; the quantised one missed a gate ({gate})");
                return model;
            }
            catch (QuantSdkException e) when (e.Code == "QSDK7009" && variant.Target is CudaProvider.Target or TensorRtProvider.Target && manifest.Variants.Any(v => !ReferenceEquals(v, variant) && !failed.ContainsKey(v)))
            {
                // The provider is there and does not work: no GPU, an old driver, too little memory.
                failed.Add(variant, e.Message.ReplaceLineEndings(" ").Trim());
            }
        }
    }

    /// <summary>Binds buffers for one set of input shapes, to be filled and run as often as wanted.</summary>
    /// <param name="inputShapes">The shape of every input, by name.</param>
    /// <exception cref="QuantSdkException">QSDK7020: an input is missing or unknown; QSDK7022: a shape does not fit; QSDK7024: the model has been disposed.</exception>
    public ModelBinding Bind(IReadOnlyDictionary<string, long[]> inputShapes)
    {
        ArgumentNullException.ThrowIfNull(inputShapes);
        return Session.Bind(inputShapes);
    }

    /// <summary>Runs the model once. For repeated runs of one shape <see cref="Bind"/> saves the copies.</summary>
    /// <param name="inputs">Every input, by name.</param>
    /// <returns>Every output, by name.</returns>
    /// <exception cref="QuantSdkException">QSDK7020: an input is missing or unknown; QSDK7021, 7022: its type or shape does not fit; QSDK7023: the run failed; QSDK7024: the model has been disposed.</exception>
    public IReadOnlyDictionary<string, ModelTensor> Run(IReadOnlyDictionary<string, ModelTensor> inputs)
    {
        ArgumentNullException.ThrowIfNull(inputs);
        return Session.Run(inputs, Outputs.Count);
    }

    /// <summary>Frees the model and every binding of it.</summary>
    public void Dispose()
    {
        Denoiser?.Dispose();
        Live?.Dispose();
        Session.Dispose();
    }

    /// <summary>The model and its live part in a diffusion loop, or null where it is not cached.</summary>
    internal CachedDenoiser? CachedDenoiser(CachePlan plan) => Denoiser is not null && Live is not null ? new CachedDenoiser(Denoiser, Live, Cached, plan) : null;

    private static GpuVerdict Judge(EngineVariant variant, QuantizedModelOptions options, Dictionary<EngineVariant, string> failed)
    {
        if (failed.TryGetValue(variant, out var failure))
            return new(failure, "");
        if (variant.Target == CudaProvider.Target)
            return new(options.CudaRefusal(), "");
        return new(PlanSupport.Refusal(variant.TensorRt, options.TensorRtPlatform, options.CudaDevice, out var note), note);
    }

    private static QuantizedModel LoadVariant(string directory, string manifestFile, Manifest manifest, EngineVariant variant, ModelSelection selection, QuantizedModelOptions options)
    {
        var files = EngineFiles.Locate(directory, manifestFile, variant, selection.Model);
        var refitted = variant.TensorRt is { } plans ? PlanFile.Check(directory, manifestFile, variant, plans) : [];
        // Heads are bound anew at each timestep.
        if (variant.Heads is not null)
            options = options with { CudaGraph = false };
        var (session, live) = Open(files, variant.Heads ?? [], Settings(variant, selection, files, options), options.VerifyHashes, beforehand: variant.TensorRt is not null);
        foreach (var plan in refitted)
            plan.Keep();
        try
        {
            var cached = variant.Cache?.Tensors ?? [];
            CheckPorts(manifestFile, manifest.Inputs, session.Inputs, "inputs");
            CheckPorts(manifestFile, [.. manifest.Outputs, .. cached], session.Outputs, "outputs");
            TensorInfo[] hoisted = [.. variant.Heads?.SelectMany(head => head.Tensors) ?? []];
            foreach (var (info, head) in (variant.Heads ?? []).Zip(session.Heads))
            {
                // What each reads is among what the model is fed and what the heads before it compute.
                TensorInfo[] known = [.. manifest.Inputs, .. hoisted.TakeWhile(tensor => tensor != info.Tensors[0])];
                CheckPorts(manifestFile, [.. Read(known, head.Session)], Ordered(head.Session.Inputs, known), $"inputs of '{info.Model}'");
                CheckPorts(manifestFile, info.Tensors, head.Session.Outputs, $"outputs of '{info.Model}'");
            }
            CheckPorts(manifestFile, [.. hoisted.Where(tensor => session.Hoisted.Any(port => port.Name == tensor.Name))], Ordered(session.Hoisted, hoisted), "hoisted tensors");
            if (live is not null)
            {
                // Parts of the model may depend on fewer inputs than the whole.
                TensorInfo[] known = [.. manifest.Inputs, .. hoisted];
                CheckPorts(manifestFile, [.. Read(known, live), .. cached], Ordered(live.Inputs, known), "inputs of the live part");
                CheckPorts(manifestFile, manifest.Outputs, live.Outputs, "outputs of the live part");
            }
            return new QuantizedModel(manifest, selection, session, live, cached);
        }
        catch
        {
            live?.Dispose();
            session.Dispose();
            throw;
        }
    }

    private static string FindManifest(string directory)
    {
        var name = Path.GetFileName(directory);
        if (!Directory.Exists(directory))
            throw new QuantSdkException("QSDK7001",
                $"There is no model folder '{directory}'. {Neighbours(directory)} A build with QuantSdkEnabled=false makes no models: " +
                $"build the app without it, and check that the project has a QuantizedModel item named '{name}'.", directory);
        var manifestFile = Path.Combine(directory, ManifestFile.Name);
        return File.Exists(manifestFile) ? manifestFile : throw new QuantSdkException("QSDK7002",
            $"'{directory}' holds no {ManifestFile.Name}, so that it is no model folder. {Neighbours(directory)} Build the app again, or copy the whole folder.", manifestFile);
    }

    private static string Neighbours(string directory)
    {
        var parent = Path.GetDirectoryName(directory);
        var names = parent is not null && Directory.Exists(parent)
            ? Directory.EnumerateDirectories(parent).Where(folder => File.Exists(Path.Combine(folder, ManifestFile.Name))).Select(Path.GetFileName).Order(StringComparer.Ordinal).ToArray()
            : [];
        return names.Length == 0 ? $"There are no models in '{parent}'." : $"Models in '{parent}': {string.Join(", ", names)}.";
    }

    private static SessionSettings Settings(EngineVariant variant, ModelSelection selection, EngineFiles files, QuantizedModelOptions options) => new()
    {
        Threads = options.Threads,
        Optimisation = selection.Optimised ? Microsoft.ML.OnnxRuntime.GraphOptimizationLevel.ORT_DISABLE_ALL : Microsoft.ML.OnnxRuntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
        DisabledOptimizers = selection.Optimised ? [] : variant.DisabledOptimizers,
        Entries = Entries(variant),
        Gpu = selection.Target switch
        {
            CudaProvider.Target => CudaProvider.Of(Resident(variant), options),
            TensorRtProvider.Target => TensorRtProvider.Of(variant.TensorRt!, Path.GetDirectoryName(files.ModelPath)!, Resident(variant), options),
            _ => null,
        },
    };

    /// <summary>What one session computes and only others read.</summary>
    private static IReadOnlyList<string> Resident(EngineVariant variant) => [.. variant.Cache?.Tensors.Select(t => t.Name) ?? [], .. variant.Heads?.SelectMany(head => head.Tensors).Select(t => t.Name) ?? []];

    /// <summary>ONNX Runtime's configuration entries.</summary>
    private static Dictionary<string, string> Entries(EngineVariant variant)
    {
        var entries = new Dictionary<string, string>();
        // The whole engine, its live part and its heads run in turn: the idle workers of one would spin on the cores that the other needs.
        if (variant.Cache is not null || variant.Heads is not null)
            entries["session.force_spinning_stop"] = "1";
        // The CPU cannot run a plan: the provider's own reason shall come back, not that there is no kernel.
        if (variant.Target == TensorRtProvider.Target)
            entries["session.disable_cpu_ep_fallback"] = "1";
        return entries;
    }

    /// <summary>Opens the sessions while the weights are hashed beside them; damage wins over whatever ONNX Runtime makes of the damaged file.</summary>
    /// <param name="beforehand">Hashes everything first: TensorRT may end the process where a plan is damaged.</param>
    private static (ModelSession Full, ModelSession? Live) Open(EngineFiles files, IReadOnlyList<HeadInfo> heads, SessionSettings settings, bool verify, bool beforehand)
    {
        if (!verify)
            return Open(files, heads, settings);
        files.VerifyGraphs();
        if (beforehand)
        {
            files.VerifyData();
            return Open(files, heads, settings);
        }
        var verification = Task.Run(files.VerifyData);
        (ModelSession Full, ModelSession? Live)? sessions = null;
        try
        {
            sessions = Open(files, heads, settings);
        }
        finally
        {
            try
            {
                verification.GetAwaiter().GetResult();
            }
            catch
            {
                sessions?.Live?.Dispose();
                sessions?.Full.Dispose();
                throw;
            }
        }
        return sessions.Value;
    }

    private static (ModelSession Full, ModelSession? Live) Open(EngineFiles files, IReadOnlyList<HeadInfo> heads, SessionSettings settings)
    {
        var full = OpenWithHeads(files.ModelPath, heads.Zip(files.HeadPaths, (head, path) => (path, head.DependsOn, head.OneThread)), settings);
        try
        {
            return (full, files.LivePath is null ? null : ModelSession.Open(files.LivePath, settings));
        }
        catch
        {
            full.Dispose();
            throw;
        }
    }

    /// <summary>Opens a model and the heads that compute some of its inputs.</summary>
    internal static ModelSession OpenWithHeads(string path, IEnumerable<(string Path, string DependsOn, bool OneThread)> heads, SessionSettings settings)
    {
        var opened = new List<ModelHead>();
        try
        {
            foreach (var head in heads)
                opened.Add(new ModelHead(ModelSession.Open(head.Path, head.OneThread ? settings with { Threads = 1 } : settings), head.DependsOn));
            return ModelSession.Open(path, settings, opened);
        }
        catch
        {
            foreach (var head in opened)
                head.Session.Dispose();
            throw;
        }
    }

    /// <summary>Those that a part of the model reads, which may be fewer than there are.</summary>
    private static IEnumerable<TensorInfo> Read(IEnumerable<TensorInfo> known, ModelSession part) => known.Where(info => part.Inputs.Any(port => port.Name == info.Name));

    /// <summary>The known inputs in their order, then the others.</summary>
    private static IReadOnlyList<Port> Ordered(IReadOnlyList<Port> ports, IReadOnlyList<TensorInfo> declared) =>
        [.. declared.Join(ports, info => info.Name, port => port.Name, (_, port) => port), .. ports.Where(port => declared.All(info => info.Name != port.Name))];

    private static void CheckPorts(string manifestFile, IReadOnlyList<TensorInfo> declared, IReadOnlyList<Port> ports, string kind)
    {
        var (expected, found) = (Text(declared.Select(info => (info.Name, info.Type))), Text(ports.Select(port => (port.Name, port.Type.Name))));
        if (expected != found)
            throw new QuantSdkException("QSDK7010", $"The manifest '{manifestFile}' promises the {kind} {expected}; the model has {found}. Build the model again.", manifestFile);

        static string Text(IEnumerable<(string Name, string Type)> items) => string.Join(", ", items.Select(item => $"{item.Name}: {item.Type}"));
    }
}
