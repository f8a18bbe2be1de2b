"""Run the soak: `python -m tests.soak --cases 200 --seed 0`."""

import gc
import shutil
import tempfile
from collections import Counter
from importlib import import_module
from pathlib import Path
from random import Random

import click
import torch

# Loaded here, so that no forked case spends its seconds on imports.
import report.diff
import report.pipeline.experiment  # noqa: F401
from dogcam.cli.main import COMMANDS as DOGCAM
from tests.soak.cases import GOOD, Material, chosen, faulty, killed, prepare

KILLED = 40
"""By default, one of so many cases is a command that is killed 3 to 8 times before it may end."""

Counts = Counter[tuple[str, str]]


def soak(
    folder: Path, cases: int, seed: int, material: Material | None = None, kill_every: int = KILLED
) -> tuple[Counts, int]:
    """Run generated cases; print every finding.

    Args:
        folder: where cases are made; each is removed when it ended well.
        cases: their number.
        seed: of the generator; the same seed gives the same cases.
        material: the inputs; they are made if None.
        kill_every: one of so many cases is a killed command.

    Returns:
        How many cases of each (command, outcome) there were, and the number of kills.
    """
    for module, _ in DOGCAM.values():
        import_module(module)
    torch.set_num_threads(1)
    material = material or prepare(folder / "material")
    gc.freeze()  # so that forked cases share the memory of what is loaded
    found: Counts = Counter()
    n_kills = 0
    for number in range(cases):
        random = Random(f"{seed}/{number}")
        case = folder / f"case-{number:05d}"
        if number % kill_every == kill_every - 1:
            # A run takes twenty times as long as a training.
            command = "run" if "run" in material.seconds and random.random() < 0.25 else "train"
            outcome, what, output, n = killed(material, case, command, random)
            n_kills += n
        else:
            command = chosen(random, material)
            outcome, what, output = faulty(material, case, command, random)
        found[command, outcome] += 1
        if outcome in GOOD:
            shutil.rmtree(case)
        else:
            click.echo(f"case {number}: {outcome}: {what}\n{output[-1500:]}", err=True)
    return found, n_kills


@click.command()
@click.option("--cases", type=click.IntRange(min=1), default=200, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--kill-every", type=click.IntRange(min=1), default=KILLED, show_default=True,
    help="One of so many cases is a killed command.",
)  # fmt: skip
def main(cases: int, seed: int, kill_every: int) -> None:
    """Generate faulty inputs and random kills, and print how many cases ended in which way."""
    folder = Path(tempfile.mkdtemp(prefix="dogcam-soak-"))
    found, n_kills = soak(folder, cases, seed, kill_every=kill_every)
    for (command, outcome), count in sorted(found.items()):
        click.echo(f"{command:<20} {outcome:<22}{count:>6}")
    bad = sum(count for (_, outcome), count in found.items() if outcome not in GOOD)
    kept = f", kept in {folder}" if bad else ""
    click.echo(f"{cases} cases with {n_kills} kills, seed {seed}: {bad} findings{kept}")
    if not bad:
        shutil.rmtree(folder)
    raise SystemExit(bool(bad))


if __name__ == "__main__":
    main()
