using System.Globalization;
using QuantSdk.Onnx;
using QuantSdk.Quality;
using QuantSdk.Recipes;
using QuantSdk.Runtime;

namespace QuantSdk.Engines;

/// <summary>Gates: checked on every build, whether the engine was made or taken from the store.</summary>
internal sealed partial class ModelBuilder
{
    /// <summary>The gate that a model misses, or null; and the model with what was measured for it.</summary>
    private (QuantSdkException? Missed, BuiltModel Model) Judge(Recipe recipe, BuiltModel built, EngineFolder folder)
    {
        if (recipe.MinSpeedup is not null)
        {
            var speedup = Phase("Verify", () => MeasureSpeedup(built.Manifest, folder));
            _log.Detail(string.Create(CultureInfo.InvariantCulture, $"{speedup.Median:0.00} times as fast as the float model ({speedup.Low:0.00} to {speedup.High:0.00}, {speedup.Pairs} pairs)"));
            built = built with { Report = built.Report with { Speedup = speedup } };
        }
        return (Gates.Missed(recipe, built.Manifest.Quality, EngineBytes(built.Manifest.Variants), _request.Model, built.Manifest.Cache?.Quality, built.Report.Speedup), built);
    }

    private Speedup MeasureSpeedup(Manifest manifest, EngineFolder folder)
    {
        ManifestFile.Write(Path.Combine(folder.Staging, ManifestFile.Name), manifest);
        using var reference = ReferenceModel.Open(Load(_request.Model), _request.Threads);
        using var engine = QuantizedModel.Load(folder.Staging, new QuantizedModelOptions { Threads = _request.Threads }, _log.Detail);
        return SpeedCheck.Measure(reference.Session, engine.Session, _request.Model, _cancellation);
    }

    /// <summary>What OnGateFailure asks for.</summary>
    private BuiltModel Fail(Recipe recipe, QuantSdkException missed, BuiltModel built, EngineFolder folder)
    {
        switch (recipe.OnGateFailure)
        {
            case "warn":
                _log.Warning(missed.Code, $"{missed.Message} (OnGateFailure=warn: the engine is used all the same.)", _request.Model);
                return built with { Report = built.Report with { Missed = [$"{missed.Code}: {missed.Message}"] } };
            case "fallback":
                _log.Warning("QSDK5030", $"{recipe.Name}: the float model is shipped, because the quantised one missed a gate ({missed.Code}: {missed.Message})", _request.Model);
                folder.Clear();
                _hoisted = null;
                var inFloat = Obtain(recipe with { Precision = "none", Weights = "float", Activations = "float", BlockSize = null, WeightZeroPoint = false }, folder);
                var manifest = inFloat.Manifest with { RecipeHash = HashOf(recipe), Fallback = missed.Code };
                return inFloat with { Manifest = manifest, Report = inFloat.Report with { Recipe = recipe, Speedup = built.Report.Speedup, Missed = [$"{missed.Code}: {missed.Message}"] } };
            default:
                throw missed;
        }
    }
}
