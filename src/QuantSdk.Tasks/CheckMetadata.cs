using System.Xml.Linq;
using Microsoft.Build.Framework;
using QuantSdk.Recipes;

namespace QuantSdk.Tasks;

/// <summary>Finds metadata names that nobody reads. QuantSdk.props, which defines the names, is the list.</summary>
[MSBuildMultiThreadableTask]
public sealed class CheckMetadata : Microsoft.Build.Utilities.Task, IMultiThreadableTask
{
    /// <summary>The environment of the project; given by MSBuild.</summary>
    public TaskEnvironment TaskEnvironment { get; set; } = TaskEnvironment.Fallback;

    /// <summary>The QuantizedModel items.</summary>
    [Required]
    public ITaskItem[] Models { get; set; } = [];

    /// <summary>The file with the ItemDefinitionGroup of QuantizedModel.</summary>
    [Required]
    public string Definitions { get; set; } = "";

    /// <summary>The project that declares the models.</summary>
    [Required]
    public string ProjectFile { get; set; } = "";

    /// <inheritdoc />
    public override bool Execute()
    {
        var known = XDocument.Load(TaskEnvironment.GetAbsolutePath(Definitions)).Descendants("ItemDefinitionGroup").Elements("QuantizedModel").Elements().Select(e => e.Name.LocalName).ToList();
        foreach (var model in Models)
        {
            foreach (var name in ItemMetadata.NamesOf(model).Where(n => !known.Contains(n, StringComparer.OrdinalIgnoreCase)))
            {
                Log.LogError(null, DiagnosticCode.MetadataUnknown, null, ProjectFile, 0, 0, 0, 0,
                    $"{model.ItemSpec}: the metadata '{name}' is unknown.{NearNames.Suggest(name, known)} Allowed: {string.Join(", ", known)}.");
            }
        }
        return !Log.HasLoggedErrors;
    }
}
