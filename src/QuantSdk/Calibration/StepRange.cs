namespace QuantSdk.Calibration;

/// <summary>What the timestep calibrator kept of one denoising step.</summary>
/// <param name="Timestep">The value of the model's timestep input.</param>
/// <param name="Batches">Calibration batches of the step.</param>
internal sealed record StepRange(float Timestep, float Low, float High, float Amax, int Batches);
