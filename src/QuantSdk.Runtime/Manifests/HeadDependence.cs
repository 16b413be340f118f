namespace QuantSdk.Runtime;

/// <summary>The words of <see cref="HeadInfo.DependsOn"/>.</summary>
internal static class HeadDependence
{
    /// <summary>What the inputs beside sample and timestep determine.</summary>
    public const string Prompt = "prompt";

    /// <summary>What the timestep determines.</summary>
    public const string Timestep = "timestep";

    /// <summary>What takes all of these.</summary>
    public const string Both = "both";

    /// <summary>In the order of evaluation: what depends on both reads the others.</summary>
    public static IReadOnlyList<string> All { get; } = [Prompt, Timestep, Both];
}
