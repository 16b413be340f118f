using System.Text.Json.Serialization;

namespace QuantSdk.Calibration;

/// <summary>What was observed of one tensor, and the range the calibrator made of it.</summary>
/// <param name="ElementsPerRow">Elements for one row of the batch.</param>
/// <param name="Steps">What was kept for each timestep, by the timestep calibrator, and for the sample by mse.</param>
internal sealed record TensorCalibration(
    string Name, float Min, float Max, float Low, float High, float Amax, long ElementsPerRow,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] IReadOnlyList<StepRange>? Steps = null);

/// <summary>What was observed; independent of the target.</summary>
internal sealed record CalibrationTable(int Schema, string Calibrator, long Rows, IReadOnlyList<TensorCalibration> Tensors)
{
    private Dictionary<string, TensorCalibration>? _byName;

    [JsonIgnore]
    public TensorCalibration this[string tensor] => (_byName ??= Tensors.ToDictionary(t => t.Name, StringComparer.Ordinal))[tensor];
}
