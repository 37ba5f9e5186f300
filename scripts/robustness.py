#!/usr/bin/env python3
"""Kills the program at random moments, and gives it files of which a byte is flipped.

    scripts/robustness.py target/release/learngene kills --count 200
    scripts/robustness.py target/release/learngene flips --count 100

kills: each verb is killed `count` times in all, half of the time while it writes. Whatever stands under the name it was
told to make is then whole, and the same command, or `resume`, ends with the bytes of a run that nobody killed and leaves
nothing else behind. flips: each kind of file is read `count` times with a bit flipped. The answer is a result or an error
with a sentence, never a panic or a signal, in less than 512 MiB. Needs Python 3.9 or newer, nothing else. Exit 1 if
anything was wrong.
"""

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SMALL = ("--data builtin:emoji --classes face,flag,hand --size dit-micro/4 --set train.evaluate_every=0 "
         "--set train.per_class=1 --set train.null=1")
COMPARISON = """
steps = 4
[data]
source = "builtin:emoji"
classes = "heart,bird"
[base]
kind = "base"
[judge]
repeats = 1
images = 2
steps = 2
[train]
log_every = 1
warmup = 0
[[row]]
name = "KIND"
base = "kind"
method = "kind"
"""
MEMORY = 512 << 20


class Program:
    def __init__(self, path, folder):
        self.path, self.folder = str(Path(path).resolve()), folder

    def start(self, words):
        return subprocess.Popen([self.path, *words], cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def run(self, words):
        """Exit code (negative: a signal), peak memory and what it said."""
        said = tempfile.TemporaryFile()
        process = subprocess.Popen([self.path, *words], cwd=self.folder, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = 0
        said.seek(0)
        return os.waitstatus_to_exitcode(status), usage.ru_maxrss << 10, said.read().decode(errors="replace")

    def must(self, text):
        code, _, said = self.run(text.split())
        if code:
            sys.exit(f"{text}: exit {code}\n{said}")


def contents(path, ignored=()):
    """Files below a path by name, as hashes; none of a path that is not there."""
    if path.is_file():
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
    files = (file for file in sorted(path.rglob("*")) if file.is_file())
    named = {str(file.relative_to(path)): file for file in files}
    return {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in named.items()
            if not any(part in name for part in ignored)}


class Verb:
    """A command that makes `out`; `again` goes on after a kill; `ignored` are names of files that depend on time; `whole`
    says whether the unfinished output can be told from a finished one, where it stands under its name."""

    def __init__(self, name, command, again=None, ignored=(), marked=None):
        self.name, self.command, self.again = name, command.split(), (again or command).split()
        self.ignored, self.marked = ignored, marked


VERBS = [
    Verb("pretrain", f"pretrain {SMALL} --rank-split 16,4 --steps 30 --checkpoint-every 3 --out OUT", "resume OUT",
         ("events.jsonl", "tb/", "report.html", ".lock"), "manifest"),
    Verb("transfer", "transfer base --data builtin:emoji --classes heart,bird --steps 30 --set train.checkpoint_every=3 "
         "--out OUT", "resume OUT", ("events.jsonl", "tb/", "report.html", ".lock"), "manifest"),
    Verb("encode", "encode --data builtin:emoji --vae vae --out OUT", marked="latents.json"),
    Verb("export", "export base --format diffusers --out OUT"),
    Verb("assemble", "assemble base --classes face,hand --out OUT"),
    Verb("card", "card base --data builtin:emoji --count 2 --out OUT", ignored=("README.md",)),
    Verb("compare", "compare comparison.toml --out OUT", ignored=("seconds", ".jsonl", "tb/", ".json", ".csv", ".tex", "report.html", ".lock"),
         marked="results.json"),
    Verb("sample", "sample base --class face,flag --count 8 --steps 4 --out OUT/"),
    Verb("autoencoder", "autoencoder train --data builtin:emoji --steps 6 --batch 16 --out OUT"),
]


def prepare(program):
    program.must(f"pretrain {SMALL} --rank-split 16,4 --steps 3 --out base")
    program.must("autoencoder train --data builtin:emoji --steps 1 --batch 8 --out vae")
    (program.folder / "comparison.toml").write_text(COMPARISON)


def leftovers(folder, known):
    """Entries of a folder, and hidden temporary ones below it, that were not there."""
    here = {path.name for path in folder.iterdir()} - known
    below = {str(path.relative_to(folder)) for path in folder.rglob(".*")
             if path.name.endswith((".tmp", ".learngene-partial")) or path.name.startswith((".tmp-", ".old-"))}
    return here | below


def at_work(folder):
    """Whether something unfinished lies in a folder, or in a run folder in it."""
    for place in [folder, folder / "made", folder / "made/checkpoints"]:
        if place.is_dir() and any(name.startswith(".") and name != ".lock" for name in os.listdir(place)):
            return True
    return False


def wait(process, seconds, folder, chance):
    """Until a random moment, or, every other time, shortly after something unfinished appears."""
    if chance.random() < 0.5:
        end = time.time() + 2 * seconds
        while time.time() < end and process.poll() is None:
            if at_work(folder):
                time.sleep(chance.random() * 0.02)
                return
            time.sleep(0.0003)
    else:
        time.sleep(0.97 * seconds * chance.random())


def kills(program, count, chance, only):
    verbs = [verb for verb in VERBS if not only or verb.name in only]
    wrong = 0
    for verb in verbs:
        place = program.folder / "out"
        place.mkdir()
        inside = Program(program.path, place)
        for name in ["base", "vae", "comparison.toml"]:
            os.symlink(program.folder / name, place / name)
        known = {path.name for path in place.iterdir()}
        words = [word.replace("OUT", "made") for word in verb.command]
        again = [word.replace("OUT", "made") for word in verb.again]
        for _ in range(2):  # the second time as fast as it is from then on
            remove(place / "made")
            begun = time.time()
            code, _, said = inside.run(words)
            seconds = time.time() - begun
        if code:
            print(f"{verb.name}: cannot be tried: exit {code}: {said.strip()[:300]}")
            wrong += 1
            shutil.rmtree(place)
            continue
        expected = contents(place / "made", verb.ignored)
        remove(place / "made")
        each = -(-count // len(verbs))
        faults, killed, ended, unfinished = [], 0, 0, 0
        for _ in range(each):
            if not verb.marked:
                remove(place / "made")  # whole, as was seen; `sample` would add to it
            begun = (place / "made/config.toml").exists()
            process = inside.start(again if begun else words)
            wait(process, seconds, place, chance)
            process.send_signal(signal.SIGKILL)
            said = process.communicate()[1].decode(errors="replace")
            killed += process.returncode == -signal.SIGKILL
            ended += process.returncode != -signal.SIGKILL
            if process.returncode > 0 and "holds something" not in said:
                faults.append(f"refused after a kill: {said.strip()[:200]}")
            made = place / "made"
            unfinished += bool(leftovers(place, known) - {"made"})
            if made.exists() and not verb.marked and contents(made, verb.ignored) != expected:
                faults.append(f"half of it stands under its name: {sorted(contents(made))[:5]}")
            if verb.marked and made.is_dir() and verb.marked != "manifest" and (made / verb.marked).exists():
                if contents(made, verb.ignored) != expected:
                    faults.append("it looks whole and is not")
            # Every other time it goes on at once; else it is killed once more.
            if chance.random() < 0.5:
                if made.exists() and not verb.marked:
                    remove(made)
                begun = (made / "config.toml").exists()
                code, _, said = inside.run(again if begun else words)
                if code:
                    faults.append(f"cannot go on: exit {code}: {said.strip()[:300]}")
                elif contents(made, verb.ignored) != expected:
                    found = contents(made, verb.ignored)
                    differing = [n for n in set(found) | set(expected) if found.get(n) != expected.get(n)]
                    faults.append(f"another end than without a kill: {sorted(differing)[:5]}")
                left = leftovers(place, known) - {"made"}
                if left:
                    faults.append(f"left behind: {sorted(left)[:5]}")
                remove(made)
        shutil.rmtree(place)
        print(f"{verb.name}: {killed} kills, {ended} had ended before, {unfinished} found at work, {len(faults)} faults",
              flush=True)
        for fault in sorted(set(faults)):
            print(f"  {fault} ({faults.count(fault)} times)")
        wrong += len(faults)
    return wrong


def remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    elif path.exists():
        path.unlink()


def readers(program):
    """What is read, by which command; FILE is the flipped one, in a copy of its folder."""
    must = program.must
    must("transfer base --data builtin:emoji --classes heart,bird --steps 2 --out novel")
    must(f"pretrain {SMALL} --dense --steps 2 --out dense")
    must("transfer dense --data builtin:emoji --classes heart,bird --method lora --steps 2 --out lora")
    must("export base --format diffusers --out diffusers")
    must("export dense --format dit --out dit.pt")
    must("encode --data builtin:emoji --vae vae --out latents")
    must("sample base --count 4 --steps 2 --npz drawn.npz")
    must("sample base --count 4 --steps 2 --out drawn.png")
    must("assemble base --classes face,flag --out model.safetensors")
    folder = program.folder
    pictures = folder / "pictures"
    for name in "ab":
        (pictures / name).mkdir(parents=True)
        for number in range(3):
            shutil.copy(folder / "drawn.png", pictures / name / f"{number}.png")
    (folder / "map.toml").write_text('base = ["x"]\nnovel = ["hand"]\n[classes]\nx = ["face", "flag"]\nhand = ["hand"]\n')
    (folder / "tree.toml").write_text("figure = ['face', 'hand']\nsign = ['flag']\n")
    step = "checkpoints/" + sorted(p.name for p in (folder / "base/checkpoints").iterdir() if p.name[0] != ".")[-1]
    tailor = sorted(p.name for p in (folder / "diffusers/tailors").iterdir())[0]
    return {
        "weights, header": ("model.safetensors", "inspect FILE", 4000),
        "weights, values": ("model.safetensors", "sample FILE --count 1 --steps 1 --npz x.npz", None),
        "tailors": ("novel/tailors.safetensors", "assemble base --tailors FILE --classes face,heart --out x.safetensors", 4000),
        "adapter": ("lora/adapter.safetensors", "merge dense --adapter FILE --out x.safetensors", 4000),
        "manifest": (f"base/{step}/manifest.json", "inspect FOLDER", None),
        "checkpoint, model": (f"base/{step}/model.safetensors", "resume FOLDER", None),
        "checkpoint, optimiser": (f"base/{step}/optimiser.safetensors", "resume FOLDER", None),
        "config.toml": ("base/config.toml", "resume FOLDER", None),
        "settings": ("base/config.toml", "pretrain --config FILE --steps 1 --out x-run", None),
        "class map": ("map.toml", "data inspect builtin:emoji --class-map FILE", None),
        "class tree": ("tree.toml", "plan --size dit-micro/4 --rank-split 16,4 --class-tree FILE", None),
        "comparison": ("comparison.toml", "compare FILE --out x-comparison", None),
        "diffusers, description": ("diffusers/transformer/config.json", "import FOLDER --out x.safetensors", None),
        "diffusers, weights": ("diffusers/transformer/diffusion_pytorch_model.safetensors", "import FOLDER --out x.safetensors", 4000),
        "LoRA, description": (f"diffusers/tailors/{tailor}/adapter_config.json", f"import diffusers --tailor face=FOLDER/tailors/{tailor} --out x.safetensors", None),
        "LoRA, weights": (f"diffusers/tailors/{tailor}/adapter_model.safetensors", f"import diffusers --tailor face=FOLDER/tailors/{tailor} --out x.safetensors", 4000),
        "DiT checkpoint": ("dit.pt", "import FILE --heads 3 --out x.safetensors", 20000),
        "autoencoder, description": ("vae/config.json", "encode --data builtin:emoji --vae FOLDER --out x-latents", None),
        "autoencoder, weights": ("vae/diffusion_pytorch_model.safetensors", "encode --data builtin:emoji --vae FOLDER --out x-latents", 4000),
        "latents, list": ("latents/latents.json", "data inspect FOLDER", None),
        "latents, shard": ("latents/latents-00000.safetensors", "data inspect FOLDER", None),
        "image archive": ("drawn.npz", "eval --generated FILE --real builtin:emoji:test --metrics kid", None),
        "pictures": ("pictures/a/0.png", "data inspect FOLDER --contact-sheet x.png", None),
    }


def flips(program, count, chance, only):
    wrong = 0
    for name, (path, command, head) in readers(program).items():
        if only and not any(part in name for part in only):
            continue
        whole = (program.folder / path).read_bytes()
        top = path.split("/")[0]
        codes, faults, peak = {}, [], 0
        for number in range(count + 1):
            work = program.folder / "flipped"
            if (program.folder / top).is_dir():
                shutil.copytree(program.folder / top, work, symlinks=True)
                file = work / Path(*path.split("/")[1:])
            else:
                work.mkdir()
                file = work / top
            bits = bytearray(whole)
            # Half of the flips fall into the beginning, where a large file says what it is.
            limit = min(head, len(bits)) if head and chance.random() < 0.5 else len(bits)
            place, bit = chance.randrange(limit), chance.randrange(8)
            if number:
                bits[place] ^= 1 << bit
            file.write_bytes(bits)
            words = [word.replace("FILE", str(file)).replace("FOLDER", str(work)) for word in command.split()]
            code, memory, said = program.run(words)
            if number:
                codes[code] = codes.get(code, 0) + 1
            elif code:
                faults.append(f"cannot be tried: exit {code}: {said.strip()[-300:]}")
            peak = max(peak, memory)
            if code not in (0, 1, 2, 3, 4) or "panicked" in said or "\x1b" in said or memory > MEMORY:
                faults.append(f"byte {place} bit {bit}: exit {code}, {memory >> 20} MiB: {said.strip()[-200:]}")
            shutil.rmtree(work)
            for left in program.folder.glob("x[.-]*"):
                remove(left)
        print(f"{name}: {count} flips, exit codes {dict(sorted(codes.items()))}, at most {peak >> 20} MiB, {len(faults)} faults",
              flush=True)
        for fault in faults[:5]:
            print(f"  {fault}")
        wrong += len(faults)
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("what", choices=["kills", "flips"])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[], help="verbs, or parts of names of readers")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        program = Program(args.program, Path(folder))
        prepare(program)
        of = {"kills": kills, "flips": flips}[args.what]
        wrong = of(program, args.count, random.Random(args.seed), args.only)
    print(f"{wrong} faults in all")
    sys.exit(1 if wrong else 0)


main()
