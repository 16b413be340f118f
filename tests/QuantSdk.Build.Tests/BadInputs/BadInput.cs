namespace QuantSdk.Build.Tests.BadInputs;

/// <summary>Something wrong, and what must be said of it.</summary>
/// <param name="Code">The code, exactly.</param>
/// <param name="Cause">What the message must name.</param>
/// <param name="Prepare">Makes the inputs; returns the arguments after `quantsdk build`, the output folder included only where it differs.</param>
internal sealed record BadInput(string Code, string[] Cause, Func<CaseFolder, string[]> Prepare)
{
    /// <summary>A command that starts the tool.</summary>
    public string[] Wrapper { get; init; } = [];

    /// <summary>Why it cannot be tried here, or null.</summary>
    public Func<string?> NotHere { get; init; } = () => null;
}
