foreach (var folder in Directory.EnumerateDirectories(Path.Combine(AppContext.BaseDirectory, "models")).Order(StringComparer.Ordinal))
    Console.WriteLine(Path.GetFileName(folder));
