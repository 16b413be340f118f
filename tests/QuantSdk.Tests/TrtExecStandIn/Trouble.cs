namespace QuantSdk.TrtExecStandIn;

/// <summary>The ways in which a run can go wrong.</summary>
internal static class Trouble
{
    // Asked for its version.
    public const string ProbeHangs = "probe-hangs", ProbeSaysNothing = "probe-says-nothing", ProbeFails = "probe-fails", ProbeWithoutLibraries = "probe-without-libraries";

    // Before the build.
    public const string NoGpu = "no-gpu", NoDevices = "no-devices", Assertion = "assertion", Deaf = "hang";

    // The parser.
    public const string BadNode = "bad-node", UnknownOperator = "unknown-operator", ZeroPoint = "zero-point", NegativeScale = "negative-scale";

    // The builder.
    public const string NoImplementation = "no-implementation", OutOfMemory = "out-of-memory", Killed = "killed", Crash = "crash", DiskFull = "disk-full", Flood = "flood";

    // What it leaves.
    public const string EmptyPlan = "empty-plan", CutPlan = "cut-plan", NoPlan = "no-plan", NotAPlan = "not-a-plan", OtherVersion = "other-version", NoLastLine = "no-last-line", PassedAndFailed = "passed-and-failed", NoDeviceLines = "no-device-lines";

    // The timing cache.
    public const string CacheNotWritten = "cache-not-written";

    // Loading.
    public const string LoadOtherVersion = "load-other-version", LoadOtherGpu = "load-other-gpu", LoadOutOfMemory = "load-out-of-memory", NoFigures = "no-figures";

    public const string ManyWarnings = "many-warnings", LeavesChild = "leaves-child";

    public static IReadOnlyList<string> All { get; } =
    [
        ProbeHangs, ProbeSaysNothing, ProbeFails, ProbeWithoutLibraries, NoGpu, NoDevices, Assertion, Deaf, BadNode, UnknownOperator, ZeroPoint, NegativeScale, NoImplementation, OutOfMemory, Killed, Crash, DiskFull, Flood,
        EmptyPlan, CutPlan, NoPlan, NotAPlan, OtherVersion, NoLastLine, PassedAndFailed, NoDeviceLines, CacheNotWritten, LoadOtherVersion, LoadOtherGpu, LoadOutOfMemory, NoFigures, ManyWarnings, LeavesChild,
    ];
}
