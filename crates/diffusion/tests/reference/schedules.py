"""Prints diffusers' schedules. Run with diffusers 0.27.2 and torch 1.13.1:  python schedules.py"""
import numpy as np
from diffusers import DDPMScheduler

AT = [0, 1, 250, 500, 750, 998, 999]

for name in ["linear", "squaredcos_cap_v2"]:
    scheduler = DDPMScheduler(1000, beta_schedule=name)
    print(name, "betas", [f"{x:.8e}" for x in scheduler.betas[AT].tolist()])
    print(name, "alpha_bars", [f"{x:.8e}" for x in scheduler.alphas_cumprod[AT].tolist()])
    print(name, "variances", [f"{scheduler._get_variance(t).item():.8e}" for t in AT[1:]])
short = DDPMScheduler(40, beta_schedule="squaredcos_cap_v2")
print("cosine, 40 steps", [f"{x:.8e}" for x in short.alphas_cumprod[[0, 13, 26, 39]].tolist()])
print("kept, 7 of 1000", np.linspace(0, 999, 7).round().tolist())
print("kept, 3 of 10", np.linspace(0, 9, 3).round().tolist())
