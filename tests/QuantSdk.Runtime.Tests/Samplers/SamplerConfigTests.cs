namespace QuantSdk.Runtime.Tests;

[TestClass]
public sealed class SamplerConfigTests
{
    [TestMethod]
    public void Unknown_keys_and_bare_infinities_are_tolerated()
    {
        var sampler = Sampler.FromJson("""
            { "_class_name": "DDIMScheduler", "_diffusers_version": "0.40.0", "lambda_min_clipped": -Infinity, "a": [NaN, Infinity], "skip_prk_steps": true,
              "text": "a \" -Infinity and NaN \\", "num_train_timesteps": 500 }
            """);
        Assert.AreEqual("DDIMScheduler", sampler.Name);
        Assert.AreEqual(500, sampler.TrainTimesteps);
    }

    [TestMethod]
    public void Keys_marked_as_default_are_not_used() => Assert.AreEqual(1000,
        Sampler.FromJson("""{ "_class_name": "DDIMScheduler", "num_train_timesteps": 7, "_use_default_values": ["num_train_timesteps"] }""").TrainTimesteps);

    [TestMethod]
    public void An_unknown_scheduler_names_those_that_are_known()
    {
        var error = Tensors.Refuses("QSDK7031", () => Sampler.FromJson("""{ "_class_name": "DreamScheduler" }"""));
        Assert.Contains("DreamScheduler", error.Message);
        Assert.Contains("DDIMScheduler, FlowMatchEulerDiscreteScheduler", error.Message);
    }

    [TestMethod]
    [DataRow("""{ "num_train_timesteps": 1000 }""", "_class_name")]
    [DataRow("""[]""", "object")]
    [DataRow("""{ "_class_name": """, "JSON")]
    public void What_is_no_scheduler_configuration_is_refused(string json, string says) =>
        Assert.Contains(says, Tensors.Refuses("QSDK7030", () => Sampler.FromJson(json)).Message);

    [TestMethod]
    [DataRow(""" "beta_start": "low" """, "beta_start")]
    [DataRow(""" "beta_start": Infinity """, "beta_start")]
    [DataRow(""" "num_train_timesteps": 0 """, "num_train_timesteps")]
    [DataRow(""" "num_train_timesteps": 12.5 """, "num_train_timesteps")]
    [DataRow(""" "clip_sample": 1 """, "clip_sample")]
    [DataRow(""" "prediction_type": "magic" """, "epsilon, v_prediction, sample")]
    [DataRow(""" "beta_schedule": "sigmoid" """, "squaredcos_cap_v2")]
    [DataRow(""" "timestep_spacing": "even" """, "leading, linspace, trailing")]
    [DataRow(""" "trained_betas": [0.1] """, "trained_betas")]
    public void A_value_that_cannot_be_used_is_named(string more, string says) =>
        Assert.Contains(says, Tensors.Refuses("QSDK7032", () => Sampler.FromJson($$"""{ "_class_name": "DDIMScheduler", {{more}} }""")).Message);

    [TestMethod]
    public void Relative_paths_start_at_the_application()
    {
        var sampler = Sampler.FromConfig(Path.Combine("data", "digits", "scheduler", "scheduler_config.json"));
        Assert.AreEqual("DDIMScheduler", sampler.Name);
        Assert.AreEqual(TestData.Path("missing.json"), Tensors.Refuses("QSDK7030", () => Sampler.FromConfig("data/missing.json")).File);
    }
}
