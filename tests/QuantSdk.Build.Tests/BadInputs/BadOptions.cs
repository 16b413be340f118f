namespace QuantSdk.Build.Tests.BadInputs;

/// <summary>Values that are not allowed, and a diffusion loop that cannot run.</summary>
internal static class BadOptions
{
    private const string Scheduler = """{"_class_name": "DDIMScheduler", "num_train_timesteps": 1000, "beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear"}""";

    public static IEnumerable<(string Name, BadInput Input)> All { get; } =
    [
        ("unknown precision", Option("QSDK1020", ["int9", "int8"], "--precision", "int9")),
        ("number that is none", Option("QSDK1020", ["Seed", "seven"], "--seed", "seven")),
        ("steps without a scheduler", Option("QSDK1020", ["Steps", "Scheduler"], "--steps", "5")),
        ("unknown calibrator with a near name", Option("QSDK1020", ["entropi", "Did you mean 'entropy'?"], "--calibrator", "entropi")),
        ("unknown target", Option("QSDK1020", ["npu", "tensorrt-onnx"], "--targets", "npu")),
        ("target of a later version", Option("QSDK1021", ["cuda"], "--targets", "cuda")),
        ("nothing to ship", Option("QSDK1020", ["Portable", "Prepacked"], "--portable", "false", "--prepacked", "false")),
        ("unknown pattern in ExcludeModules", Option("QSDK1023", ["ExcludeModules", "midle", "Did you mean 'middle'?"], "--exclude-modules", "midle")),
        ("everything excluded", Option("QSDK3003", ["matched by ExcludeModules"], "--exclude-modules", "*")),
        ("gate out of reach", Option("QSDK5001", ["'y'", "150"], "--min-sqnr", "150")),
        ("input that the model does not have", Option("QSDK1024", ["SampleInput", "latent"], "--sample-input", "latent")),
        ("scheduler for a model without timestep", new("QSDK1024", ["timestep"], f => [f["tiny.onnx"], "--data", f["good.npz"], "--scheduler", f.Write("scheduler.json", Scheduler)])),
        ("unknown scheduler class", Sampling("QSDK7031", ["FooScheduler"], """{"_class_name": "FooScheduler"}""")),
        ("truncated scheduler config", Sampling("QSDK7030", ["scheduler.json"], Scheduler[..40])),
        ("guidance without unconditional rows", Sampling("QSDK2008", ["negative.", "cond"], Scheduler, "--guidance-scale", "2")),
    ];

    private static BadInput Option(string code, string[] cause, params string[] options) => new(code, cause, f => [f["tiny.onnx"], "--data", f["good.npz"], .. options]);

    private static BadInput Sampling(string code, string[] cause, string scheduler, params string[] options) => new(code, cause, f => [.. Sampling(f, scheduler), .. options]);

    /// <summary>The arguments of a good run by sampling, but for the scheduler.</summary>
    public static string[] Sampling(CaseFolder f, string scheduler = Scheduler) =>
    [
        f.Write("denoiser.onnx", TinyModel.Denoiser()), "--data", f.Write("cond.npz", NumPy.Npz(("cond", NumPy.Floats("4, 1, 8, 8", 256)))),
        "--scheduler", f.Write("scheduler.json", scheduler), "--steps", "3",
    ];
}
