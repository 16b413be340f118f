namespace QuantSdk.Tasks;

/// <summary>The phases of a model's build, in order. Each is a target of QuantSdk.proj.</summary>
internal enum Phase
{
    Calibrate,
    Quantize,
    BuildEngine,
    Verify,
}
