using QuantSdk.Engines.TensorRt;
using QuantSdk.Runtime;
using QuantSdk.TrtExecStandIn;

namespace QuantSdk.Tests.Engines.TensorRt;

[TestClass]
public sealed class TrtExecLocatorTests
{
    [TestMethod]
    public void The_setting_goes_before_the_variable_PATH_and_usual_folders()
    {
        using var folder = new TempFolder();
        var (setting, variable, path, usual) = (Program(folder, "setting"), Program(folder, "variable"), Program(folder, "path"), Program(folder, "usual"));
        var places = new TrtExecPlaces(variable, [folder["nothing"], folder["path"]], [folder["usual"]]);
        Assert.AreEqual((setting, "QuantSdkTrtExecPath"), TrtExecLocator.Locate(new(setting), places));
        Assert.AreEqual((variable, "QUANTSDK_TRTEXEC"), TrtExecLocator.Locate(new(" "), places));
        Assert.AreEqual((path, "PATH"), TrtExecLocator.Locate(new(), places with { Variable = null }));
        Assert.AreEqual((usual, folder["usual"]), TrtExecLocator.Locate(new(), places with { Variable = "", SearchPath = [] }));
    }

    [TestMethod]
    public void A_folder_or_its_bin_may_be_named()
    {
        using var folder = new TempFolder();
        var program = Program(folder, "TensorRT-10.13/bin");
        Assert.AreEqual(program, TrtExecLocator.Locate(new(folder["TensorRT-10.13"]), Nowhere).Path);
        Assert.AreEqual(program, TrtExecLocator.Locate(new(folder["TensorRT-10.13/bin/../bin"]), Nowhere).Path);
    }

    /// <summary>A project that brings a file named trtexec runs nothing by it.</summary>
    [TestMethod]
    public void Nothing_relative_is_followed()
    {
        foreach (var value in (string[])["trtexec", "./trtexec", "bin/trtexec", "../trtexec"])
            Assert.AreEqual("QSDK4021", Code(() => TrtExecLocator.Locate(new(value), Nowhere)), value);
        Assert.AreEqual("QSDK4021", Code(() => TrtExecLocator.Locate(new(), Nowhere with { Variable = "trtexec" })));
        using var folder = new TempFolder();
        Program(folder, "bin");
        var here = Path.GetRelativePath(Environment.CurrentDirectory, folder["bin"]);
        Assert.IsTrue(File.Exists(Path.Combine(here, "trtexec")));
        Assert.AreEqual("QSDK4020", Code(() => TrtExecLocator.Locate(new(), new TrtExecPlaces(null, [here, ".", ""], [here]))));
    }

    [TestMethod]
    public void A_setting_that_names_none_is_an_error_and_not_a_search()
    {
        using var folder = new TempFolder();
        Program(folder, "path");
        var places = new TrtExecPlaces(null, [folder["path"]], []);
        File.WriteAllText(folder["unexecutable"], "");
        Directory.CreateDirectory(folder["empty"]);
        foreach (var name in (string[])["missing", "unexecutable", "empty"])
            Assert.AreEqual("QSDK4021", Code(() => TrtExecLocator.Locate(new(folder[name]), places)), name);
    }

    [TestMethod]
    public void What_may_not_be_run_is_passed_over()
    {
        using var folder = new TempFolder();
        Directory.CreateDirectory(folder["path/trtexec"]);
        Directory.CreateDirectory(folder["second"]);
        File.WriteAllText(folder["second/trtexec"], "");
        Assert.AreEqual(Program(folder, "third"), TrtExecLocator.Locate(new(), new TrtExecPlaces(null, [folder["path"], folder["second"], folder["third"]], [])).Path);
    }

    [TestMethod]
    public void None_at_all_says_where_it_was_looked_for()
    {
        var thrown = Assert.ThrowsExactly<QuantSdkException>(() => TrtExecLocator.Locate(new(), new TrtExecPlaces(null, [], ["/usr/src/tensorrt/bin"])));
        Assert.AreEqual("QSDK4020", thrown.Code);
        StringAssert.Contains(thrown.Message, "/usr/src/tensorrt/bin");
    }

    [TestMethod]
    [DataRow("present", true), DataRow("absent", false), DataRow("Present", true)]
    public void The_driver_by_setting(string setting, bool present)
    {
        Assert.AreEqual(present, NvidiaDriver.IsPresent(new(Driver: setting)));
        if (present)
            NvidiaDriver.Require(new(Driver: setting));
        else
            Assert.AreEqual("QSDK4023", Code(() => NvidiaDriver.Require(new(Driver: setting))));
    }

    [TestMethod]
    public void Another_setting_of_the_driver_is_refused() => Assert.AreEqual("QSDK4024", Code(() => NvidiaDriver.IsPresent(new(Driver: "yes"))));

    private static TrtExecPlaces Nowhere => new(null, [], []);

    private static string Program(TempFolder folder, string place)
    {
        Directory.CreateDirectory(folder[place]);
        var path = folder[place + "/trtexec"];
        File.WriteAllText(path, "#!/bin/sh\n");
        return StandInTrtExec.Executable(path);
    }

    private static string Code(Action action) => Assert.ThrowsExactly<QuantSdkException>(action).Code;
}
