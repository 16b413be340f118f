namespace QuantSdk.Calibration;

/// <summary>
/// What a calibrator makes of a tensor's distribution: the best range for an asymmetric grid, and the best amax for a symmetric
/// one. Which of the two is used is the lowering's choice.
/// </summary>
internal readonly record struct CalibratedRange(ValueRange Range, float Amax);
