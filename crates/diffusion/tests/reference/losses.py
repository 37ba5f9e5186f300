"""Prints the terms of the training loss, in double precision.

Run with diffusers 0.27.2 and torch 1.13.1:  python losses.py
Posterior means and variances come from diffusers' DDPM step with its noise set to zero, divergences and
probabilities from torch.distributions.
"""
import math

import torch
import diffusers.schedulers.scheduling_ddpm as ddpm_module
from diffusers import DDPMScheduler
from torch.distributions import Normal, kl_divergence

torch.set_default_dtype(torch.float64)
ddpm_module.randn_tensor = lambda shape, **_: torch.zeros(shape)
T = [0, 400, 900]
SHAPE = [3, 2, 1, 2]
k = torch.arange(12.0)
noise = (1.3 * torch.cos(0.7 * k)).reshape(SHAPE)
prediction = torch.sin(0.3 * k + 0.1).reshape(SHAPE)
raw = torch.cos(1.1 * k).reshape(SHAPE)
x0 = (torch.round(127.5 * (torch.sin(1 + k) + 1)) / 127.5 - 1).reshape(SHAPE)
x0[0, 0, 0, 0] = 1.0
x0[0, 0, 0, 1] = -1.0


def double(scheduler):
    scheduler.betas = scheduler.betas.double()
    scheduler.alphas = 1 - scheduler.betas
    scheduler.alphas_cumprod = torch.cumprod(scheduler.alphas, 0)
    return scheduler


def gaussian(step_of, t, output, x_t, log_variance):
    mean = step_of.step(output, t, x_t).prev_sample
    return Normal(mean, torch.exp(log_variance / 2))


for target, kind in [("velocity", "v_prediction"), ("epsilon", "epsilon")]:
    common = dict(beta_schedule="squaredcos_cap_v2", clip_sample=False, prediction_type=kind)
    small = double(DDPMScheduler(1000, variance_type="fixed_small_log", **common))
    learned = double(DDPMScheduler(1000, variance_type="learned_range", **common))
    small.set_timesteps(1000)
    rows = {"velocity": [], "epsilon": [], "bits": []}
    for i, t in enumerate(T):
        bar = small.alphas_cumprod[t]
        a, s = bar.sqrt(), (1 - bar).sqrt()
        x_t = a * x0[i] + s * noise[i]
        v = a * noise[i] - s * x0[i]
        if target == "velocity":
            v_hat, e_hat, truth = prediction[i], s * x_t + a * prediction[i], v
        else:
            e_hat, truth = prediction[i], noise[i]
            v_hat = a * e_hat - s * (x_t - s * e_hat) / a
        rows["velocity"].append((v_hat - v).square().mean().item())
        rows["epsilon"].append((e_hat - noise[i]).square().mean().item())
        # fixed_small_log returns a deviation; the variance of t = 0 is replaced by that of t = 1.
        known = 2 * torch.log(torch.as_tensor(small._get_variance(max(t, 1))))
        high = torch.log(small.betas[t])
        log_variance = (raw[i] + 1) / 2 * high + (1 - raw[i]) / 2 * known
        model = gaussian(small, t, prediction[i][None], x_t[None], log_variance)
        if t == 0:
            upper = model.cdf(x0[i] + 1 / 255)
            lower = model.cdf(x0[i] - 1 / 255)
            upper = torch.where(x0[i] > 0.999, torch.ones(()), upper)
            lower = torch.where(x0[i] < -0.999, torch.zeros(()), lower)
            nats = -torch.log(torch.clamp(upper - lower, min=1e-12))
        else:
            true = gaussian(small, t, truth[None], x_t[None], known * torch.ones_like(raw[i]))
            nats = kl_divergence(true, model)
        rows["bits"].append(nats.mean().item() / math.log(2))
    for name, values in rows.items():
        print(target, name, [f"{x:.9e}" for x in values])
