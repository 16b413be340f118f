using System.Text;

namespace CachedDiffusion;

/// <summary>Change of the images over speed-up: the lower and the further right, the better. Below, the images themselves, a row a schedule.</summary>
internal static class SvgPlot
{
    private const int Width = 720, Height = 440, Left = 70, Right = 190, Top = 50, Bottom = 60, Line = 14, Picture = 48, Names = 180;

    /// <param name="pictures">A PNG beside the file: a row for each point.</param>
    /// <param name="columns">Pictures in a row.</param>
    public static void Write(string path, string title, IReadOnlyList<PlotPoint> points, string pictures, int columns)
    {
        double most = Math.Max(1.5, Math.Ceiling(points.Max(p => p.Speedup) * 2) / 2), worst = Math.Max(0.02, Math.Ceiling(points.Max(p => p.Change) * 50) / 50);
        double X(double speedup) => Left + (speedup - 1) / (most - 1) * (Width - Left - Right);
        double Y(double change) => Height - Bottom - change / worst * (Height - Top - Bottom);
        var svg = new StringBuilder($"""
            <svg xmlns="http://www.w3.org/2000/svg" width="{Width}" height="{Height + points.Count * Picture + 10}" font-family="sans-serif" font-size="12">
            <rect width="100%" height="100%" fill="white"/>
            <text x="{Left}" y="28" font-size="15">{title}</text>
            <text x="{(Left + Width - Right) / 2}" y="{Height - 18}" text-anchor="middle">speed-up</text>
            <text transform="translate(20 {(Top + Height - Bottom) / 2}) rotate(-90)" text-anchor="middle">relative change of the images</text>

            """);
        for (var speedup = 1.0; speedup <= most + 1e-9; speedup += 0.5)
            svg.AppendLine($"""<path d="M{X(speedup):f1} {Top}V{Height - Bottom}" stroke="#ddd"/><text x="{X(speedup):f1}" y="{Height - Bottom + 18}" text-anchor="middle">{speedup:f1}</text>""");
        for (var change = 0.0; change <= worst + 1e-9; change += 0.02)
            svg.AppendLine($"""<path d="M{Left} {Y(change):f1}H{Width - Right}" stroke="#ddd"/><text x="{Left - 8}" y="{Y(change) + 4:f1}" text-anchor="end">{change:f2}</text>""");
        // From the top down each name goes beside its point, or as far below as those before it need.
        var named = new List<(double Left, double Right, double Y)>();
        foreach (var point in points.OrderByDescending(p => p.Change))
        {
            var (x, y) = (X(point.Speedup) + 9, Y(point.Change) + 4);
            var end = x + 6.5 * point.Name.Length;
            while (named.Any(n => n.Left < end && x < n.Right && Math.Abs(n.Y - y) < Line))
                y += 1;
            named.Add((x, end, y));
            svg.AppendLine($"""<circle cx="{X(point.Speedup):f1}" cy="{Y(point.Change):f1}" r="5" fill="#1f6fb2"/><text x="{x:f1}" y="{y:f1}">{point.Name}</text>""");
        }
        svg.AppendLine($"""<image href="{pictures}" x="{Names}" y="{Height}" width="{columns * Picture}" height="{points.Count * Picture}" style="image-rendering:pixelated"/>""");
        for (var row = 0; row < points.Count; row++)
            svg.AppendLine($"""<text x="{Names - 10}" y="{Height + row * Picture + Picture / 2 + 4}" text-anchor="end">{points[row].Name}</text>""");
        File.WriteAllText(path, svg.Append("</svg>\n").ToString());
    }
}
