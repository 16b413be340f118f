using System.Text;
using System.Text.RegularExpressions;
using System.Xml;
using System.Xml.Linq;

namespace QuantSdk.Build.Tests;

/// <summary>What docs/msbuild.md says, and the XML schema for editors that is made of it.</summary>
internal sealed partial record ProjectSchema(
    IReadOnlyList<ProjectSchema.Entry> Metadata, IReadOnlyList<ProjectSchema.Entry> Properties, IReadOnlyList<string> Targets)
{
    private static readonly XNamespace s_xs = "http://www.w3.org/2001/XMLSchema";

    /// <summary>A row: what it is called, its allowed words (none: free text), the sentence shown to a user, whether a property of the project sets it for all models.</summary>
    internal sealed record Entry(string Name, IReadOnlyList<string> Words, string Meaning, bool ForAll);

    /// <summary>Reads the tables, by the heading of their first column.</summary>
    public static ProjectSchema Read(string markdown)
    {
        var (metadata, properties, targets) = (new List<Entry>(), new List<Entry>(), new List<string>());
        IReadOnlyList<string> heading = [];
        foreach (var line in markdown.Split('\n'))
        {
            var cells = line.StartsWith('|') ? line.Trim().Trim('|').Split('|').Select(c => c.Trim()).ToList() : [];
            if (cells.Count == 0) heading = [];
            else if (heading.Count == 0) heading = cells;
            else if (cells[0].StartsWith('`'))
            {
                var name = cells[0].Trim('`');
                if (heading[0] == "target") targets.Add(name);
                else (heading[0] == "metadata" ? metadata : properties).Add(new Entry(name, Words(cells[1]), Text(heading, cells), Cell("all") == "yes"));
            }

            string Cell(string column) => heading.ToList().IndexOf(column) is >= 0 and var i ? cells[i] : "";
        }
        return new ProjectSchema(metadata, properties, targets);
    }

    /// <summary>The schema, with line ends and indentation of its own: the same bytes everywhere.</summary>
    public string ToXsd()
    {
        var all = Metadata.Where(m => m.ForAll).Select(m => m with { Name = "QuantSdk" + m.Name, Meaning = $"{m.Name} of all models of the project. {m.Meaning}" });
        var schema = new XElement(s_xs + "schema", new XAttribute(XNamespace.Xmlns + "xs", s_xs.NamespaceName),
            new XComment(" Made of the tables in docs/msbuild.md, which also says how editors take it; not to be edited by hand. "),
            Open("Project"), Open("PropertyGroup"), Open("ItemGroup"), Open("ItemDefinitionGroup"),
            new XElement(s_xs + "element", new XAttribute("name", "QuantizedModel"),
                Documentation("One ONNX model that the build makes small and fast."),
                new XElement(s_xs + "complexType",
                    new XElement(s_xs + "all", Metadata.Select(m => Element(m, optional: true))),
                    new[] { "Include", "Exclude", "Remove", "Update", "Condition", "Label", "KeepMetadata", "RemoveMetadata", "KeepDuplicates", "MatchOnMetadata", "MatchOnMetadataOptions" }
                        .Select(n => new XElement(s_xs + "attribute", new XAttribute("name", n), new XAttribute("type", "xs:string"))),
                    Metadata.Select(m => new XElement(s_xs + "attribute", new XAttribute("name", m.Name), Documentation(m.Meaning), Values(m))))),
            Properties.Concat(all).Select(p => Element(p, optional: false)));

        var text = new StringBuilder();
        using (var writer = XmlWriter.Create(text, new XmlWriterSettings { Indent = true, NewLineChars = "\n", OmitXmlDeclaration = true })) schema.Save(writer);
        return text.Append('\n').ToString();
    }

    private static string Text(IReadOnlyList<string> heading, List<string> cells)
    {
        var defaultAt = heading.ToList().IndexOf("default");
        var meaning = cells[2] + (defaultAt > 0 && cells[defaultAt] is var d and not ("" or "none") ? $" Default: {d}." : "");
        return Link().Replace(meaning, "").Replace("`", "", StringComparison.Ordinal);
    }

    /// <summary>`a`, `b`, ...: the words of a column of nothing but words, or words before "or" and "separated by"; with anything before them, free text.</summary>
    private static List<string> Words(string values) => values.StartsWith('`') && !values.Contains('[', StringComparison.Ordinal) ? [.. Word().Matches(values.Replace("`;`", "", StringComparison.Ordinal)).Select(m => m.Groups[1].Value)] : [];

    // Lax, so that everything else of MSBuild passes while what is declared here is checked wherever it stands.
    private static XElement Open(string name) => new(s_xs + "element", new XAttribute("name", name),
        new XElement(s_xs + "complexType", new XAttribute("mixed", "true"),
            new XElement(s_xs + "sequence", new XElement(s_xs + "any", new XAttribute("minOccurs", "0"), new XAttribute("maxOccurs", "unbounded"), new XAttribute("processContents", "lax"))),
            new XElement(s_xs + "anyAttribute", new XAttribute("processContents", "lax"))));

    private static XElement Element(Entry entry, bool optional) => new(s_xs + "element", new XAttribute("name", entry.Name), optional ? new XAttribute("minOccurs", "0") : null,
        Documentation(entry.Meaning),
        new XElement(s_xs + "complexType", new XElement(s_xs + "simpleContent",
            new XElement(s_xs + "restriction", new XAttribute("base", "xs:anyType"), Values(entry),
                new XElement(s_xs + "anyAttribute", new XAttribute("processContents", "lax"))))));

    // A union with any string: words to choose from, and $(Property) all the same.
    private static XElement Values(Entry entry) => new(s_xs + "simpleType", entry.Words.Count == 0
        ? new XElement(s_xs + "restriction", new XAttribute("base", "xs:string"))
        : new XElement(s_xs + "union", new XAttribute("memberTypes", "xs:string"),
            new XElement(s_xs + "simpleType", new XElement(s_xs + "restriction", new XAttribute("base", "xs:string"),
                entry.Words.Select(w => new XElement(s_xs + "enumeration", new XAttribute("value", w)))))));

    private static XElement Documentation(string text) => new(s_xs + "annotation", new XElement(s_xs + "documentation", text));

    [GeneratedRegex(@" \(\[[^\]]*\]\([^)]*\)\)")]
    private static partial Regex Link();

    [GeneratedRegex("`([^`]+)`")]
    private static partial Regex Word();
}
