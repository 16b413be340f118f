using QuantSdk.Runtime;

namespace CachedDiffusion;

/// <summary>Keeps the last report, and a picture of the steps: # for a full one, · for a live one.</summary>
internal sealed class LastProgress : IProgress<DiffusionProgress>
{
    public DiffusionProgress Value { get; private set; }

    public string Steps { get; private set; } = "";

    public int FullSteps { get; private set; }

    public void Report(DiffusionProgress value)
    {
        (Value, Steps) = (value, Steps + (value.Full ? '#' : '·'));
        FullSteps += value.Full ? 1 : 0;
    }
}
