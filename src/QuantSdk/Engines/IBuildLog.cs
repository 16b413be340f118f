namespace QuantSdk.Engines;

/// <summary>Where a build tells what it does. Called from one thread.</summary>
internal interface IBuildLog
{
    /// <summary>Calibrate, Quantize, BuildEngine or Verify begins.</summary>
    void Phase(string phase);

    void Progress(string phase, int done, int total);

    void Warning(string code, string message, string? file);

    /// <summary>Details for who asks for them.</summary>
    void Detail(string message);

    /// <summary>What a person who waits should know.</summary>
    void Notice(string message) => Detail(message);
}
