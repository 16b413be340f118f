namespace QuantSdk.Calibration;

/// <summary>What one calibration batch showed of a tensor.</summary>
internal readonly record struct BatchRange(BatchKey Key, ValueRange Range);
