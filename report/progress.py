"""Progress of a run: that of its steps, and a line for each stage that ended."""

from dogcam.cli.progress import StepProgress
from report.record import StageRun


class ConsoleProgress(StepProgress):
    """A progress bar for each step of a stage, and a line for each stage that ended."""

    def stage_began(self, title: str) -> None:
        """Begin a stage."""
        self.begin(title)

    def stage_ended(self, run: StageRun) -> None:
        """Print the line of a stage: its status, the reason, and its time."""
        self.say(f"{run.name:<12} {run.status:<7} {run.seconds:6.1f} s  {run.reason}")
