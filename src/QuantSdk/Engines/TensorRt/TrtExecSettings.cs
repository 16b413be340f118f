namespace QuantSdk.Engines.TensorRt;

/// <summary>How trtexec is found and run; what is null is taken from the environment, then the default.</summary>
/// <param name="Path">The property QuantSdkTrtExecPath: the program itself, or a folder that holds it.</param>
/// <param name="ProbeFile">Where the version of a trtexec is remembered, by its path, size and time; null: nowhere.</param>
/// <param name="Driver">The property QuantSdkNvidiaDriver: auto (looked for), present or absent.</param>
/// <param name="Parallelism">How many trtexec may run at a time on one GPU.</param>
/// <param name="Layers">Folder where layer information and trtexec's whole log are kept; null: nowhere.</param>
/// <param name="Shared">Folder of timing caches and of the locks of GPUs; null: the store, or the user's folder for data where none may be written to.</param>
internal sealed record TrtExecSettings(string? Path = null, string? ProbeFile = null, string? Driver = null, int? Parallelism = null, string? Layers = null, string? Shared = null);
