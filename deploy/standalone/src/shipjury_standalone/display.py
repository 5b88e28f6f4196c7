"""What a person sees while the standalone starts and judges: steps, a bar, and where to look."""

import sys
import time
from contextlib import AbstractContextManager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.status import Status


class Display:
    """Steps and progress: alive in a terminal, one line each elsewhere."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(file=sys.stderr, highlight=False, soft_wrap=True)
        self._began = time.monotonic()
        self._bar: Progress | None = None

    def step(self, what: str, expected: str = "") -> "Step":
        """A step of the start: ``with display.step("Migrating", "2 s"): ...``."""
        return Step(self, what, expected)

    def say(self, sentence: str) -> None:
        """A sentence of its own."""
        self.console.print(sentence, markup=False)

    def warn(self, sentence: str) -> None:
        """A sentence that something is wrong, and what happens about it."""
        self.console.print(sentence, style="yellow", markup=False)

    def judged(self, done: int, of: int, remaining_seconds: float | None) -> None:
        """How far the panel is. A bar in a terminal; a line at every fifth verdict elsewhere."""
        left = f"about {_duration(remaining_seconds)} left" if remaining_seconds and done < of else ""
        if self.console.is_terminal:
            if self._bar is None:
                self._bar = Progress(
                    TextColumn("The panel judges"),
                    BarColumn(),
                    MofNCompleteColumn(),
                    TimeElapsedColumn(),
                    TextColumn("{task.fields[left]}"),
                    console=self.console,
                )
                self._bar.start()
                self._bar.add_task("judged", total=of, left=left)
            self._bar.update(self._bar.task_ids[0], completed=done, total=of, left=left)
            if done >= of:
                self.close()
        elif done % 5 == 0 or done >= of or done == 1:
            self.say(
                f"The panel has judged {done} of {of} tools ({self.seconds:.0f} s after the start). {left}".rstrip()
            )

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class Step(AbstractContextManager["Step"]):
    """One step; says how long it took, so that a slow machine can see where the time goes."""

    def __init__(self, display: Display, what: str, expected: str) -> None:
        self._display, self._what, self._expected = display, what, expected
        self._status: Status | None = None

    def __enter__(self) -> "Step":
        self._began = time.monotonic()
        if self._display.console.is_terminal:
            about = f" (about {self._expected})" if self._expected else ""
            self._status = self._display.console.status(f"{self._what}{about}")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()
        if kind is None:
            self._display.console.print(f"  {self._what}: {time.monotonic() - self._began:.1f} s", style="dim")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
