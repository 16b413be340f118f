using System.Text.RegularExpressions;

namespace QuantSdk.Tests;

[TestClass]
public sealed partial class DiagnosticPagesTests
{
    private static readonly string[] s_sources = [".cs", ".props", ".targets", ".proj", ".csproj"];

    private static string Pages => Path.Combine(Repository.Root, "docs", "diagnostics");

    [TestMethod]
    public void Every_diagnostic_has_a_page()
    {
        var used = UsedCodes();
        Assert.IsGreaterThan(50, used.Count, "the search finds too little to mean anything");
        var pages = Directory.GetFiles(Pages, "QSDK*.md").Select(f => Path.GetFileNameWithoutExtension(f)!).ToHashSet();
        Assert.AreEqual("", string.Join(" ", used.Keys.Where(c => !pages.Contains(c)).Select(c => $"{c} ({used[c]})")), "codes without a page");
        Assert.AreEqual("", string.Join(" ", pages.Where(p => !used.ContainsKey(p)).Order()), "pages of codes that nothing reports");
    }

    [TestMethod]
    public void Every_page_has_the_form_of_a_page_and_a_row_in_the_table()
    {
        var table = File.ReadAllLines(Path.Combine(Pages, "README.md"));
        foreach (var page in Directory.GetFiles(Pages, "QSDK*.md"))
        {
            var code = Path.GetFileNameWithoutExtension(page);
            var lines = File.ReadAllLines(page);
            var title = TitleRegex().Match(lines[0]);
            Assert.IsTrue(title.Success && title.Groups["code"].Value == code, $"{code}: the first line is '{lines[0]}'");
            Assert.IsTrue(lines.Any(l => l.StartsWith("**What to do.** ", StringComparison.Ordinal)), $"{code} does not say what to do");
            Assert.IsTrue(
                table.Any(row => row.Equals($"| [{code}]({code}.md) | {title.Groups["title"].Value} |", StringComparison.OrdinalIgnoreCase)), $"README.md has no row for {code} with its title");
        }
        Assert.AreEqual(Directory.GetFiles(Pages, "QSDK*.md").Length, table.Count(row => row.StartsWith("| [QSDK", StringComparison.Ordinal)));
    }

    /// <summary>Codes in the sources, with a file that has each.</summary>
    private static SortedDictionary<string, string> UsedCodes()
    {
        var codes = new SortedDictionary<string, string>(StringComparer.Ordinal);
        var files = ((string[])["src", "build", "eng"]).SelectMany(folder => Directory.EnumerateFiles(Path.Combine(Repository.Root, folder), "*", SearchOption.AllDirectories));
        foreach (var file in files.Where(f => s_sources.Contains(Path.GetExtension(f)) && !f.Split(Path.DirectorySeparatorChar).Any(part => part is "obj" or "bin")))
        {
            foreach (var line in File.ReadLines(file).Where(l => !l.TrimStart().StartsWith("///", StringComparison.Ordinal)))
            {
                foreach (Match code in CodeRegex().Matches(line))
                    codes.TryAdd(code.Value, Path.GetRelativePath(Repository.Root, file));
            }
        }
        return codes;
    }

    [GeneratedRegex(@"QSDK\d{4}\b")]
    private static partial Regex CodeRegex();

    [GeneratedRegex(@"^# (?<code>QSDK\d{4}): (?<title>\S.*)$")]
    private static partial Regex TitleRegex();
}
