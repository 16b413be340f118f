using System.Diagnostics;

namespace QuantSdk.Build.Tests.BadInputs;

/// <summary>Places that cannot be written.</summary>
internal static class BadOutputs
{
    private static readonly string[] s_anotherUser = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

    public static IEnumerable<(string Name, BadInput Input)> All { get; } =
    [
        ("output whose parent is a file", new("QSDK1004", ["tiny.onnx/engine"], f => [f["tiny.onnx"], "--data", f["good.npz"], "--output", f["tiny.onnx/engine"]])),
        ("output that is a file", new("QSDK1004", ["good.npz"], f => [f["tiny.onnx"], "--data", f["good.npz"], "--output", f["good.npz"]])),
        ("output that holds something else", new("QSDK1005", ["diary.txt"], f =>
        {
            f.Write("out/engine/diary.txt", "mine");
            return [f["tiny.onnx"], "--data", f["good.npz"]];
        })),
        ("report whose parent is a file", new("QSDK1004", ["tiny.onnx/report.json"], f => [f["tiny.onnx"], "--data", f["good.npz"], "--report", f["tiny.onnx/report.json"]])),
        // bash counts in KiB; the classifier's weights have 430.
        ("no space while calibrating", new("QSDK1004", ["engine."], DigitsCnn) { Wrapper = ["bash", "-c", "ulimit -f 64; exec \"$0\" \"$@\""], NotHere = NotOnWindows }),
        ("no space while ONNX Runtime writes", new("QSDK1004", ["model.optimised.onnx"], f => [.. DigitsCnn(f), "--precision", "none"])
            { Wrapper = ["bash", "-c", "ulimit -f 450; exec \"$0\" \"$@\""], NotHere = NotOnWindows }),
        ("folder of another user", new("QSDK1004", ["denied"], f =>
        {
            // Readable for the other user, writable for us alone, but for home and the temporary files.
            if (!OperatingSystem.IsWindows())
            {
                foreach (var folder in (string[])[f.Root, f["out"], f.Output])
                    File.SetUnixFileMode(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute | UnixFileMode.GroupRead | UnixFileMode.GroupExecute | UnixFileMode.OtherRead | UnixFileMode.OtherExecute);
                foreach (var folder in (string[])[f.Home, f.Temporary])
                    File.SetUnixFileMode(folder, (UnixFileMode)0b111_111_111);
            }
            return [f["tiny.onnx"], "--data", f["good.npz"]];
        }) { Wrapper = s_anotherUser, NotHere = NoOtherUser }),
    ];

    private static string[] DigitsCnn(CaseFolder f) => [Path.Combine(RepositoryPaths.DigitsModels, "digits_cnn.onnx"), "--data", Path.Combine(RepositoryPaths.DigitsModels, "digits_calib.npz")];

    private static string? NotOnWindows() => OperatingSystem.IsWindows() ? "Windows has no ulimit." : null;

    private static string? NoOtherUser()
    {
        if (!OperatingSystem.IsLinux() || Environment.UserName != "root")
            return "Only root can run the tool as another user.";
        using var probe = Process.Start(new ProcessStartInfo(s_anotherUser[0], [.. s_anotherUser[1..], "test", "-r", RepositoryPaths.ToolAssembly]))!;
        probe.WaitForExit();
        return probe.ExitCode == 0 ? null : $"Another user cannot read '{RepositoryPaths.ToolAssembly}'.";
    }
}
