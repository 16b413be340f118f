using QuantSdk.Store;

namespace QuantSdk.Engines;

/// <summary>Everything that a build of one model needs to know.</summary>
/// <param name="Name">Folder under models/.</param>
/// <param name="Model">Absolute path of the float model.</param>
/// <param name="ProjectDirectory">What relative paths in metadata are relative to.</param>
/// <param name="Output">The engine's folder; it is replaced whole, or not at all.</param>
/// <param name="Report">Where report.json goes (plan and calibration beside it), or null.</param>
/// <param name="Metadata">Metadata of the item as the user set it.</param>
/// <param name="ConditionedBy">Absolute path of the model that makes the conditioning, or null.</param>
/// <param name="Store">Where results of stages are kept and looked for; null: nowhere.</param>
/// <param name="TrtExec">How trtexec is found and run; null: by the environment.</param>
/// <param name="AutoTargets">What Targets=auto stands for; null: what is found here.</param>
internal sealed record BuildRequest(string Name, string Model, string ProjectDirectory, string Output, string? Report, int Threads, IReadOnlyDictionary<string, string> Metadata, string? ConditionedBy, StoreSettings? Store = null, TensorRt.TrtExecSettings? TrtExec = null, IReadOnlyList<string>? AutoTargets = null);
