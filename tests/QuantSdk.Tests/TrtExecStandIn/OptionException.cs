namespace QuantSdk.TrtExecStandIn;

/// <summary>What trtexec's parser throws; of an uncaught one it says so.</summary>
public sealed class OptionException(string message, bool isUncaught = false) : Exception(message)
{
    public bool IsUncaught => isUncaught;
}
