"""One PyTorch peer: builds a model, then does what it is told on stdin, one line of JSON on stdout for each.

    > {"version": "2.15.0", "threads": 2, "baseline_kib": 312000}      when it is ready
    < steps 3
    > {"seconds": 1.234}

Normally started by `side-by-side`, which says what it passes; by hand, for example:

    echo steps 3 | python benches/peers/peer.py --mode train --variant eager --attention sdpa \
        --image 3 32 32 --patch 4 --hidden 192 --depth 6 --heads 3 --classes 12 --adaln shared --batch 32
"""

import argparse
import contextlib
import importlib
import json
import os
import sys
import time

import torch
from diffusion import Loss, ddim
from dit import Dit, Shape

IMAGES = 720  # stand-ins of the data set's shape


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    variants = ["eager", "compile", "bf16", "bf16-compile", "diffusers"]
    parser.add_argument("--variant", choices=variants, default="eager")
    parser.add_argument("--attention", choices=["sdpa", "bmm"], default="sdpa")
    parser.add_argument("--mode", choices=["train", "sample"], default="train")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda for a comparison by hand")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--image", type=int, nargs=3, required=True, metavar=("C", "H", "W"))
    for name in ("patch", "hidden", "depth", "heads", "classes"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--adaln", choices=["shared", "per-block"], required=True)
    parser.add_argument("--rank-split", type=int, nargs=2, metavar=("N_G", "N_T"), help="KIND with a mask on sigma")
    parser.add_argument("--batch", type=int, default=32, help="images of a step, or images to sample")
    parser.add_argument("--labels", choices=["plain", "stratified"], default="plain")
    parser.add_argument("--classes-per-step", type=int, help="of a stratified batch; all if absent")
    parser.add_argument("--null", type=int, default=0, help="null labels of a stratified batch")
    parser.add_argument("--ddim-steps", type=int, default=50)
    parser.add_argument("--guidance", type=float, default=2.0)
    parser.add_argument("--check", metavar="FILE", help="compare with what the Rust program computed, and exit")
    return parser.parse_args()


def status(field):
    """A line of /proc/self/status in KiB."""
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(field))


class Batches:
    """Random images, and labels as the Rust program draws them."""

    def __init__(self, args):
        self.args = args
        self.images = torch.randint(0, 256, (IMAGES, *args.image), dtype=torch.uint8)
        self.classes = torch.randint(0, args.classes, (IMAGES,))

    def next(self):
        args, null = self.args, self.args.classes
        index = torch.randint(0, IMAGES, (args.batch,))
        x0 = self.images[index].float().div_(127.5).sub_(1)
        if args.labels == "plain":
            dropped = torch.rand(args.batch) < 0.1
            return x0, torch.where(dropped, null, self.classes[index])
        chosen = torch.randperm(args.classes)[: args.classes_per_step].sort().values
        own = chosen.repeat_interleave((args.batch - args.null) // len(chosen))
        return x0, torch.cat([own, own.new_full((args.null,), null)])


def trainer(model, forward, args):
    """A function that trains one step: clipped AdamW and a moving average of the weights."""
    parameters = list(model.parameters())
    average = [p.detach().clone() for p in parameters]
    optimiser = torch.optim.AdamW(parameters, lr=3e-4, betas=(0.9, 0.99), weight_decay=0.0, fused=True)
    batches, loss_of = Batches(args), Loss()

    def step():
        x0, labels = batches.next()
        loss = loss_of(forward, x0, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        with torch.no_grad():
            torch._foreach_lerp_(average, parameters, 1 - 0.995)
        return loss.item()

    return step


def sampler(forward, args):
    """A function that samples one batch of images."""
    labels = torch.arange(args.batch) % args.classes

    def step():
        x = torch.randn(args.batch, *args.image)
        ddim(forward, x, labels, args.classes, args.ddim_steps, args.guidance)

    return step


def check(model, forward, path):
    """The largest difference of the output and of a gradient from what stands in the file, relative to its largest value."""
    from safetensors.torch import load_file

    stored = load_file(path)
    with torch.no_grad():
        for name, place in model.by_name(lambda p: p.data).items():
            place.copy_(stored.pop(name))
    output = forward(stored.pop("input.images"), stored.pop("input.times"), stored.pop("input.labels").long())
    output.square().mean().backward()

    expected = stored.pop("output")
    gradients = model.by_name(lambda p: p.grad)
    # Some gradients are zero but for rounding (that of the keys' bias), so they have no scale of their own.
    least = 1e-3 * max(gradient.abs().max().item() for gradient in stored.values())

    def apart(ours, theirs, least):
        return ((ours - theirs).abs().max() / theirs.abs().max().clamp(min=least)).item()

    return {
        "output": apart(output.detach(), expected, 0.0),
        "gradient": max(apart(gradients[n.removeprefix("gradient.")], g, least) for n, g in stored.items()),
    }


def build(args):
    """The model, and the function that computes with it as the variant says."""
    shape = Shape(
        image=tuple(args.image), patch=args.patch, hidden=args.hidden, depth=args.depth, heads=args.heads,
        classes=args.classes, adaln=args.adaln, attention=args.attention,
        rank_split=tuple(args.rank_split) if args.rank_split else None,
    )  # fmt: skip
    model = Dit(shape)
    compiled = torch.compile(model, dynamic=False) if args.variant.endswith("compile") else model
    half = args.variant.startswith("bf16")

    def forward(*inputs):
        with torch.autocast(args.device, dtype=torch.bfloat16) if half else contextlib.nullcontext():
            return compiled(*inputs)

    return model, forward


def main():
    # What libraries print must not get between the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    args = arguments()
    pipeline = importlib.import_module("pipeline") if args.variant == "diffusers" else None
    baseline = status("VmRSS")
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    torch.set_default_device(args.device)
    version = torch.__version__
    if pipeline:
        step, version = pipeline.sampler(args), f"{version}, diffusers {pipeline.diffusers.__version__}"
    else:
        model, forward = build(args)
        if args.check:
            print(json.dumps(check(model, forward, args.check)), file=answers)
            return
        step = trainer(model, forward, args) if args.mode == "train" else sampler(forward, args)
    ready = {"version": version, "threads": torch.get_num_threads(), "baseline_kib": baseline}
    print(json.dumps(ready), file=answers)
    for line in sys.stdin:
        word, count = line.split()
        if word != "steps":
            sys.exit(f"`{line.strip()}` is not `steps N`")
        start = time.perf_counter()
        for _ in range(int(count)):
            step()
        if args.device != "cpu":
            torch.accelerator.synchronize()
        print(json.dumps({"seconds": time.perf_counter() - start}), file=answers)


if __name__ == "__main__":
    main()
