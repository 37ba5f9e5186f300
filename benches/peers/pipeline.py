"""diffusers' own transformer and DDIM, called as its `DiTPipeline` calls them: what its users have.

The pipeline itself wants an autoencoder and writes 1000 for "no class"; this loop goes without the one and takes the
other from the model. Its blocks each embed time and label anew, which is work that the other peers do once a step.
"""

import diffusers
import torch
from diffusers import DDIMScheduler, DiTTransformer2DModel


def sampler(args):
    """A function that samples one batch of images, of a square side, with a model that has a modulation per block."""
    channels, side, _ = args.image
    model = DiTTransformer2DModel(
        num_attention_heads=args.heads, attention_head_dim=args.hidden // args.heads, in_channels=channels,
        out_channels=channels, num_layers=args.depth, sample_size=side, patch_size=args.patch,
        num_embeds_ada_norm=args.classes,
    ).eval()  # fmt: skip
    scheduler = DDIMScheduler(
        beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", clip_sample=False, timestep_spacing="linspace"
    )
    scheduler.set_timesteps(args.ddim_steps)
    labels = torch.arange(args.batch) % args.classes
    labels = torch.cat([labels, torch.full_like(labels, args.classes)])

    @torch.no_grad()
    def step():
        x = torch.randn(args.batch, channels, side, side)
        x = torch.cat([x, x])
        for t in scheduler.timesteps:
            x = torch.cat([x[: args.batch]] * 2)
            output = model(x, timestep=t[None].expand(len(x)), class_labels=labels).sample
            conditional, unconditional = output.chunk(2)
            output = unconditional + args.guidance * (conditional - unconditional)
            x = scheduler.step(torch.cat([output, output]), t, x).prev_sample

    return step
