"""Take each defence out, and see that its test fails: `python -m tests.soak.defences`."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

# Loaded here, so that no forked process spends its seconds on imports.
import report.pipeline.runner  # noqa: F401
import tests.support.runs  # noqa: F401

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Defence:
    """A defence against one attack.

    Attributes:
        attack: what it prevents.
        without: Python code that takes it out.
        test: the test that must fail then.
    """

    attack: str
    without: str
    test: str


_READING, _RUNNER = "tests/data/test_safe_reading.py::", "tests/report/pipeline/test_runner.py::"
_ASSETS = "tests/report/render/test_assets.py::"
_CHECKPOINTS = "tests/models/test_checkpoints.py::"
_RECORD = "tests/report/record/test_hostile_record.py::"

DEFENCES = (
    Defence(
        "a stage output lists a foreign file, which is removed",
        "import report.pipeline.runner as m; m._Plan.file = lambda self, name: self.run / name",
        f"{_RUNNER}test_a_file_elsewhere_is_never_removed",
    ),
    Defence(
        "a folder of a run is a link to another folder",
        "import report.pipeline.runner as m; m.path_inside = lambda folder, name: folder / name",
        f"{_RUNNER}test_a_link_out_of_the_folder_is_not_followed",
    ),
    Defence(
        "a stage output of another run, or with a changed digit",
        "import report.pipeline.runner as m; m._Plan.seal = lambda self, content: 'same'",
        f"{_RUNNER}test_the_output_of_another_run_is_noticed",
    ),
    Defence(
        "a name leads out of its folder",
        "import dogcam.files as m; m.path_inside = lambda folder, name: folder / name",
        "tests/test_files.py::test_a_name_that_leads_out_of_its_folder_is_refused",
    ),
    Defence(
        "a picture of the record lies outside of the run",
        "import report.record.files as m; m.path_inside = lambda folder, name: folder / name",
        f"{_ASSETS}test_a_file_outside_of_the_run_is_refused",
    ),
    Defence(
        "a picture was changed after the record was written",
        "import report.record.files as m\nclass Any(str):\n def __ne__(self, other): return False\n"
        "m.sha256_of = lambda content: Any()",
        f"{_ASSETS}test_a_picture_that_changed_after_the_record_is_refused",
    ),
    Defence(
        "a drawing with a script",
        "import report.render.assets as m; m.inline_svg = lambda content, name: m.Markup(content.decode())",
        f"{_ASSETS}test_a_drawing_with_anything_else_is_refused",
    ),
    Defence(
        "a picture that is no WebP",
        "import report.render.assets as m; m.data_uri = lambda content, name: m.Markup('data:')",
        f"{_ASSETS}test_a_picture_of_another_kind_is_refused",
    ),
    Defence(
        "a script that is not the page's own",
        "import report.render.assets as m; m.script_hash = lambda text: \"'unsafe-inline'\"",
        f"{_ASSETS}test_the_hash_of_a_script_is_that_of_the_standard",
    ),
    Defence(
        "an EPS behind the name of a photograph starts a program",
        "import dogcam.data.images as m; m._opened.__wrapped__.__defaults__ = (None,)",
        f"{_READING}test_an_eps_behind_the_name_of_a_photograph_starts_no_program",
    ),
    Defence(
        "code in a checkpoint",
        "import torch; load = torch.load\n"
        "torch.load = lambda *a, **k: load(*a, **{**k, 'weights_only': False})",
        f"{_CHECKPOINTS}test_code_in_a_checkpoint_does_not_run",
    ),
    Defence(
        "a card names a function, which is run",
        "import dogcam.models.card as m; m.is_function = lambda name: False",
        "tests/models/test_payload.py::test_a_function_that_only_a_card_names_is_not_run",
    ),
    Defence(
        "a FIFO, device, socket or folder",
        "import dogcam.files as m; m.stat.S_ISREG = lambda mode: True",
        f"{_READING}test_what_is_no_plain_file_is_refused_by_every_reader",
    ),
    Defence(
        "a FIFO in the place of a record",
        "import dogcam.files as m; m.stat.S_ISREG = lambda mode: True",
        "tests/report/record/test_hostile_record.py::test_what_is_no_plain_file_is_no_record",
    ),
    Defence(
        "a file over the limit",
        "import dogcam.files as m; m.limit_from = lambda variable, default: 10**9",
        f"{_READING}test_a_file_over_the_limit_is_refused_with_both_numbers",
    ),
    Defence(
        "an image of many megapixels",
        "import dogcam.data.images as m; m._check_header = lambda *arguments: None",
        f"{_READING}test_an_image_that_unfolds_is_refused_before_it_is_decoded",
    ),
    Defence(
        "a long list with one id twice",
        "import dogcam.data.reading as m\nclass Slow:\n def __init__(self, ids): self.ids = ids\n"
        " def most_common(self, n): return [max((self.ids.count(each), each) for each in self.ids)[::-1]]\n"
        "m.Counter = Slow",
        f"{_READING}test_a_long_list_is_checked_in_linear_time",
    ),
    Defence(
        "JSON nested deeply",
        "import dogcam.files as m; m._check_depth = lambda document: None",
        f"{_READING}test_deep_json_is_refused",
    ),
    Defence(
        "JSON with NaN or a key twice",
        "import dogcam.files as m; m._no_constant = float; m._unrepeated = dict",
        f"{_READING}test_json_that_is_none_is_refused",
    ),
    Defence(
        "XML nested deeply",
        "import dogcam.data.formats.voc as m; m.MAX_DEPTH = 10**9",
        f"{_READING}test_a_valid_annotation_beyond_a_limit_is_refused",
    ),
    Defence(
        "XML with entities",
        "import dogcam.data.formats.voc as m; from xml.etree.ElementTree import XMLParser\n"
        "m.DefusedXMLParser = lambda target, forbid_dtd: XMLParser(target=target)",
        f"{_READING}test_xml_with_entities_is_refused",
    ),
    Defence(
        "XML of many megabytes",
        "import dogcam.data.formats.voc as m; m.MAX_BYTES = 10**9",
        f"{_READING}test_a_valid_annotation_beyond_a_limit_is_refused",
    ),
    Defence(
        "YAML whose references unfold",
        "import dogcam.data.formats.yolo as m; del m._Loader.compose_node",
        f"{_READING}test_references_in_yaml_are_refused",
    ),
    Defence(
        "links in the places of temporary files",
        "from pathlib import Path\nPath.touch = lambda self, exist_ok: None\nunlink = Path.unlink\n"
        "Path.unlink = lambda self, missing_ok=False: self.is_symlink() or unlink(self, missing_ok)",
        "tests/test_files.py::test_a_link_in_the_place_of_the_temporary_file_is_not_written_through",
    ),
    Defence(
        "a link below the stages, behind which files are removed",
        "import report.pipeline.folder as m; walk = m.os.walk\n"
        "m.os.walk = lambda top: walk(top, followlinks=True)",
        "tests/report/pipeline/test_folder.py::test_temporary_files_behind_a_link_are_not_removed",
    ),
    Defence(
        "a record that was changed by hand",
        "import report.record.io as m; m.seal_of = lambda document: document.get('seal')",
        "tests/report/render/test_check.py::test_a_number_that_was_changed_by_hand_is_refused",
    ),
    Defence(
        "a title of megabytes",
        "from report.record.data import ClassCount as m; m.model_config['str_max_length'] = None\n"
        "m.model_rebuild(force=True)",
        f"{_RECORD}test_a_text_of_megabytes_is_refused",
    ),
    Defence(
        "a number with very many digits",
        "from report.record import ClaimPart as m; from typing import Any\n"
        "m.model_fields['digits'].metadata = []; m.model_rebuild(force=True)",
        f"{_RECORD}test_digits_that_would_fill_the_memory_are_refused",
    ),
    Defence(
        "an image file over the limit",
        "import dogcam.data.images as m; m.require_size = lambda *arguments: None",
        f"{_READING}test_an_image_file_over_the_limit_is_refused",
    ),
    Defence(
        "a PNG of very many chunks",
        "import dogcam.data.images as m; m._require_few_chunks = lambda file: None",
        f"{_READING}test_a_png_of_very_many_chunks_is_refused",
    ),
    Defence(
        "an animation of very many frames",
        "from PIL.GifImagePlugin import GifImageFile as m\n"
        "m.is_animated = property(lambda image: image.n_frames > 1)",
        f"{_READING}test_the_frames_of_an_animation_are_not_counted",
    ),
    Defence(
        "a checkpoint that unfolds",
        "import dogcam.models.torch_files as m; m.unfolds = lambda path: False",
        f"{_CHECKPOINTS}test_a_compressed_checkpoint_is_refused",
    ),
    Defence(
        "a tensor of any size without its values",
        "import dogcam.models.checkpoints as m; m._require_stored = lambda *arguments: None",
        f"{_CHECKPOINTS}test_a_tensor_that_is_not_stored_value_by_value_is_refused",
    ),
    Defence(
        "a card in weights that was changed",
        "import dogcam.models.checkpoints as m; m.sha256_of_values = lambda card: 'same'",
        f"{_CHECKPOINTS}test_a_card_that_was_changed_is_refused",
    ),
    Defence(
        "the name of a class ends an attribute in the Markdown version",
        "import html, report.render.formats as m\n"
        "m._entities = lambda words: html.escape(words, quote=False)",
        "tests/report/render/test_render.py::test_hostile_words_in_the_twin_are_words",
    ),
    Defence(
        "arrays of a stage that unfold",
        "import report.pipeline.shared.predictions as m; m.unfolds = lambda content: False",
        "tests/report/pipeline/test_sealed.py::test_a_compressed_batch_is_not_used",
    ),
)


def fails_without(defence: Defence) -> bool:
    """Return whether the test of a defence fails if the defence is taken out, in a process of its own."""
    child = os.fork()
    if child == 0:
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        exec(defence.without, {})
        os._exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", "-m", "", defence.test]))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == pytest.ExitCode.TESTS_FAILED


@click.command()
def main() -> None:
    """Take out each defence in turn, and print whether its test fails."""
    os.chdir(REPOSITORY)
    kept = [each for each in DEFENCES if not _shown(each)]
    click.echo(f"{len(DEFENCES)} defences, {len(kept)} without a test that fails")
    sys.exit(bool(kept))


def _shown(defence: Defence) -> bool:
    failed = fails_without(defence)
    click.echo(f"{'fails' if failed else 'PASSES':<8}{defence.attack}")
    return failed


if __name__ == "__main__":
    main()
