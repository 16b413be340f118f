namespace QuantSdk.Runtime;

/// <summary>Which part of a product is rounded to float32.</summary>
internal enum SingleRounding
{
    None,

    /// <summary>The register, before it is multiplied.</summary>
    Register,

    /// <summary>The register and the product.</summary>
    Product,
}
