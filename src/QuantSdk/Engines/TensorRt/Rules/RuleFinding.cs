namespace QuantSdk.Engines.TensorRt.Rules;

/// <summary>A rule that a model breaks, and where.</summary>
/// <param name="Severity">error or warning (<see cref="GraphRule.IsError"/>).</param>
/// <param name="Node">The node as a person finds it; null: the model as a whole.</param>
internal sealed record RuleFinding(string Rule, string Severity, string? Node, string? Op, string? Tensor, string Problem, string Remedy)
{
    public override string ToString() => $"{(Node is null ? "" : $"{Op} '{Node}': ")}{Problem} {Remedy} [{Rule}]";
}
