"""The command `dogcam convert`: a checkpoint in one form in, the same weights in another form out."""

from pathlib import Path

import click

from dogcam.checkpoints import export_checkpoint, load_checkpoint, save_checkpoint, weights_sha256
from dogcam.classifier import with_published_card

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("convert")
@click.argument("source", type=_FILE)
@click.argument("target", type=_FILE)
def command(source: Path, target: Path) -> None:
    """Write the checkpoint SOURCE as TARGET.

    A TARGET that ends in .safetensors gets the weights with their card, another (.pt, .pth.tar) the form of
    the published checkpoints, which `torch.load(TARGET)["model_sdict"]` reads. A published SOURCE is given
    the card that it lacks, with its classes in their order.
    """
    loaded = with_published_card(load_checkpoint(source), source)
    if target.suffix == ".safetensors":
        save_checkpoint(target, loaded.state, loaded.meta)
    else:
        export_checkpoint(target, loaded.state, loaded.meta)
    click.echo(
        f"{target}: {len(loaded.state)} tensors, {len(loaded.meta['classes'])} classes "
        f"({', '.join(loaded.meta['classes'])}), weights {weights_sha256(loaded.state)[:16]}"
    )
