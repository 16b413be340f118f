namespace QuantSdk.Runtime;

/// <summary>
/// A failure with a cause outside of QuantSdk's own code: an input, a file, a model or an environment that cannot be used as it is.
/// Each <see cref="Code"/> has a page under docs/diagnostics.
/// </summary>
/// <param name="code">The code, <c>QSDKnnnn</c>.</param>
/// <param name="message">What is wrong, with the offending value, and what to do about it. Becomes <see cref="Exception.Message"/> as it stands.</param>
/// <param name="file">The file that the failure is about, if there is one.</param>
/// <param name="node">The graph node that the failure is about, if there is one.</param>
/// <param name="inner">The exception that led to this one.</param>
public sealed class QuantSdkException(string code, string message, string? file = null, string? node = null, Exception? inner = null)
    : Exception(message, inner)
{
    /// <summary>The code of the failure: <c>QSDK</c> and four digits.</summary>
    public string Code { get; } = code;

    /// <summary>The file that the failure is about, or null.</summary>
    public string? File { get; } = file;

    /// <summary>The name of the graph node that the failure is about, or null.</summary>
    public string? Node { get; } = node;

    /// <summary>The code, the message, the file and node if known, and the stack trace.</summary>
    public override string ToString() =>
        $"{Code}: {base.ToString()}{(File is null ? "" : $"{Environment.NewLine}   file: {File}")}{(Node is null ? "" : $"{Environment.NewLine}   node: {Node}")}";
}
