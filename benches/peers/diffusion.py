"""Noise, loss and DDIM for a model that predicts v, with the squared-cosine schedule (Nichol & Dhariwal 2021)."""

import math

import torch
import torch.nn.functional as F

STEPS = 1000


def levels():
    """(alpha, sigma) of each of the 1000 times: x_t = alpha x_0 + sigma noise."""

    def bar(t):
        return math.cos((t / STEPS + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = [min(1 - bar(t + 1) / bar(t), 0.999) for t in range(STEPS)]
    alpha_bar = torch.cumprod(1 - torch.tensor(betas, dtype=torch.float64), dim=0)
    return alpha_bar.sqrt().float(), (1 - alpha_bar).sqrt().float()


class Loss:
    """Mean squared error of v at a random time of every sample, the times stratified over the batch."""

    def __init__(self):
        self.alpha, self.sigma = levels()

    def __call__(self, model, x0, labels):
        batch = len(x0)
        slices = torch.randperm(batch) + torch.rand(batch)
        times = (slices * (STEPS / batch)).long().clamp_(max=STEPS - 1)
        alpha, sigma = (table[times].view(-1, 1, 1, 1) for table in (self.alpha, self.sigma))
        noise = torch.randn_like(x0)
        prediction = model(alpha * x0 + sigma * noise, times, labels)
        return F.mse_loss(prediction.float(), alpha * noise - sigma * x0)


@torch.inference_mode()
def ddim(model, x, labels, null_label, steps, guidance):
    """Noiseless DDIM (Song et al. 2021) with classifier-free guidance, both halves of it in one batch."""
    alpha, sigma = (table.tolist() for table in levels())
    times = [round(i * (STEPS - 1) / (steps - 1)) for i in range(steps)]
    both = torch.cat([labels, torch.full_like(labels, null_label)])
    for i in reversed(range(steps)):
        t = times[i]
        prediction = model(torch.cat([x, x]), torch.full_like(both, t), both).float()
        conditional, unconditional = prediction.chunk(2)
        v = torch.lerp(unconditional, conditional, guidance)
        x0 = alpha[t] * x - sigma[t] * v
        noise = sigma[t] * x + alpha[t] * v
        before = (alpha[times[i - 1]], sigma[times[i - 1]]) if i else (1.0, 0.0)
        x = before[0] * x0 + before[1] * noise
    return x
