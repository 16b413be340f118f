namespace QuantSdk.Runtime;

/// <summary>Writes a timestep into a model's input, cast to its type and repeated over its shape.</summary>
internal static class TimestepFeed
{
    public static void Fill(ModelBinding binding, Port port, double timestep)
    {
        switch (port.Type.Name)
        {
            case "float": binding.Input<float>(port.Name).Fill((float)timestep); break;
            case "float16": binding.Input<Half>(port.Name).Fill((Half)timestep); break;
            case "double": binding.Input<double>(port.Name).Fill(timestep); break;
            case "int64": binding.Input<long>(port.Name).Fill((long)Math.Round(timestep)); break;
            default: binding.Input<int>(port.Name).Fill((int)Math.Round(timestep)); break;
        }
    }
}
