using System.Text.RegularExpressions;
using System.Xml.Linq;
using System.Xml.Schema;

namespace QuantSdk.Build.Tests;

/// <summary>docs/msbuild.md names everything that build/ offers, and editors know the same.</summary>
[TestClass]
public sealed partial class ProjectSchemaTests
{
    private static readonly string s_schema = Path.Combine(RepositoryPaths.Targets, "QuantSdk.xsd");
    private static readonly ProjectSchema s_page = ProjectSchema.Read(File.ReadAllText(Path.Combine(RepositoryPaths.Targets, "../docs/msbuild.md")));
    private static readonly List<XDocument> s_files =
        [.. Directory.GetFiles(RepositoryPaths.Targets).Where(f => Path.GetExtension(f) is ".props" or ".targets" or ".proj").Select(f => XDocument.Load(f))];

    [TestMethod]
    public void Schema_is_made_of_the_page()
    {
        if (Environment.GetEnvironmentVariable("QUANTSDK_WRITE_SCHEMA") == "1") File.WriteAllText(s_schema, s_page.ToXsd());
        Assert.AreEqual(s_page.ToXsd(), File.ReadAllText(s_schema), "docs/msbuild.md and build/QuantSdk.xsd differ: run this test with QUANTSDK_WRITE_SCHEMA=1.");
    }

    [TestMethod]
    public void Page_has_every_metadata_and_says_which_a_property_sets()
    {
        var declared = s_files.Descendants("ItemDefinitionGroup").Elements("QuantizedModel").Elements().ToDictionary(e => e.Name.LocalName, e => e.Value == $"$(QuantSdk{e.Name.LocalName})");

        CollectionAssert.AreEquivalent(declared.Keys.ToList(), s_page.Metadata.Select(m => m.Name).ToList());
        CollectionAssert.AreEquivalent(declared.Where(d => d.Value).Select(d => d.Key).ToList(), s_page.Metadata.Where(m => m.ForAll).Select(m => m.Name).ToList());
    }

    [TestMethod]
    public void Page_has_every_property_and_target_without_an_underscore()
    {
        var ofMetadata = s_page.Metadata.Where(m => m.ForAll).Select(m => "QuantSdk" + m.Name);
        var set = s_files.Descendants("PropertyGroup").Elements().Select(e => e.Name.LocalName).Where(n => n.StartsWith("QuantSdk", StringComparison.Ordinal));
        var read = s_files.SelectMany(f => Property().Matches(f.ToString())).Select(m => m.Groups[1].Value);
        CollectionAssert.AreEquivalent(set.Concat(read).Distinct().ToList(), s_page.Properties.Select(p => p.Name).Concat(ofMetadata).ToList());

        var targets = s_files.Descendants("Target").Select(t => t.Attribute("Name")!.Value).Where(n => n.StartsWith("QuantSdk", StringComparison.Ordinal) || n.StartsWith("Publish", StringComparison.Ordinal));
        CollectionAssert.AreEquivalent(targets.ToList(), s_page.Targets.ToList());
    }

    [TestMethod]
    [DataRow("""<QuantizedModel Include="a.onnx" Precison="int8" />""", "Precison", DisplayName = "Misspelled attribute")]
    [DataRow("""<QuantizedModel Include="a.onnx"><Presicion>int8</Presicion></QuantizedModel>""", "Presicion", DisplayName = "Misspelled element")]
    [DataRow("""<QuantizedModel Include="a.onnx" Precision="$(P)"><Level Condition="'$(A)' == ''">2.5</Level></QuantizedModel><Compile Include="b.cs" Link="c.cs" />""", null, DisplayName = "What MSBuild allows")]
    public void Schema_finds_misspelled_metadata_and_nothing_else(string items, string? wrong)
    {
        var errors = Errors(XDocument.Parse($"""
            <Project Sdk="Microsoft.NET.Sdk">
              <PropertyGroup><TargetFramework>net10.0</TargetFramework><QuantSdkPrecision Condition="true">fp8</QuantSdkPrecision></PropertyGroup>
              <Target Name="T"><ItemGroup>{items}</ItemGroup></Target>
            </Project>
            """));

        if (wrong is null) Assert.IsEmpty(errors, string.Join('\n', errors));
        else Assert.Contains($"'{wrong}'", errors.Single());
    }

    [TestMethod]
    public void Schema_takes_the_projects_of_this_repository()
    {
        var root = Path.Combine(RepositoryPaths.Targets, "..");
        foreach (var project in (string[])["samples/Digits/Digits.csproj", "samples/CachedDiffusion/CachedDiffusion.csproj", "templates/quantized-model/QuantizedModelApp.csproj", "build/QuantSdk.props"])
            Assert.IsEmpty(Errors(XDocument.Load(Path.Combine(root, project))), project);
    }

    private static List<string> Errors(XDocument project)
    {
        var schemas = new XmlSchemaSet();
        schemas.Add(null, s_schema);
        var errors = new List<string>();
        project.Validate(schemas, (_, e) => errors.Add(e.Message));
        return errors;
    }

    [GeneratedRegex(@"\$\((QuantSdk\w+)")]
    private static partial Regex Property();
}
