namespace QuantSdk.Quality;

/// <summary>How many times faster an engine ran than the float model, in pairs of runs one after the other.</summary>
/// <param name="Median">Of the ratios.</param>
/// <param name="Low">Lower end of the median's 95 % interval, by the sign test.</param>
/// <param name="High">Upper end of it.</param>
internal sealed record Speedup(double Median, double Low, double High, int Pairs);
