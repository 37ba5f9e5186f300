//! The table: programs, what they save, and what becomes of it here.

/// What becomes of a file. The words are part of what the program says of it.
#[derive(Clone, Copy)]
pub enum Outcome {
    /// Read without a warning.
    Read,
    /// Read with this warning.
    Warned(&'static str),
    /// Not read, for this reason.
    Refused(&'static str),
}
use Outcome::{Read, Refused, Warned};

/// A file and what becomes of it.
pub struct Case {
    /// Program that saves such a file.
    pub of: &'static str,
    /// The file, in words.
    pub what: &'static str,
    /// Arguments of `import` in the folder that `folder` makes; for autoencoders the path alone.
    pub line: &'static str,
    pub outcome: Outcome,
}

const fn case(of: &'static str, what: &'static str, line: &'static str, outcome: Outcome) -> Case {
    Case {
        of,
        what,
        line,
        outcome,
    }
}

pub const CHECKPOINTS: &[Case] = &[
    case("DiT", "state dictionary, `.pt`", "half.pt --heads 2", Read),
    case(
        "DiT",
        "the same as safetensors",
        "half.safetensors --heads 2",
        Read,
    ),
    case(
        "DiT",
        "weights in f16 or bf16, positions rounded with them",
        "bf16.safetensors --heads 2",
        Read,
    ),
    case(
        "DiT",
        "training checkpoint: of `model` and `ema` the average",
        "training.pt --heads 2",
        Read,
    ),
    case(
        "DiT",
        "a tensor beside `model` and `ema`",
        "root-tensor.pt --heads 2",
        Read,
    ),
    case(
        "DiT",
        "part by name",
        "training.pt --heads 2 --part model",
        Read,
    ),
    case(
        "DiT",
        "trained without dropping labels: as many label rows as `num_classes`",
        "no-null-row.pt --heads 2",
        Warned("none for \"no class\""),
    ),
    case(
        "DiT",
        "trained positions",
        "trained-positions.pt --heads 2",
        Refused("trained positions cannot be kept here"),
    ),
    case(
        "DiT",
        "a width of no published size, heads not given",
        "half.pt",
        Refused("give --heads"),
    ),
    case(
        "SiT",
        "training checkpoint",
        "sit.pt --heads 2",
        Refused("does not predict the noise of a diffusion"),
    ),
    case(
        "SiT",
        "state dictionary called SiT",
        "SiT-S-2.pt --heads 2",
        Warned("its name says SiT"),
    ),
    case(
        "PyTorch",
        "prefix `module.` of DistributedDataParallel",
        "module.pt --heads 2",
        Read,
    ),
    case(
        "PyTorch",
        "prefix `_orig_mod.` of torch.compile",
        "orig_mod.pt --heads 2",
        Read,
    ),
    case(
        "PyTorch",
        "both, below `model_state_dict`",
        "both.pt --heads 2",
        Read,
    ),
    case(
        "PyTorch",
        "AveragedModel",
        "averaged-model.pt --heads 2",
        Read,
    ),
    case("PyTorch", "strided tensors", "strided.pt --heads 2", Read),
    case(
        "PyTorch",
        "weights as int8",
        "int8.pt --heads 2",
        Refused("expected floats: convert it first"),
    ),
    case(
        "PyTorch",
        "a whole module, pickled",
        "whole-model.pt",
        Refused("nothing of it was run"),
    ),
    case(
        "Lightning",
        "checkpoint: `state_dict` with `model.` before the names",
        "lightning.pt --heads 2",
        Read,
    ),
    case(
        "ema-pytorch",
        "`ema_model` beside `online_model`: the average",
        "ema-pytorch.pt --heads 2",
        Read,
    ),
    case(
        "any",
        "parts below parts, as `ema.state_dict`",
        "nested.pt --heads 2",
        Read,
    ),
    case(
        "accelerate",
        "folder with `model.safetensors`",
        "accelerate --heads 2",
        Read,
    ),
    case(
        "diffusers",
        "folder of a DiTTransformer2DModel",
        "transformer",
        Read,
    ),
    case(
        "diffusers",
        "its file of weights, `config.json` beside",
        "transformer/diffusion_pytorch_model.safetensors",
        Read,
    ),
    case(
        "diffusers",
        "average of a training (`EMAModel`)",
        "ema",
        Read,
    ),
    case(
        "diffusers",
        "shards beside an older whole file: the shards",
        "twice",
        Read,
    ),
    case("diffusers", "shards in `.bin`", "sharded-bin", Read),
    case("diffusers", "a `variant` alone", "variant", Read),
    case(
        "diffusers",
        "several variants and none without a name",
        "variants",
        Refused("in the variants bf16, fp16"),
    ),
    case(
        "diffusers",
        "another class of model",
        "vae",
        Refused("`_class_name` is AutoencoderKL"),
    ),
    case(
        "diffusers",
        "pipeline: target, schedule and names of classes are its",
        "pipe-published",
        Read,
    ),
    case(
        "diffusers",
        "scheduler with v prediction and the cosine betas",
        "pipe-v-cosine",
        Read,
    ),
    case(
        "diffusers",
        "scheduler with zero terminal SNR",
        "pipe-zero-snr",
        Warned("`rescale_betas_zero_snr` leaves none"),
    ),
    case(
        "diffusers",
        "scheduler with `timestep_spacing` or sigmas of its own",
        "pipe-solver",
        Read,
    ),
    case(
        "diffusers",
        "scheduler with betas that there are not here",
        "pipe-stable-diffusion",
        Refused("are no schedule that there is here"),
    ),
    case(
        "diffusers",
        "scheduler with `trained_betas`",
        "pipe-trained-betas",
        Refused("`trained_betas` are no schedule"),
    ),
    case(
        "diffusers",
        "scheduler whose network predicts the image",
        "pipe-sample",
        Refused("`prediction_type` is sample"),
    ),
    case(
        "diffusers",
        "scheduler of flow matching",
        "pipe-flow-match",
        Refused("velocity on a straight path"),
    ),
];

pub const ADAPTERS: &[Case] = &[
    case(
        "PEFT",
        "folder of LoRA",
        "transformer --lora adapters/gaussian",
        Read,
    ),
    case(
        "PEFT",
        "its file, `adapter_config.json` beside",
        "transformer --lora adapters/gaussian/adapter_model.safetensors",
        Read,
    ),
    case(
        "PEFT",
        "its file alone",
        "transformer --lora alone/adapter_model.safetensors",
        Refused("adapter_config.json, which says its alpha, is not beside it"),
    ),
    case(
        "PEFT",
        "`rank_pattern`, `alpha_pattern`",
        "transformer --lora adapters/patterns",
        Read,
    ),
    case(
        "PEFT",
        "`use_rslora`",
        "transformer --lora adapters/rslora-patterns",
        Read,
    ),
    case(
        "PEFT",
        "`init_lora_weights` gaussian, orthogonal, eva, mica, true, false",
        "transformer --lora adapters/mica",
        Read,
    ),
    case(
        "PEFT",
        "PiSSA, OLoRA, CorDA, LoRA-GA",
        "transformer --lora adapters/pissa",
        Refused("`init_lora_weights` is \"pissa\""),
    ),
    case(
        "PEFT",
        "the same, saved with `path_initial_model_for_weight_conversion`",
        "transformer --lora adapters/pissa-converted",
        Read,
    ),
    case(
        "PEFT",
        "`layers_to_transform`",
        "transformer --lora adapters/layers",
        Read,
    ),
    case(
        "PEFT",
        "DoRA",
        "transformer --lora adapters/dora",
        Refused("`use_dora` is true"),
    ),
    case(
        "PEFT",
        "biases",
        "transformer --lora adapters/bias",
        Refused("`bias` is \"lora_only\""),
    ),
    case(
        "PEFT",
        "`lora_bias`",
        "transformer --lora adapters/lora-bias",
        Refused("`lora_bias` is true"),
    ),
    case(
        "PEFT",
        "`modules_to_save`",
        "transformer --lora adapters/modules-to-save",
        Refused("`modules_to_save` is"),
    ),
    case(
        "PEFT",
        "`target_parameters`",
        "transformer --lora adapters/target-parameters",
        Refused("`target_parameters` is"),
    ),
    case(
        "PEFT",
        "a rank that is not that of the tensors",
        "transformer --lora rank",
        Refused("`r` says rank 8"),
    ),
    case(
        "PEFT",
        "a key of a later version",
        "transformer --lora later",
        Warned("`use_tomorrow` is 3"),
    ),
    case(
        "diffusers",
        "`lora_adapter_metadata` in the header",
        "transformer --lora adapters/header.safetensors",
        Read,
    ),
    case(
        "diffusers",
        "folder with `pytorch_lora_weights.safetensors`",
        "transformer --lora of-diffusers",
        Read,
    ),
    case(
        "diffusers",
        "no alpha anywhere: factor 1",
        "transformer --lora adapters/no-alpha.safetensors",
        Read,
    ),
    case(
        "kohya",
        "alpha of any type of number",
        "transformer --lora adapters/kohya-i64.safetensors",
        Read,
    ),
    case(
        "kohya",
        "the same by torch.save",
        "transformer --lora adapters/kohya-i64.pt",
        Read,
    ),
    case(
        "LyCORIS",
        "DoRA, LoHa and others",
        "transformer --lora adapters/lycoris-dora.safetensors",
        Refused("dora_scale"),
    ),
];

pub const AUTOENCODERS: &[Case] = &[
    case("diffusers", "folder of an AutoencoderKL", "vae", Read),
    case("diffusers", "`vae` of a pipeline", "with-vae", Read),
    case(
        "diffusers",
        "average of a training (`EMAModel`)",
        "vae-ema",
        Read,
    ),
    case("diffusers", "a `variant` alone", "vae-variant", Read),
    case(
        "diffusers",
        "one file, `config.json` beside",
        "vae/diffusion_pytorch_model.safetensors",
        Read,
    ),
    case(
        "diffusers",
        "one file alone",
        "vae-alone/diffusion_pytorch_model.safetensors",
        Refused("which says how it is built"),
    ),
    case(
        "diffusers",
        "another class of model",
        "transformer",
        Refused("`_class_name` is \"DiTTransformer2DModel\""),
    ),
];
