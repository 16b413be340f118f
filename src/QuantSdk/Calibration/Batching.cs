namespace QuantSdk.Calibration;

/// <summary>How rows are cut.</summary>
/// <param name="Run">Rows that go through the model at once; a model's fixed batch overrides it.</param>
/// <param name="Calibrated">Rows of a calibration batch, run in as many parts as it takes; a whole number of them where the batch is fixed.</param>
internal readonly record struct Batching(int Run, int Calibrated)
{
    public static implicit operator Batching(int rows) => new(rows, rows);
}
