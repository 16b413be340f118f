namespace QuantSdk.Planning;

/// <summary>What quantising each group of layers alone does to a model's outputs.</summary>
/// <param name="Outputs">The float outputs that were looked at.</param>
/// <param name="Rows">Rows that were run.</param>
/// <param name="Groups">In graph order.</param>
/// <param name="PredictedSqnrDb">Of all groups at once, were their errors independent: that of the sum of the single errors, for the worst output.</param>
/// <param name="SqnrDb">Of all groups at once, measured on the same rows.</param>
internal sealed record Sensitivity(IReadOnlyList<string> Outputs, long Rows, IReadOnlyList<GroupSensitivity> Groups, double PredictedSqnrDb, double SqnrDb);

/// <summary>What one group of layers costs and saves.</summary>
/// <param name="Layers">Labels of its nodes.</param>
/// <param name="Module">The module of its first layer.</param>
/// <param name="Formats">Weights/activations.</param>
/// <param name="Errors">Σ(ref − q)²/Σref² at each output.</param>
/// <param name="Error">The largest of them.</param>
/// <param name="SqnrDb">−10·log10 of it: what the model would have with this group alone quantised.</param>
/// <param name="Macs">Multiply-adds for one row.</param>
/// <param name="BytesSaved">By its weights against float; less than nothing for weights so small that scales take more.</param>
internal sealed record GroupSensitivity(IReadOnlyList<string> Layers, string Module, string Formats, IReadOnlyList<double> Errors, double Error, double SqnrDb, long Macs, long BytesSaved);
