using QuantSdk.Runtime;

namespace QuantSdk.Engines.TensorRt;

/// <summary>A plan that was built and checked.</summary>
/// <param name="Version">TensorRT's version as the plan has it.</param>
/// <param name="ComputeCapability">Of the GPU that built it, such as 9.0.</param>
/// <param name="Gpu">The name of that GPU.</param>
/// <param name="Profiles">The shapes that dynamic inputs may have; empty where every input is of one shape.</param>
/// <param name="Bytes">The size of the plan.</param>
/// <param name="Seconds">Wall time of building, without the wait for the GPU.</param>
/// <param name="Arguments">What trtexec was told, with the plan's own name in place of the temporary one.</param>
/// <param name="Performance">What the measuring run found; null where none was asked for or it failed.</param>
internal sealed record BuiltPlan(
    TensorRtVersion Version, string ComputeCapability, string Gpu, IReadOnlyList<TensorRtProfile> Profiles, long Bytes, double Seconds, IReadOnlyList<string> Arguments, TrtExecPerformance? Performance);

/// <summary>What trtexec measured. Times in milliseconds, of one query (all rows of the batch), unless they say otherwise.</summary>
/// <param name="Throughput">Queries a second.</param>
/// <param name="Latency">From input to output. Transfers between host and GPU are not in it.</param>
/// <param name="HostSeconds">Wall time of the run.</param>
/// <param name="GpuSeconds">The part of it in which the GPU computed.</param>
internal sealed record TrtExecPerformance(double Throughput, TrtExecTimes? Latency, TrtExecTimes? Enqueue, TrtExecTimes? HostToDevice, TrtExecTimes? GpuCompute, TrtExecTimes? DeviceToHost, double HostSeconds, double GpuSeconds);

/// <summary>Milliseconds.</summary>
/// <param name="Percentiles">By percent.</param>
internal sealed record TrtExecTimes(double Min, double Max, double Mean, double Median, IReadOnlyDictionary<string, double> Percentiles);
