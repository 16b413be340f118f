using QuantSdk.Engines.TensorRt;
using QuantSdk.Runtime;
using QuantSdk.TrtExecStandIn;

namespace QuantSdk.Tests.Engines.TensorRt;

[TestClass]
public sealed class TrtExecProbeTests
{
    [TestMethod]
    public void Every_version_is_read_from_its_banner_without_a_build()
    {
        foreach (var version in StandInVersion.All)
        {
            using var folder = new TempFolder();
            var path = StandInTrtExec.Write(folder.Path, version.Family);
            var found = TrtExec.Find(new(path), default);
            Assert.AreEqual((version.Release, path, "QuantSdkTrtExecPath"), (found.Version.Release, found.Path, found.Origin));
            Assert.AreEqual((1, 0), (StandInTrtExec.Probes(folder.Path), StandInTrtExec.Runs(folder.Path).Count));
        }
    }

    [TestMethod]
    public void The_answer_is_remembered_until_the_program_changes()
    {
        using var folder = new TempFolder();
        var path = StandInTrtExec.Write(folder.Path, "10.13");
        var settings = new TrtExecSettings(path, folder["obj/trtexec.version"]);
        for (var i = 0; i < 3; i++)
            Assert.AreEqual("10.13.3.9", TrtExec.Find(settings, default).Version.ToString());
        Assert.AreEqual(1, StandInTrtExec.Probes(folder.Path));
        StandInTrtExec.Write(folder.Path, "11.1");
        Assert.AreEqual("11.1.0.106", TrtExec.Find(settings, default).Version.ToString());
        Assert.AreEqual(2, StandInTrtExec.Probes(folder.Path));
        File.WriteAllText(folder["obj/trtexec.version"], "damaged");
        Assert.AreEqual("11.1.0.106", TrtExec.Find(settings, default).Version.ToString());
        Assert.HasCount(1, Directory.GetFiles(folder["obj"]));
    }

    [TestMethod]
    [DataRow("probe-says-nothing", "it said nothing"), DataRow("probe-fails", "Illegal instruction"), DataRow("probe-without-libraries", "libnvinfer.so.10")]
    public void A_program_that_says_no_version(string failure, string says)
    {
        using var folder = new TempFolder();
        var settings = new TrtExecSettings(StandInTrtExec.Write(folder.Path, "10.13", failure), folder["remembered"]);
        var thrown = Assert.ThrowsExactly<QuantSdkException>(() => TrtExec.Find(settings, default));
        Assert.AreEqual("QSDK4022", thrown.Code);
        StringAssert.Contains(thrown.Message, says);
        Assert.IsFalse(File.Exists(folder["remembered"]));
    }

    [TestMethod]
    public void A_program_that_hangs_is_ended()
    {
        using var folder = new TempFolder();
        var path = StandInTrtExec.Write(folder.Path, "10.13", "probe-hangs");
        var thrown = Assert.ThrowsExactly<QuantSdkException>(() => TrtExecProbe.Version(path, null, TimeSpan.FromSeconds(0.5), default));
        Assert.AreEqual("QSDK4022", thrown.Code);
        StringAssert.Contains(thrown.Message, "did not end within");
        using var cancellation = new CancellationTokenSource(TimeSpan.FromSeconds(0.3));
        Assert.Throws<OperationCanceledException>(() => TrtExecProbe.Version(path, null, TimeSpan.FromMinutes(1), cancellation.Token));
    }

    /// <summary>An unpacked archive needs no LD_LIBRARY_PATH, and one that is set goes before it.</summary>
    [TestMethod]
    public void Libraries_beside_the_program_are_found()
    {
        using var folder = new TempFolder();
        Directory.CreateDirectory(folder["TensorRT-10.13.3.9/bin"]);
        Directory.CreateDirectory(folder["TensorRT-10.13.3.9/lib"]);
        var program = folder["TensorRT-10.13.3.9/bin/trtexec"];
        File.WriteAllText(program, $"#!/bin/sh\necho \"$LD_LIBRARY_PATH\" > '{folder["seen"]}'\necho '&&&& RUNNING TensorRT.trtexec [TensorRT v101303] [b9] # trtexec --help'\n");
        StandInTrtExec.Executable(program);
        var before = Environment.GetEnvironmentVariable("LD_LIBRARY_PATH") ?? "";
        TrtExec.Find(new(program), default);
        Assert.AreEqual(before, File.ReadAllText(folder["seen"]).TrimEnd());
        File.WriteAllText(folder["TensorRT-10.13.3.9/lib/libnvinfer.so.10"], "");
        TrtExec.Find(new(folder["TensorRT-10.13.3.9"]), default);
        Assert.AreEqual((before.Length > 0 ? before + ":" : "") + folder["TensorRT-10.13.3.9/lib"], File.ReadAllText(folder["seen"]).TrimEnd());
    }

    [TestMethod]
    public void What_cannot_be_started_and_what_is_too_old()
    {
        using var folder = new TempFolder();
        foreach (var (text, code) in ((string, string)[])[("no program", "QSDK4022"), ("#!/bin/sh\necho '&&&& RUNNING TensorRT.trtexec [TensorRT v8503] # trtexec --help'\n", "QSDK4025")])
        {
            File.WriteAllText(folder["trtexec"], text);
            StandInTrtExec.Executable(folder["trtexec"]);
            Assert.AreEqual(code, Assert.ThrowsExactly<QuantSdkException>(() => TrtExec.Find(new(folder["trtexec"]), default)).Code);
        }
    }
}
