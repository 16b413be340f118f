namespace QuantSdk.Calibration;

/// <summary>Where the channels of a tensor are: [N, C, …] as convolutions read it, or […, C] (<paramref name="Last"/>) as linear layers do.</summary>
internal readonly record struct ChannelLayout(int Channels, bool Last);
