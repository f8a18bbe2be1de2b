"""Start the command `dogcam-report`."""

from dogcam.__main__ import start


def main() -> None:
    """Run `dogcam-report`."""
    start("report.cli")


if __name__ == "__main__":
    main()
