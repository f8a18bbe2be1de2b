"""Add pages to the site: README, CONTRIBUTING, CHANGELOG, and the reference of the API and of the commands.

The reference has a page for each package, so that no list of modules has to be maintained here.
"""

import re
from pathlib import Path

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Files of the top folder, with their names on the site."""

COMMANDS = {"dogcam": "dogcam.cli.main", "dogcam-report": "report.cli"}
"""The console scripts, with the modules whose `main` they run."""

SHARED = re.compile(r"^( *)(\w+(?:, \w+)+): (.*(?:\n\1 +.*)*)", re.MULTILINE)
"""A description that several arguments or attributes share: `height, width: the size in pixels`."""

LINK = re.compile(r"\]\((?!\w+:|#)([^)#]+)(#[^)]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Replace a folder in the navigation, written `name/`, by its pages in order."""
    reference = ["reference/commands.md", *(f"reference/{name}.md" for name in packages())]
    howto = sorted(path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs/howto").glob("*.md"))
    folders = {"reference/": reference, "howto/": howto}
    config.nav = [
        {
            title: folders.get(pages, pages) if isinstance(pages, str) else pages
            for title, pages in item.items()
        }
        if isinstance(item, dict)
        else item
        for item in config.nav or []
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for source, name in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=LINK.sub(_on_site, text)))
    files.append(File.generated(config, "reference/commands.md", content=_commands()))
    for package, is_leaf in packages().items():
        options = "" if is_leaf else "\n    options: {show_submodules: false}"
        files.append(
            File.generated(
                config, f"reference/{package}.md", content=f"# {package}\n\n::: {package}{options}\n"
            )
        )
    return files


class SharedDescriptions(griffe.Extension):
    """Give each of several names that share a description a line of its own, and show examples as code."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Rewrite the docstring before it is parsed."""
        if obj.docstring is not None:
            # The name of the section that shows its lines as code.
            text = re.sub(r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE)
            obj.docstring.value = SHARED.sub(
                lambda found: "\n".join(f"{found[1]}{name}: {found[3]}" for name in found[2].split(", ")),
                text,
            )


def packages() -> dict[str, bool]:
    """Return the packages, sorted, and whether all modules below a package belong to its page."""
    found = {}
    for top in ("dogcam", "report"):
        found[top] = False
        for folder in sorted((ROOT / top).iterdir()):
            if (folder / "__init__.py").is_file():
                found[f"{top}.{folder.name}"] = True
    return found


def _on_site(link: re.Match[str]) -> str:
    """Return a Markdown link of the top folder as a link between pages of the site."""
    target = PAGES.get(link[1], link[1].removeprefix("docs/"))
    return f"]({target}{link[2] or ''})"


def _commands() -> str:
    """Return the page of all commands, from their click objects."""
    parts = ["# Commands"]
    for name, module in COMMANDS.items():
        parts.append(
            f"::: mkdocs-click\n    :module: {module}\n    :command: main\n    :prog_name: {name}\n"
            "    :depth: 1\n    :style: plain\n"
        )
    return "\n\n".join(parts)
