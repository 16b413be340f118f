using System.Globalization;
using QuantSdk.Bench;

CultureInfo.DefaultThreadCurrentCulture = CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;

(string Name, string What, Action<Report> Run)[] benchmarks =
[
    ("quantise", "UNet, MMDiT and CNN by the peers' protocol: SQNR, int8 share, cost of quantising", QuantiseBench.Run),
    ("half", "graphs for TensorRT in 16 bits: what that costs beside int8", HalfBench.Run),
    ("fidelity", "every model and format: error and end metric of naive min/max and of our default; [model…] [format…] for a part", report => FidelityBench.Run(report, [])),
    ("block", "an SD-like block and an 8x larger model: int8 against float, calibration against plain forwards", BlockBench.Run),
    ("engine", "load time and memory of a built engine against the float .onnx", EngineBench.Run),
    ("stream", "a 10 GB model to 4-bit weights: memory and speed", StreamBench.Run),
    ("speed", "UNet, MMDiT and CNN: the planned int8 engine against our own float engine, two rows, two threads", SpeedBench.Run),
    ("caching", "UNet and MMDiT, deep features cached between steps: speed, accuracy, error, searched schedules, memory, recorded runs; [model…] [section…] for a part", report => CachingBench.Run(report, [])),
    ("costs", "the cost table of this class of CPU: each layer shape in float and in int8, one thread", CostsBench.Run),
    ("build", "twenty up-to-date models in a build against none; a hundred builds killed; [section…] for a part", report => BuildBench.Run(report, [])),
];

switch (args)
{
    case []:
        foreach (var (name, what, _) in benchmarks)
            Console.WriteLine($"{name,-10} {what}");
        Console.WriteLine($"{"all",-10} every one of them");
        Console.WriteLine($"{"sdxl",-10} FOLDER [images=8] [option=value…]: a large UNet that `quantsdk cut` has divided, on a GPU (bench/sdxl)");
        return 0;
    case ["child", var name, .. var rest]:
        return Children.Run(name, rest);
    case ["all"]:
        return RunAll(benchmarks);
    case ["fidelity", .. var parts] when FidelityBench.Unknown(parts) is { } unknown:
        Console.Error.WriteLine(unknown);
        return 2;
    case ["fidelity", .. var parts]:
        return RunAll([("fidelity", string.Join(' ', parts), report => FidelityBench.Run(report, parts))]);
    case ["caching", .. var parts] when CachingBench.Unknown(parts) is { } unknown:
        Console.Error.WriteLine(unknown);
        return 2;
    case ["caching", .. var parts]:
        return RunAll([("caching", string.Join(' ', parts), report => CachingBench.Run(report, parts))]);
    case ["build", .. var parts] when BuildBench.Unknown(parts) is { } unknown:
        Console.Error.WriteLine(unknown);
        return 2;
    case ["build", .. var parts]:
        return RunAll([("build", string.Join(' ', parts), report => BuildBench.Run(report, parts))]);
    case ["sdxl", var folder, .. var settings] when settings.All(s => s.Contains('=', StringComparison.Ordinal)):
        return RunAll([("sdxl", string.Join(' ', settings), report => SdxlBench.Run(report, folder, settings))]);
    case [var name] when benchmarks.FirstOrDefault(b => b.Name == name) is { Name: not null } found:
        return RunAll([found]);
    default:
        Console.Error.WriteLine($"There is no benchmark '{string.Join(' ', args)}'. There are: {string.Join(", ", benchmarks.Select(b => b.Name))}, all.");
        return 2;
}

static int RunAll(IEnumerable<(string Name, string What, Action<Report> Run)> benchmarks)
{
    foreach (var (name, what, run) in benchmarks)
    {
        Console.WriteLine($"{name}: {what}");
        var report = new Report();
        run(report);
        report.WriteFigures();
    }
    return 0;
}
