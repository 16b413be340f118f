using System.Text;

namespace QuantSdk.Tasks;

/// <summary>Paths as MSBuild wants them inside a list: with its special characters as `%XX`.</summary>
internal static class EscapedPath
{
    private const string Special = "%*?@$();'";

    public static string Escape(string path)
    {
        var escaped = new StringBuilder(path.Length);
        foreach (var c in path)
        {
            if (Special.Contains(c, StringComparison.Ordinal)) escaped.Append('%').Append(((int)c).ToString("x2", System.Globalization.CultureInfo.InvariantCulture));
            else escaped.Append(c);
        }
        return escaped.ToString();
    }
}
