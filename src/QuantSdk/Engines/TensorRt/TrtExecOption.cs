namespace QuantSdk.Engines.TensorRt;

/// <summary>What stands behind the = of an option.</summary>
internal enum OptionValue
{
    /// <summary>Nothing. trtexec takes whatever is there, false too, for yes.</summary>
    None,
    Whole,
    Number,
    Text,

    /// <summary>The name of a file or folder.</summary>
    FileName,
}

/// <summary>What TrtExecArguments may do with an option.</summary>
internal enum OptionUse
{
    /// <summary>Passed on to the run that builds the engine.</summary>
    Build,

    /// <summary>Passed on to the run that measures it.</summary>
    Measure,

    /// <summary>The build of QuantSdk decides it, by metadata or by itself.</summary>
    Owned,

    /// <summary>It reads or writes files.</summary>
    Files,

    /// <summary>It is for something else than building engines.</summary>
    Foreign,
}

/// <summary>An option of trtexec.</summary>
/// <param name="Since">The first version that has it.</param>
/// <param name="Until">The first version that no longer has it.</param>
/// <param name="Instead">Of an option that is not passed on: what to use.</param>
/// <param name="Allowed">The only values it has, where they are few.</param>
internal sealed record TrtExecOption(string Name, OptionValue Value, OptionUse Use, (int Major, int Minor)? Since = null, (int Major, int Minor)? Until = null, string? Instead = null, IReadOnlyList<string>? Allowed = null)
{
    public bool IsIn(TensorRtVersion version) =>
        (Since is not { } since || (version.Major, version.Minor).CompareTo(since) >= 0) && (Until is not { } until || (version.Major, version.Minor).CompareTo(until) < 0);

    /// <summary>9.1 to 10.16 in words.</summary>
    public string Versions => (Since, Until) switch
    {
        ({ } since, { } until) => $"from TensorRT {since.Major}.{since.Minor} until before {until.Major}.{until.Minor}",
        ({ } since, null) => $"from TensorRT {since.Major}.{since.Minor} on",
        (null, { } until) => $"until before TensorRT {until.Major}.{until.Minor}",
        _ => "in every version",
    };
}
