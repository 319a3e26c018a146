"""What a terminal shows of a running search, for any width and height."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.experiment.config import Experiment
from harness.experiment.configs import varied_keys
from harness.journal.state import SearchState, TrialRecord
from harness.session.time_left import Progressed, TimeLeft
from harness.session.wording import compact_setting, short_label, value_text
from saat.errors import printable
from saat.metrics import Phase
from saat.wording import counted, duration

_NOW = 16  # columns of what a trial is doing, at least
_FRONT, _ENDED, _REASONS = 5, 4, 3  # lines of each that running trials leave room for
_MEASURED = (Phase.TEST, Phase.REATTACK, Phase.VALIDATION)  # the first that a trial has is shown


@dataclass(frozen=True)
class LiveView:
    """A search at one moment; draws itself within the height of the console.

    The lines of running trials come first: where they do not fit, they lose their settings, and
    stand side by side.
    """

    experiment: Experiment
    state: SearchState
    front: Sequence[TrialRecord]
    hypervolume: float
    planned: int  # trials
    progressed: Progressed
    elapsed: float  # seconds of this session
    doing: Mapping[str, str]  # trial id → what it is doing

    def render(self, width: int, height: int) -> Group:
        """What fits into a terminal of that size."""
        head = [self._title(), self._bar(width), *self._stopped()]
        running, ended = self.state.running(), self.state.ended()
        columns, room = _Columns(self.experiment, self.state, width), height - 1 - len(head)
        table = columns.table(running, self._now, "running")
        if len(running) + 1 > room:
            table = columns.side_by_side(running, room)
        parts: list[RenderableType] = [*head, table]
        if not running and not self.state.finished:
            parts.append(Text("the next trials are starting", "dim"))
            room -= 1
        room -= table.row_count + table.show_header
        reasons = _reasons(ended)[:_REASONS]
        if self.front and room >= 2:
            least = 1 + min(len(ended), _ENDED) + len(reasons)
            shown = self.front[: min(room - 1, max(_FRONT, room - 1 - least))]
            parts += [self._front_heading(len(shown)), columns.table(shown)]
            room -= len(shown) + 1
        if ended and room >= 1:
            parts.append(Text(f"ended: {_counts(ended)}", "bold"))
            parts += [_one_line(f"  {line}") for line in reasons[: room - 1]]
            room -= 1 + len(reasons)
            if room > 0:
                parts.append(columns.table(ended[-room:], lambda record: record.status))
        return Group(*parts)

    def _title(self) -> Text:
        done = len(self.state.ended())
        text = f"{printable(self.experiment.name)}: {self._phase()}, {done} of about "
        text += f"{counted(max(done, self.planned), 'trial')}, {duration(self.elapsed)} so far"
        return _one_line(text, "bold")

    def _phase(self) -> str:
        phases = {record.spec.phase for record in self.state.running()}
        if "train" in phases:
            return "training"
        return "confirming" if self.state.recommended is not None else "exploring"

    def _bar(self, width: int) -> RenderableType:
        share, left = self.progressed
        text = f"{share:4.0%} {left_text(left)}"
        grid = Table.grid(padding=(0, 1), expand=False)
        bar = max(10, width - len(text) - 1)
        grid.add_row(ProgressBar(total=1.0, completed=share, width=bar), Text(text, no_wrap=True))
        return grid

    def _stopped(self) -> list[Text]:
        reason = self.state.stopped_exploring
        return [_one_line(f"exploring stopped, {reason}", "yellow")] if reason else []

    def _now(self, record: TrialRecord) -> str:
        if known := self.doing.get(record.spec.trial_id):
            return printable(known.replace(" epoch ", " "))
        if len(record.epochs) >= record.config.epochs:
            return "attacks"
        return "training" if record.epochs else "starting"

    def _front_heading(self, shown: int) -> Text:
        count = len(self.front)
        settings = counted(count, "setting") + (f", {shown} shown" if shown < count else "")
        return Text(f"front so far: {settings}, hypervolume {self.hypervolume:.4f}", "bold")


def left_text(left: TimeLeft | None) -> str:
    """``0:38:20 left (0:30:10 to 0:51:00)``, with an 80 % interval."""
    if left is None:
        return "estimating the time left"
    if not left.seconds:
        return "all trials have ended"
    spent, low, high = (timedelta(seconds=round(seconds)) for seconds in left)
    return f"{spent} left ({low} to {high})"


def _one_line(text: str, style: str = "") -> Text:
    return Text(printable(text), style, no_wrap=True, overflow="ellipsis")


def _counts(ended: Sequence[TrialRecord]) -> str:
    """``5 completed, 3 stopped``."""
    counts = Counter(record.status for record in ended)
    return ", ".join(f"{count} {status}" for status, count in counts.most_common())


def _reasons(ended: Sequence[TrialRecord]) -> list[str]:
    """Why trials stopped or failed, and how many for each reason; failures first, then many."""
    counts = Counter((r.status, r.stop_reason) for r in ended if r.stop_reason)
    ordered = sorted(counts.items(), key=lambda item: (item[0][0] != "failed", -item[1]))
    return [f"{count} {status}: {reason}" for (status, reason), count in ordered]


class _Columns:
    """The columns of trials: numbers have fixed widths, and the setting has what is left."""

    def __init__(self, experiment: Experiment, state: SearchState, width: int) -> None:
        self._aims = experiment.aims
        self._keys = varied_keys(experiment)
        records = [*state.ended(), *state.running()]
        self._id = max([len("trial"), *(len(_short_id(record)) for record in records)])
        self._epoch = max([len("epoch"), *(len(_epoch(record)) for record in records)])
        self._labels = [short_label(name) for name in self._aims.names]
        self._values = [max(5, len(label)) for label in self._labels]
        self._width = width
        # Of the numbers, with a space before each.
        self._numbers_width = self._epoch + 1 + sum(self._values) + len(self._values)

    def table(
        self,
        records: Sequence[TrialRecord],
        now: Callable[[TrialRecord], str] = lambda _: "",
        heading: str = "",
    ) -> Table:
        """A line for each trial: id, setting, epoch, objectives, and what it is doing.

        A line above names the columns if the first has a ``heading``.
        """
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=bool(heading))
        name = max(self._id, len("running"))
        left = self._width - name - 2 - self._numbers_width
        doing = max(_NOW, min(28, left - 1 - 40))
        widths = [name, max(8, left - doing - 1), self._epoch, *self._values, doing]
        names = (heading, "setting", "epoch", *self._labels, "now")
        for number, (title, size) in enumerate(zip(names, widths, strict=True)):
            is_number = 2 <= number < len(names) - 1
            table.add_column(
                title, width=size, no_wrap=True, justify="right" if is_number else "left",
                style="dim" if number == 1 else None, overflow="ellipsis",
            )  # fmt: skip
        for record in records:
            numbers = self._numbers(record)
            table.add_row(_short_id(record), self._setting(record), *numbers, Text(now(record)))
        return table

    def side_by_side(self, records: Sequence[TrialRecord], room: int) -> Table:
        """Trials without their settings, several a line, in at most ``room`` lines."""
        size = self._id + self._numbers_width
        across = max(1, (self._width + 2) // (size + 2))
        shown = records[: across * (room - 1)]
        table = Table.grid(padding=(0, 2, 0, 0))  # its header is a row like the others
        header = self._cells("trial", "epoch", *self._labels)
        table.add_row(*[Text(header, "bold")] * min(across, len(shown)))
        cells = [Text(self._cells(_short_id(r), *self._numbers(r))) for r in shown]
        for start in range(0, len(cells), across):
            table.add_row(*cells[start : start + across])
        return table

    def _cells(self, name: str, *numbers: str) -> str:
        sizes = (self._epoch, *self._values)
        padded = (f" {text:>{size}}" for text, size in zip(numbers, sizes, strict=True))
        return f"{name:<{self._id}}" + "".join(padded)

    def _numbers(self, record: TrialRecord) -> tuple[str, ...]:
        """The epoch, and the objectives."""
        phase = next((p for p in _MEASURED if p.of(record.metrics)), Phase.VALIDATION)
        values = zip(self._aims.names, self._aims.values(record.metrics, phase), strict=True)
        shown = [value_text(name, value, "-") for name, value in values]
        return (_epoch(record), *shown)

    def _setting(self, record: TrialRecord) -> Text:
        role = record.spec.role
        config = record.config.flat()
        values = compact_setting((key, config[key]) for key in self._keys if key in config)
        named = role not in ("sampled", "recommended", "train")
        return Text(printable(f"{role} {values}" if named else values))


def _epoch(record: TrialRecord) -> str:
    return f"{len(record.epochs)}/{record.config.epochs}"


def _short_id(record: TrialRecord) -> str:
    """The first digits of the setting's hash, and outside of exploring the seed."""
    digest, phase, seed = record.spec.trial_id.split("-")
    return digest[:6] if phase == "explore" else f"{digest[:6]}-{seed}"
