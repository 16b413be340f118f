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
        Assert.Contains("DDIMScheduler, DDPMScheduler, DEISMultistepScheduler, DPMSolverMultistepScheduler, EulerAncestralDiscreteScheduler", error.Message);
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

    /// <summary>What a class knows and this one does not do is an error, not another image.</summary>
    [TestMethod]
    [DataRow("DDPMScheduler", """ "variance_type": "learned_range" """)]
    [DataRow("DDPMScheduler", """ "variance_type": "fixed_large_log" """)]
    [DataRow("PNDMScheduler", """ "prediction_type": "sample" """)]
    [DataRow("EulerDiscreteScheduler", """ "prediction_type": "sample" """)]
    [DataRow("EulerDiscreteScheduler", """ "interpolation_type": "log_linear" """)]
    [DataRow("EulerDiscreteScheduler", """ "use_beta_sigmas": true, "use_exponential_sigmas": true """)]
    [DataRow("EulerDiscreteScheduler", """ "sigma_min": -1 """)]
    [DataRow("EulerAncestralDiscreteScheduler", """ "prediction_type": "sample" """)]
    [DataRow("HeunDiscreteScheduler", """ "use_karras_sigmas": true, "use_exponential_sigmas": true """)]
    [DataRow("HeunDiscreteScheduler", """ "beta_schedule": "exp" """)]
    [DataRow("DPMSolverMultistepScheduler", """ "solver_order": 4 """)]
    [DataRow("DPMSolverMultistepScheduler", """ "algorithm_type": "dpmsolver" """)]
    [DataRow("DPMSolverMultistepScheduler", """ "algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min", "solver_order": 3 """)]
    [DataRow("DPMSolverMultistepScheduler", """ "use_karras_sigmas": true, "use_lu_lambdas": true """)]
    [DataRow("DPMSolverMultistepScheduler", """ "use_flow_sigmas": true, "use_karras_sigmas": true """)]
    [DataRow("DPMSolverMultistepScheduler", """ "prediction_type": "flow_prediction" """)]
    [DataRow("DPMSolverMultistepScheduler", """ "lambda_min_clipped": NaN """)]
    [DataRow("DPMSolverMultistepScheduler", """ "use_dynamic_shifting": true, "time_shift_type": "linear" """)]
    [DataRow("UniPCMultistepScheduler", """ "solver_p": { "_class_name": "DDIMScheduler" } """)]
    [DataRow("UniPCMultistepScheduler", """ "shift_terminal": 0.02 """)]
    [DataRow("UniPCMultistepScheduler", """ "lower_order_final": false """)]
    [DataRow("UniPCMultistepScheduler", """ "predict_x0": false """)]
    [DataRow("UniPCMultistepScheduler", """ "disable_corrector": [0.5] """)]
    [DataRow("UniPCMultistepScheduler", """ "flow_shift": 0 """)]
    [DataRow("DEISMultistepScheduler", """ "algorithm_type": "sde-dpmsolver++" """)]
    [DataRow("LCMScheduler", """ "original_inference_steps": 2000 """)]
    [DataRow("TCDScheduler", """ "original_inference_steps": 0 """)]
    public void What_is_not_done_is_refused(string scheduler, string more) =>
        Tensors.Refuses("QSDK7032", () => Sampler.FromJson($$"""{ "_class_name": "{{scheduler}}", {{more}} }"""));

    [TestMethod]
    [DataRow("LCMScheduler", "", 51)]
    [DataRow("TCDScheduler", "", 51)]
    [DataRow("LCMScheduler", """, "rescale_betas_zero_snr": true """, 4)]
    [DataRow("DDPMScheduler", """, "rescale_betas_zero_snr": true, "timestep_spacing": "trailing" """, 4)]
    [DataRow("PNDMScheduler", "", 3)]
    [DataRow("EulerDiscreteScheduler", "", 1001)]
    [DataRow("UniPCMultistepScheduler", """, "use_flow_sigmas": true, "use_dynamic_shifting": true """, 4)]
    public void Runs_that_cannot_be_laid_out_are_refused(string scheduler, string more, int steps) =>
        Tensors.Refuses("QSDK7033", () => Sampler.FromJson($$"""{ "_class_name": "{{scheduler}}"{{more}} }""").Schedule(steps));

    [TestMethod]
    public void Options_that_a_sampler_has_no_use_for_are_refused()
    {
        var euler = Sampler.FromJson("""{ "_class_name": "EulerDiscreteScheduler" }""");
        Tensors.Refuses("QSDK7033", () => euler.Schedule(5, new ScheduleOptions { Eta = 0.5 }));
        Tensors.Refuses("QSDK7033", () => euler.Schedule(5, new ScheduleOptions { Sigmas = [1f] }));
        Tensors.Refuses("QSDK7033", () => euler.Schedule(5, new ScheduleOptions { StartStep = 5 }));
        Tensors.Refuses("QSDK7033", () => euler.Schedule(5, new ScheduleOptions { StartStep = -1 }));
        Tensors.Refuses("QSDK7033", () => Sampler.FromJson("""{ "_class_name": "TCDScheduler" }""").Schedule(5, new ScheduleOptions { Eta = 1.5 }));
        Assert.ThrowsExactly<ArgumentException>(() => Sampler.FromJson("""{ "_class_name": "TCDScheduler" }""").Schedule(5).Step(0, [0f], [0f]));
    }

    /// <summary>A file may carry the keys of another class: they are not looked at.</summary>
    [TestMethod]
    public void Keys_of_other_classes_do_nothing()
    {
        var plain = Sampler.FromJson("""{ "_class_name": "DEISMultistepScheduler" }""").Schedule(5);
        var carried = Sampler.FromJson("""{ "_class_name": "DEISMultistepScheduler", "rescale_betas_zero_snr": true, "use_lu_lambdas": true, "sigma_min": 3, "clip_sample": true }""").Schedule(5);
        CollectionAssert.AreEqual(plain.Sigmas.ToArray(), carried.Sigmas.ToArray());
    }

    [TestMethod]
    public void Relative_paths_start_at_the_application()
    {
        var sampler = Sampler.FromConfig(Path.Combine("data", "digits", "scheduler", "scheduler_config.json"));
        Assert.AreEqual("DDIMScheduler", sampler.Name);
        Assert.AreEqual(TestData.Path("missing.json"), Tensors.Refuses("QSDK7030", () => Sampler.FromConfig("data/missing.json")).File);
    }
}
