"""Start a command; Ctrl-C during its imports ends without a traceback, too."""

import sys


def start(module: str) -> None:
    """Import the module of a command and run its `main`.

    Args:
        module: the module's dotted name.
    """
    try:
        # Not at the top of the module: Ctrl-C during this import is caught, too.
        from importlib import import_module

        from dogcam.data.allocator import keep_freed_memory

        command = import_module(module).main
        keep_freed_memory()
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        raise SystemExit(130) from None
    command()


def main() -> None:
    """Run `dogcam`."""
    start("dogcam.cli.main")


if __name__ == "__main__":
    main()
