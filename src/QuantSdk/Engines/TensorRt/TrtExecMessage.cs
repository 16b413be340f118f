namespace QuantSdk.Engines.TensorRt;

/// <summary>An error or a warning that trtexec wrote, with the lines that belong to it.</summary>
internal sealed class TrtExecMessage(char level, bool isLibrary, string text)
{
    /// <summary>The node that an ONNX parser prints with an error is a page or more of text.</summary>
    private const int Longest = 8 * 1024;

    /// <summary>F, E, W; or C, a line without a level on standard error, which CUDA's errors are.</summary>
    public char Level => level;

    public bool IsLibrary => isLibrary;

    public string Text { get; private set; } = text;

    public bool IsError => level is 'F' or 'E' or 'C';

    public void Continue(string line)
    {
        if (Text.Length < Longest)
            Text += "\n" + line;
    }
}
