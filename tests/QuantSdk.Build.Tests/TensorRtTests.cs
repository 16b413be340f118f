using System.Text.Json;
using QuantSdk.TrtExecStandIn;

namespace QuantSdk.Build.Tests;

/// <summary>A build with the target tensorrt, by the real tool and a stand-in for trtexec.</summary>
[TestClass]
public sealed class TensorRtTests
{
    private static readonly string[] s_plan = ["tensorrt/model.context.onnx", "tensorrt/model.plan"];

    [TestMethod]
    public void A_plan_is_built_beside_the_app_and_a_failure_is_a_coded_error_that_loses_nothing()
    {
        using var project = new FixtureProject("""<QuantizedModel Include="digits_cnn.onnx" Precision="none" Prepacked="false" BuilderOptimizationLevel="4" LayerInfo="true" />""", folder: "an app", tool: RepositoryPaths.ToolAssembly);
        File.Copy(Path.Combine(RepositoryPaths.DigitsModels, "digits_cnn.onnx"), Path.Combine(project.Folder, "digits_cnn.onnx"));
        var trt = Path.Combine(project.Folder, "Tensor RT");
        StandInTrtExec.Write(trt, "10.13");
        string[] properties = [$"-p:QuantSdkTrtExecPath={trt}", "-p:QuantSdkNvidiaDriver=present", "-p:QuantSdkOnEngineFailure=error"];

        var first = project.Run("build", properties);
        Assert.IsTrue(first.Succeeded, string.Join("; ", first.Errors));
        CollectionAssert.IsSubsetOf(s_plan, FixtureProject.FilesIn(Path.Combine(project.OutputFolder, "models", "digits_cnn")).ToList());
        var variants = JsonDocument.Parse(project.Engine("digits_cnn")["manifest.json"]).RootElement.GetProperty("variants");
        Assert.AreEqual("tensorrt cpu", $"{variants[0].GetProperty("target").GetString()} {variants[1].GetProperty("target").GetString()}");
        CollectionAssert.Contains(StandInTrtExec.Runs(trt).Single().Arguments.ToArray(), "--builderOptimizationLevel=4");
        var warning = first.Warnings.Single();
        Assert.AreEqual("QSDK4050", warning.Code);
        StringAssert.EndsWith(warning.File, "digits_cnn.onnx", StringComparison.Ordinal, warning.Text);
        CollectionAssert.IsSubsetOf((string[])["digits_cnn.trtexec.log", "digits_cnn.layers.json"], Directory.GetFiles(Path.Combine(project.EngineFolder, ".state")).Select(Path.GetFileName).ToArray());

        var second = project.Run("build", properties);
        Assert.IsTrue(second.Succeeded);
        Assert.IsEmpty(second.ModelsBuilt);
        Assert.AreEqual(1, StandInTrtExec.Probes(trt), "the version is remembered");

        var plan = File.ReadAllBytes(Path.Combine(project.EngineFolder, "digits_cnn", s_plan[1]));
        StandInTrtExec.Write(trt, "10.13", "out-of-memory");
        var failed = project.Run("build", properties);
        Assert.IsFalse(failed.Succeeded);
        CollectionAssert.AreEqual((string[])["QSDK4035"], failed.ErrorCodes.ToArray());
        CollectionAssert.AreEqual(plan, File.ReadAllBytes(Path.Combine(project.EngineFolder, "digits_cnn", s_plan[1])), "the old engine is kept");

        // What auto has chosen is left out where it cannot be had, and that is said.
        var without = project.Run("build", properties[0], properties[1]);
        Assert.IsTrue(without.Succeeded, string.Join("; ", without.Errors));
        StringAssert.Contains(without.Warnings.Single(w => w.Code == "QSDK4014").Text, "QSDK4035", StringComparison.Ordinal);

        // Without a driver auto is the cpu, and that is said.
        var cpu = project.Run("build", properties[0], "-p:QuantSdkNvidiaDriver=absent");
        Assert.IsTrue(cpu.Succeeded, string.Join("; ", cpu.Errors));
        Assert.IsTrue(cpu.Messages.Any(m => m.Contains("Targets=auto is cpu: trtexec is here, and no NVIDIA driver is", StringComparison.Ordinal)));
        Assert.IsTrue(project.Run("clean", properties).Succeeded);
        Assert.IsFalse(Directory.Exists(project.EngineFolder), "clean leaves nothing");
    }
}
