using System.Globalization;

namespace QuantSdk.Planning;

/// <summary>How much one kernel does: all that its time depends on.</summary>
/// <param name="Rows">Rows of a linear layer, output positions of a convolution over the whole batch, elements of what only moves data.</param>
/// <param name="Inputs">Input channels.</param>
/// <param name="Outputs">Output channels.</param>
/// <param name="Taps">Product of the kernel's sizes; 1 for linear layers.</param>
/// <param name="Groups">Of a convolution.</param>
/// <param name="Bias">Linear layers only: whether a bias is added.</param>
internal sealed record WorkShape(string Kind, long Rows, long Inputs = 1, long Outputs = 1, long Taps = 1, long Groups = 1, bool Bias = false)
{
    public const string Linear = "linear", Convolution = "conv", Depthwise = "depthwise", Move = "move";

    public static WorkShape OfElements(long elements) => new(Move, elements);

    public static WorkShape OfConvolution(long positions, long inputs, long outputs, long taps, long groups) =>
        new(groups > 1 && groups == inputs ? Depthwise : Convolution, positions, inputs, outputs, taps, groups);

    /// <summary>What the time is taken to be linear in: a call, multiply-adds, outputs, inputs gathered, weights; all but the first in millions.</summary>
    public double[] Features()
    {
        double rows = Rows, perOutput = (double)Inputs / Groups * Taps;
        double[] counts = Kind switch
        {
            Move => [rows],
            Depthwise => [rows * Outputs * Taps, rows * Outputs],
            _ => [rows * perOutput * Outputs, rows * Outputs, rows * Inputs * Taps, perOutput * Outputs],
        };
        return [1, .. counts.Select(c => c / 1e6)];
    }

    /// <summary>A short name, the same for the same work: 512x48x384b, 2048x24x24k9.</summary>
    public override string ToString() => Kind == Move
        ? Rows.ToString(CultureInfo.InvariantCulture)
        : string.Create(CultureInfo.InvariantCulture, $"{Rows}x{Inputs}x{Outputs}{(Kind == Linear ? "" : $"k{Taps}")}{(Groups > 1 ? $"g{Groups}" : "")}{(Bias ? "b" : "")}");
}
