"""Where templates come from: the program's own, and a user's folder that replaces some and adds sections."""

import difflib
import tomllib
from dataclasses import dataclass
from pathlib import Path

import jinja2

from dogcam.errors import ConfigError

ALLOWED_NAME = "allowed.toml"
SECTIONS, SECTION_ENDING = "sections", ".md.j2"

_TOO_NEAR = 0.8
"""From which likeness on the name of a new section is taken for a misspelling of another's."""


def templates_folder() -> Path:
    """Return the folder of the templates: inside an installed package, next to it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "templates"
    return installed if installed.is_dir() else package.parent / "templates"


@dataclass(frozen=True)
class Allowed:
    """A phrase that templates may write although it holds a number or compares, and why.

    Attributes:
        text: the phrase, letter by letter.
        reason: why it states no result.
        file: the one template that may write it; None for any.
        source: the file that allows it.
    """

    text: str
    reason: str
    file: str | None
    source: Path


@dataclass(frozen=True)
class Templates:
    """Templates by name, such as `sections/10-answer.md.j2`.

    Attributes:
        folders: in the order in which they are searched.
    """

    folders: tuple[Path, ...]

    def path(self, name: str) -> Path:
        """Return the file of a template.

        Raises:
            ConfigError: if no folder has it.
        """
        for folder in self.folders:
            if (folder / name).is_file():
                return folder / name
        raise ConfigError(f"there is no template {name!r} in {' or '.join(map(str, self.folders))}")

    def text(self, name: str) -> str:
        """Return what a template's file holds."""
        return _read(self.path(name))

    def names(self) -> list[str]:
        """Return the names of all files, each once."""
        return sorted({name for folder in self.folders for name in _files(folder)})

    def sections(self) -> list[str]:
        """Return the names of the sections in the order of the report, that of their file names."""
        return [name for name in self.names() if name.startswith(f"{SECTIONS}/")]

    def allowed(self) -> list[Allowed]:
        """Return what every folder's `allowed.toml` allows."""
        return [entry for folder in self.folders for entry in allowed_in(folder)]

    def loader(self) -> jinja2.BaseLoader:
        """Return what gives jinja the templates."""
        return jinja2.FileSystemLoader(self.folders)


def open_templates(own: Path | None = None) -> Templates:
    """Return the program's templates, overlaid with those of a user's folder if one is named.

    Raises:
        ConfigError: if the folder holds no template, or a file that would replace nothing.
    """
    shipped = templates_folder()
    if own is None:
        return Templates((shipped,))
    names = _files(own)
    if not names:
        raise ConfigError(f"{own} holds no template; docs/templates.md lists the names")
    known = _files(shipped)
    for name in names:
        _require_place(own / name, name, known)
    return Templates((own, shipped))


def allowed_in(folder: Path) -> list[Allowed]:
    """Read the phrases that a folder's `allowed.toml` allows; none where there is no such file.

    Raises:
        ConfigError: if an entry has no phrase, no reason, or a key that means nothing.
    """
    path = folder / ALLOWED_NAME
    if not path.is_file():
        return []
    try:
        entries = tomllib.loads(_read(path)).get("phrase", [])
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}; correct the file") from error
    for entry in entries:
        if not {"text", "reason"} <= entry.keys() <= {"text", "reason", "file"} or not all(entry.values()):
            raise ConfigError(
                f"{path}: {entry} is not an entry; expected [[phrase]] with `text`, `reason` and, where one "
                "template alone may write it, `file`"
            )
    return [Allowed(entry["text"], entry["reason"], entry.get("file"), path) for entry in entries]


def _files(folder: Path) -> list[str]:
    """Return the files of a folder by their names within it, without those that editors leave."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    names = (path.relative_to(folder) for path in paths)
    return sorted(
        name.as_posix()
        for name in names
        if not any(part.startswith(".") for part in name.parts) and not name.name.endswith("~")
    )


def _require_place(path: Path, name: str, known: list[str]) -> None:
    """Refuse a file that neither replaces one of the program's nor is a new section."""
    if name in known or name == ALLOWED_NAME:
        return
    folder, _, last = name.rpartition("/")
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if folder != SECTIONS or not last.endswith(SECTION_ENDING):
        raise ConfigError(
            f"{path} replaces no template and is no section (sections/NAME{SECTION_ENDING}); "
            f"near it are {', '.join(near) or ', '.join(known)}"
        )
    alike = difflib.get_close_matches(_word(name), [_word(each) for each in known], 1, _TOO_NEAR)
    if alike:
        meant = next(each for each in known if _word(each) == alike[0])
        raise ConfigError(
            f"{path} is not a section of the program; it is similar to {meant}; use that name to replace "
            "it, or a less similar name to add a section"
        )


def _word(name: str) -> str:
    """Return a section's name without its folder, its place and its ending."""
    return name.removeprefix(f"{SECTIONS}/").removesuffix(SECTION_ENDING).lstrip("0123456789-")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read as text: {error}; save it as UTF-8, or correct its permissions"
        ) from error
