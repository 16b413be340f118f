namespace QuantSdk.Calibration;

/// <summary>Where rows that went through the model belong.</summary>
/// <param name="Batch">The calibration batch, counted over the whole run: runs of one number are parts of one batch.</param>
/// <param name="Timestep">The value that the model's timestep input takes for all of the rows; null where that is not known.</param>
internal readonly record struct BatchKey(int Batch, float? Timestep);
