"""Commands that measure refuse a photograph that changes while they read it."""

import shutil

import pytest
from click.testing import CliRunner

from dogcam.cli.main import main
from dogcam.cli.options import ClassifierOptions

COMMANDS = {
    "evaluate": ("--json", "{out}", "--resamples", "100"),
    "tune": ("--preset", "fast", "--trials", "1", "--folds", "2", "--json", "{out}"),
    "compare-classifiers": ("--other-model", "sample_net", "--resamples", "100"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("changes", [True, False])
@pytest.mark.slow
def test_a_photograph_that_changes_ends_the_command(small_data, tmp_path, monkeypatch, command, changes):
    """Also if its content is put back: what was computed may be of either content."""
    data, out = tmp_path / "data", tmp_path / "out.json"
    shutil.copytree(small_data, data)
    photograph = data / "JPEGImages" / "val00003.jpg"
    load = ClassifierOptions.load

    def load_meanwhile(*given):
        if changes:
            content = photograph.read_bytes()
            photograph.write_bytes(b"another")
            photograph.write_bytes(content)
        return load(*given)

    monkeypatch.setattr(ClassifierOptions, "load", load_meanwhile)
    (data / "ImageSets" / "Main" / "train.txt").write_text("val00000\nval00001\nval00002\nval00003\n")
    words = ["--data", data, "--split", "train", "--model", "sample_net", "--device", "cpu"]
    words += [each.format(out=out) for each in COMMANDS[command]]
    result = CliRunner().invoke(main, [command, *map(str, words)])
    if changes:
        assert result.exit_code == 1 and photograph.name in result.stderr and not out.exists(), result.output
    else:
        assert result.exit_code == 0, result.output
