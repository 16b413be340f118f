namespace QuantSdk.Tool.Commands;

/// <summary>A command with more to say in its own help than in the list of commands.</summary>
internal interface IExplained
{
    /// <summary>Puts the whole text into the description.</summary>
    void Explain();
}
