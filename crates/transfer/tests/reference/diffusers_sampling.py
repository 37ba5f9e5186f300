"""What diffusers' samplers draw with the random DiT of the fixture, for `tests/sampling.rs`.

    python3 -m venv v && v/bin/pip install torch diffusers          (made with torch 2.15.0, diffusers 0.42.1)
    v/bin/python diffusers_sampling.py ../fixtures/diffusers        writes samples.safetensors there

Two images of classes 1 and 4 in 50 steps, with the network read as a predictor of v on the cosine schedule and of the noise
on the linear one; nothing is clipped.
"""

import sys

import torch
from diffusers import DDIMScheduler, DiTTransformer2DModel, DPMSolverMultistepScheduler
from safetensors.torch import save_file

SCHEDULES = {
    "v": dict(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction"),
    "noise": dict(beta_schedule="linear", beta_start=1e-4, beta_end=0.02, prediction_type="epsilon"),
}


def draw(model, scheduler, noise, labels):
    scheduler.set_timesteps(50)
    x = noise.clone()
    for t in scheduler.timesteps:
        with torch.no_grad():
            out = model(x, timestep=t.expand(len(x)), class_labels=labels).sample
        # The other half is the learned variance, which these samplers have no use for.
        x = scheduler.step(out[:, : x.shape[1]], t, x).prev_sample
    return x.contiguous()


def main(folder):
    model = DiTTransformer2DModel.from_pretrained(f"{folder}/transformer").eval()
    torch.manual_seed(0)
    noise, labels = torch.randn(2, 3, 8, 8), torch.tensor([1, 4])
    found = {"noise": noise}
    for name, schedule in SCHEDULES.items():
        ddim = DDIMScheduler(**schedule, clip_sample=False, timestep_spacing="leading", set_alpha_to_one=True)
        found[f"ddim.{name}"] = draw(model, ddim, noise, labels)
        solver = DPMSolverMultistepScheduler(**schedule, algorithm_type="dpmsolver++", solver_order=2,
                                             timestep_spacing="linspace", final_sigmas_type="zero")
        found[f"dpm++2m.{name}"] = draw(model, solver, noise, labels)
        print(name, {key: value.abs().max().item() for key, value in found.items()})
    save_file(found, f"{folder}/samples.safetensors")


if __name__ == "__main__":
    main(*sys.argv[1:])
