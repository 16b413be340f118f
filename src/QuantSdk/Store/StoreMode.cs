namespace QuantSdk.Store;

/// <summary>What a build may do with the store.</summary>
internal enum StoreMode
{
    ReadWrite,

    /// <summary>Takes what is there and adds nothing: for builds whose sources are not trusted.</summary>
    Read,

    Off,
}
