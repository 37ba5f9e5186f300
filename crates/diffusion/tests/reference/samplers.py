"""Prints what diffusers' samplers make of a Gaussian's exact velocity, in double precision.

Run with diffusers 0.27.2 and torch 1.13.1:  python samplers.py
Covariance and inverse are formed as plain matrices here; the Rust tests use eigenvectors.
"""
import math

import torch
import diffusers.schedulers.scheduling_ddpm as ddpm_module
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

torch.set_default_dtype(torch.float64)
MEAN = torch.tensor([0.4, -0.3])
TURN = torch.tensor([[math.cos(0.6), -math.sin(0.6)], [math.sin(0.6), math.cos(0.6)]])
COVARIANCE = TURN @ torch.diag(torch.tensor([0.9, 0.35]) ** 2) @ TURN.T
START = torch.tensor([[0.3, -1.2], [1.5, 0.4]])


def velocity(x, alpha_bar):
    alpha, sigma = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
    marginal = alpha_bar * COVARIANCE + (1 - alpha_bar) * torch.eye(2)
    score = -torch.linalg.solve(marginal, (x - alpha * MEAN).T).T
    noise = -sigma * score
    x0 = (x - sigma * noise) / alpha
    return alpha * noise - sigma * x0


def in_double(scheduler):
    scheduler.betas = scheduler.betas.double()
    scheduler.alphas = 1 - scheduler.betas
    scheduler.alphas_cumprod = torch.cumprod(scheduler.alphas, 0)
    scheduler.one = torch.tensor(1.0)
    if isinstance(scheduler, DDIMScheduler):
        scheduler.final_alpha_cumprod = torch.tensor(1.0)
    return scheduler


def noise_of(step, like):
    k = torch.arange(like.numel(), dtype=torch.float64)
    return torch.sin(1.7 * k + 0.9 * step).reshape(like.shape)


def run(scheduler, raw=None, **options):
    scheduler.set_timesteps(50)
    x = START.clone()
    for step, t in enumerate(scheduler.timesteps):
        out = velocity(x, scheduler.alphas_cumprod[t])
        if raw is not None:
            out = torch.cat([out, raw * torch.ones_like(out)], 1)
        more = {}
        if isinstance(scheduler, DDIMScheduler) and options.get("eta"):
            more["variance_noise"] = noise_of(step, x)
        ddpm_module.randn_tensor = lambda shape, **_: noise_of(step, x)
        x = scheduler.step(out, t, x, **options, **more).prev_sample
    return [f"{v:.9f}" for v in x.flatten().tolist()]


COMMON = dict(
    num_train_timesteps=1000,
    beta_schedule="squaredcos_cap_v2",
    prediction_type="v_prediction",
)
LEADING = dict(clip_sample=False, timestep_spacing="leading", steps_offset=0)

ddim = in_double(DDIMScheduler(**COMMON, **LEADING, set_alpha_to_one=True))
print("ddim eta 0", run(ddim, eta=0.0))
print("ddim eta 0.5", run(ddim, eta=0.5))
for kind, raw in [("fixed_small", None), ("fixed_large", None), ("learned_range", 0.3)]:
    ddpm = in_double(DDPMScheduler(**COMMON, **LEADING, variance_type=kind))
    print("ddpm", kind, run(ddpm, raw=raw))

solver = DPMSolverMultistepScheduler(
    **COMMON,
    algorithm_type="dpmsolver++",
    solver_order=2,
    solver_type="midpoint",
    timestep_spacing="linspace",
    final_sigmas_type="zero",
)
in_double(solver)
solver.alpha_t = torch.sqrt(solver.alphas_cumprod)
solver.sigma_t = torch.sqrt(1 - solver.alphas_cumprod)
solver.lambda_t = torch.log(solver.alpha_t) - torch.log(solver.sigma_t)
print("dpm++2m", run(solver))
print("its timesteps", solver.timesteps.tolist()[:3], solver.timesteps.tolist()[-3:])
