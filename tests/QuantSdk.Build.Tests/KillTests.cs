using QuantSdk.Bench.Building;

namespace QuantSdk.Build.Tests;

/// <summary>SIGKILL at any moment: no orphan, no half file, and the next build is right. The benchmark `build kill` does the same a hundred times.</summary>
[TestClass]
public sealed class KillTests
{
    [TestMethod]
    public void Killed_builds_leave_whole_engines_no_orphans_and_the_next_build_makes_the_same_bytes()
    {
        if (!OperatingSystem.IsLinux()) Assert.Inconclusive("Processes are found in /proc.");
        var folder = Directory.CreateTempSubdirectory("quantsdk-kill-");
        try
        {
            string Digits(string file) => Path.Combine(RepositoryPaths.DigitsModels, file);
            var trials = new KillTrials(folder.FullName, Digits("digits_cnn.onnx"), Digits("digits_calib.npz"), RepositoryPaths.Targets, RepositoryPaths.TasksAssembly, RepositoryPaths.ToolAssembly);

            // Every victim and nearly every stage, first without an engine, then with an old one.
            var outcomes = new[] { 1, 2, 8, 9, 14, 15, 20, 21, 28, 35 }.Select(trials.Run).ToList();

            Assert.AreEqual("", string.Join('\n', outcomes.Where(o => !o.Survived)));
            Assert.IsGreaterThanOrEqualTo(3, outcomes.Select(o => o.Stage).Distinct().Count(), string.Join('\n', outcomes));
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }
}
