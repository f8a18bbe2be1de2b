"""Run single stages on the small experiment."""

from dataclasses import replace

from dogcam.data.reading import read_split
from dogcam.models.classifier import load_classifier
from report.config import RunConfig
from report.pipeline.context import Context
from report.pipeline.stages import analyse, compare, evaluate, localise, predict, segment
from tests.support.runs import BATCH

SETTINGS = {"split": "test", "tuning_split": "val", "batch_size": BATCH, "n_resamples": 100}
COMPUTING = {module.NAME: module for module in (predict, localise, evaluate, compare, analyse, segment)}


def context_of(data, checkpoint, folder, tuned=True, **settings) -> Context:
    return Context(
        RunConfig(data=str(data), **SETTINGS | settings),
        folder,
        read_split(data, "test"),
        read_split(data, "val") if tuned else None,
        load_classifier("sample_net", checkpoint, "cpu"),
    )


def after(context: Context, *names: str) -> Context:
    """The context after these stages have run one after the other."""
    for name in names:
        workspace = context.folder / "stages" / name
        workspace.mkdir(parents=True, exist_ok=True)
        output = COMPUTING[name].run(replace(context, workspace=workspace))
        context = replace(context, outputs={**context.outputs, name: output})
    return context
