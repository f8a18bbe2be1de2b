"""The command `dogcam convert`: a checkpoint in one form in, the same weights in another form out."""

from dataclasses import replace
from pathlib import Path

import click

from dogcam.cli.common import names_in
from dogcam.errors import ModelError
from dogcam.models.card import card_of, network_of, read_card, with_published_card
from dogcam.models.checkpoints import (
    Checkpoint,
    export_checkpoint,
    load_checkpoint,
    save_checkpoint,
    weights_sha256,
)
from dogcam.models.preprocessing import Preprocessing
from dogcam.models.registry import find_architecture

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("convert")
@click.argument("source", type=_FILE)
@click.argument("target", type=_FILE)
@click.option("--model", metavar="NAME", help="The network of a SOURCE that does not say it.")
@click.option(
    "--classes", metavar="NAME,NAME,...", help="Its outputs, in their order, where SOURCE does not say them."
)
@click.option("--input-size", type=click.IntRange(min=16), help="Pixels a side.  [default: the network's]")
def command(
    source: Path, target: Path, model: str | None, classes: str | None, input_size: int | None
) -> None:
    """Write the checkpoint SOURCE as TARGET.

    A TARGET that ends in .safetensors gets the weights with their card, another (.pt, .pth.tar) the form of
    the published checkpoints, which `torch.load(TARGET)["model_sdict"]` reads. A published SOURCE is given
    the card that it lacks, with its classes in their order. A bare state, as torch.save writes it, says
    nothing of its classes: name them with --model and --classes. Nothing is written unless the network that
    the card names takes the weights.
    """
    loaded = load_checkpoint(source)
    if model or classes or input_size:
        loaded = _with_card(loaded, source, model, classes, input_size)
    else:
        loaded = with_published_card(loaded, source)
    card = read_card(None, loaded, source)
    network_of(card, loaded, source)
    if target.suffix == ".safetensors":
        save_checkpoint(target, loaded.state, loaded.meta)
    else:
        export_checkpoint(target, loaded.state, loaded.meta)
    click.echo(
        f"{target}: {len(loaded.state)} tensors, {len(card.classes)} classes ({', '.join(card.classes)}), "
        f"weights {weights_sha256(loaded.state)[:16]}"
    )


def _with_card(
    loaded: Checkpoint, path: Path, model: str | None, classes: str | None, input_size: int | None
) -> Checkpoint:
    """Return a bare state with the card that the options make."""
    own = loaded.meta.get("classes")
    listed = own if isinstance(own, list) else []
    named = ", ".join(map(str, listed))
    if named and ("architecture" in loaded.meta or classes):
        needless = "--model, --classes and --input-size" if "architecture" in loaded.meta else "--classes"
        raise ModelError(f"{path} names its classes ({named}); leave {needless} out")
    names = tuple(listed) if named else names_in(classes or "")
    if not model or not names or len(set(names)) != len(names):
        raise ModelError(
            f"{path} does not name its network{'' if named else ' and classes'}: give --model NAME"
            f"{'' if named else ' and --classes NAME,NAME,... with each output once, in their order'}"
        )
    architecture = find_architecture(model)
    size = (input_size or architecture.input_size,) * 2
    card = card_of(architecture.name, names, Preprocessing(size, architecture.mean, architecture.std))
    said = {} if named else {"classes_from": "whoever converted the file; the file itself did not name them"}
    return replace(loaded, meta=loaded.meta | card | said)
