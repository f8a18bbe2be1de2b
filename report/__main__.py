"""Start the command `dogcam-report`."""

from dogcam.cli.start import start


def main() -> None:
    """Run `dogcam-report`."""
    start("report.cli")


if __name__ == "__main__":
    main()
