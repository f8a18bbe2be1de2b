"""The command `dogcam convert`: a checkpoint in one form in, the same weights in another form out."""

from pathlib import Path

import click

from dogcam.cli.common import names_in
from dogcam.cli.options import ACTIVATION, CLASSES, MODEL
from dogcam.models.card import network_of, read_card, with_given_card, with_published_card
from dogcam.models.checkpoints import (
    export_checkpoint,
    fitted_to,
    load_checkpoint,
    save_checkpoint,
    weights_sha256,
)
from dogcam.network.activation import Activation

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("convert")
@click.argument("source", type=_FILE)
@click.argument("target", type=_FILE)
@MODEL
@CLASSES
@ACTIVATION
@click.option(
    "--input-size",
    type=click.IntRange(min=16),
    help="Height and width of the input.  [default: the network's]",
)
def command(
    source: Path,
    target: Path,
    model: str | None,
    classes: str | None,
    activation: Activation | None,
    input_size: int | None,
) -> None:
    """Write the checkpoint SOURCE as TARGET.

    A TARGET that ends in .safetensors contains the weights and their card; another (.pt, .pth.tar) has the
    form of the published checkpoints: `torch.load(TARGET)["model_sdict"]`. A published SOURCE is given the
    card that it lacks. A checkpoint without a card needs --model, --classes and --activation. Nothing is
    written unless the network of the card accepts the weights.
    """
    loaded = load_checkpoint(source)
    if model or classes or activation or input_size:
        names = names_in(classes) if classes else None
        loaded = with_given_card(loaded, source, model, names, activation, input_size)
    else:
        loaded = with_published_card(loaded, source)
    card = read_card(model, loaded, source)
    loaded = fitted_to(network_of(card, loaded, source), loaded, source)
    if target.suffix == ".safetensors":
        save_checkpoint(target, loaded.state, loaded.meta)
    else:
        export_checkpoint(target, loaded.state, loaded.meta)
    click.echo(
        f"{target}: {len(loaded.state)} tensors, {len(card.classes)} classes ({', '.join(card.classes)}), "
        f"weights {weights_sha256(loaded.state)[:16]}"
    )
