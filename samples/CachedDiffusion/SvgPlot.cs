using System.Text;

namespace CachedDiffusion;

/// <summary>Change of the images over speed-up: the lower and the further right, the better.</summary>
internal static class SvgPlot
{
    private const int Width = 720, Height = 440, Left = 70, Right = 190, Top = 50, Bottom = 60;

    public static void Write(string path, string title, IReadOnlyList<PlotPoint> points)
    {
        double most = Math.Ceiling(points.Max(p => p.Speedup) * 2) / 2, worst = Math.Ceiling(points.Max(p => p.Change) * 50) / 50;
        double X(double speedup) => Left + (speedup - 1) / Math.Max(0.5, most - 1) * (Width - Left - Right);
        double Y(double change) => Height - Bottom - change / Math.Max(0.02, worst) * (Height - Top - Bottom);
        var svg = new StringBuilder($"""
            <svg xmlns="http://www.w3.org/2000/svg" width="{Width}" height="{Height}" font-family="sans-serif" font-size="12">
            <rect width="100%" height="100%" fill="white"/>
            <text x="{Left}" y="28" font-size="15">{title}</text>
            <text x="{(Left + Width - Right) / 2}" y="{Height - 18}" text-anchor="middle">speed-up</text>
            <text transform="translate(20 {(Top + Height - Bottom) / 2}) rotate(-90)" text-anchor="middle">relative change of the images</text>

            """);
        for (var speedup = 1.0; speedup <= most + 1e-9; speedup += 0.5)
            svg.AppendLine($"""<path d="M{X(speedup):f1} {Top}V{Height - Bottom}" stroke="#ddd"/><text x="{X(speedup):f1}" y="{Height - Bottom + 18}" text-anchor="middle">{speedup:f1}</text>""");
        for (var change = 0.0; change <= worst + 1e-9; change += 0.02)
            svg.AppendLine($"""<path d="M{Left} {Y(change):f1}H{Width - Right}" stroke="#ddd"/><text x="{Left - 8}" y="{Y(change) + 4:f1}" text-anchor="end">{change:f2}</text>""");
        foreach (var point in points)
            svg.AppendLine($"""<circle cx="{X(point.Speedup):f1}" cy="{Y(point.Change):f1}" r="5" fill="#1f6fb2"/><text x="{X(point.Speedup) + 9:f1}" y="{Y(point.Change) + 4:f1}">{point.Name}</text>""");
        File.WriteAllText(path, svg.Append("</svg>\n").ToString());
    }
}
