namespace QuantSdk.Recipes;

/// <summary>What the user asked for, with every default written out. Later stages read nothing else of the request.</summary>
internal sealed record Recipe
{
    public int Schema { get; init; } = 1;

    /// <summary>Folder under models/.</summary>
    public required string Name { get; init; }

    /// <summary>int8 or none.</summary>
    public string Precision { get; init; } = "int8";

    /// <summary>Files, as given; relative to the project.</summary>
    public IReadOnlyList<string> CalibrationData { get; init; } = [];

    /// <summary>Files with rows for the quality check, never calibrated on.</summary>
    public IReadOnlyList<string> ValidationData { get; init; } = [];

    /// <summary>A diffusers scheduler_config.json: calibrate by sampling.</summary>
    public string? Scheduler { get; init; }

    public int Steps { get; init; } = 20;

    public float GuidanceScale { get; init; } = 1;

    public long Seed { get; init; }

    /// <summary>Name of the item whose model turns calibration data into this model's conditioning.</summary>
    public string? ConditionedBy { get; init; }

    public string? SampleInput { get; init; }

    public string? TimestepInput { get; init; }

    public float TimestepScale { get; init; } = 1;

    /// <summary>max, percentile, entropy or mse.</summary>
    public string Calibrator { get; init; } = "mse";

    /// <summary>In (50, 100]; read by the percentile calibrator.</summary>
    public double Percentile { get; init; } = 99.99;

    public IReadOnlyList<string> ExcludeModules { get; init; } = [];

    public IReadOnlyList<string> Only { get; init; } = [];

    /// <summary>cpu, tensorrt-onnx.</summary>
    public IReadOnlyList<string> Targets { get; init; } = ["cpu"];

    /// <summary>Ship the portable Q/DQ graph beside the optimised one.</summary>
    public bool Portable { get; init; } = true;

    /// <summary>Ship ONNX Runtime's optimised graph with prepacked weights.</summary>
    public bool Prepacked { get; init; } = true;

    /// <summary>Decibels; null: no gate.</summary>
    public double? MinSqnr { get; init; }

    public double? MinCosine { get; init; }
}
