"""Run the soak: `python -m tests.soak --cases 200 --seed 0`."""

import shutil
import tempfile
from collections import Counter
from pathlib import Path
from random import Random

import click
import torch

# Loaded here, so that no forked case spends its seconds on imports.
import report.pipeline.experiment  # noqa: F401
from tests.soak.cases import GOOD, INPUTS, Material, faulty, killed, prepare

KILLS_IN = 10
"""One of so many cases is a kill."""


def soak(folder: Path, cases: int, seed: int, material: Material | None = None) -> Counter[tuple[str, str]]:
    """Run generated cases; print every finding.

    Args:
        folder: where cases are made; each is removed when it ended well.
        cases: their number.
        seed: of the generator; the same seed gives the same cases.
        material: the inputs; they are made if None.

    Returns:
        How many cases of each (command, outcome) there were.
    """
    material = material or prepare(folder / "material")
    found: Counter[tuple[str, str]] = Counter()
    for number in range(cases):
        random = Random(f"{seed}/{number}")
        case = folder / f"case-{number:05d}"
        if number % KILLS_IN == KILLS_IN - 1:
            command, judge = random.choice(("run", "train")), killed
        else:
            command, judge = random.choice(list(INPUTS)), faulty
        outcome, what, output = judge(material, case, command, random)
        found[command, outcome] += 1
        if outcome in GOOD:
            shutil.rmtree(case)
        else:
            click.echo(f"case {number}: {outcome}: {what}\n{output[-1500:]}", err=True)
    return found


@click.command()
@click.option("--cases", type=click.IntRange(min=1), default=200, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
def main(cases: int, seed: int) -> None:
    """Generate faulty inputs and random kills, and print how many cases ended in which way."""
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp(prefix="dogcam-soak-"))
    found = soak(folder, cases, seed)
    for (command, outcome), count in sorted(found.items()):
        click.echo(f"{command:<16}{outcome:<22}{count:>6}")
    bad = sum(count for (_, outcome), count in found.items() if outcome not in GOOD)
    click.echo(f"{cases} cases, seed {seed}: {bad} findings" + (f", kept in {folder}" if bad else ""))
    if not bad:
        shutil.rmtree(folder)
    raise SystemExit(bool(bad))


if __name__ == "__main__":
    main()
