"""Progress of a running search: a live view in a terminal, plain lines in a log."""

import sys
import time
from collections.abc import Sequence

from rich.console import Console, RenderableType
from rich.constrain import Constrain
from rich.live import Live
from rich.text import Text

from harness.journal.journal import Event
from harness.journal.state import TrialRecord, metrics_of
from harness.search.recommendation import explored_hypervolume, front_of
from harness.search.search import Search
from harness.session.live_view import LiveView
from harness.session.time_left import EQUAL, Progressed, TrialWork, progressed
from harness.session.wording import objectives_text, setting_text
from saat.errors import one_line
from saat.metrics import Phase
from saat.wording import counted, duration

_SHOWN_KEYS = 5  # keys of a point that are shown in a line
# Columns that the live view leaves empty: a ^C behind a full last line would wrap and move the view
# by a line, so that a stale line of it stayed.
_ECHO = 2


class _Log(Console):
    """Standard error that falls silent when its reader has ended (a dead ``tee``, say)."""

    def __init__(self) -> None:
        super().__init__(file=sys.stderr)

    def on_broken_pipe(self) -> None:
        """Go on without output; Rich would end the program."""
        self.quiet = True


class Progress:
    """Shows a search: a view that redraws itself in a terminal, a line for each event in a log.

    ``work`` is what a trial of each kind is expected to take.
    """

    def __init__(
        self, search: Search, console: Console | None = None, work: TrialWork = EQUAL
    ) -> None:
        self._search, self._aims, self._work = search, search.experiment.aims, work
        self._console = console or _Log()
        self._started = time.monotonic()
        self._doing: dict[str, str] = {}
        self._front: tuple[int, Sequence[TrialRecord], float] = (-1, [], 0.0)
        self._live = Live(
            get_renderable=self.view,
            console=self._console,
            refresh_per_second=2,
            transient=True,
            vertical_overflow="crop",
        )

    def __enter__(self) -> "Progress":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # What an interrupted search was doing stays to be read. A table follows on one that ended.
        self._live.transient = kind is None
        self._live.stop()

    def status(self, trial_id: str, text: str) -> None:
        """Note what a trial is doing now."""
        self._doing[trial_id] = text

    def handle(self, event: Event) -> None:
        """Print a line on a journal event, unless there is a live view."""
        if not self._console.is_terminal and (line := self._line(event)):
            self._console.print(line, highlight=False, soft_wrap=True, markup=False)

    def _line(self, event: Event) -> str:
        kind = event["event"]
        if kind == "stopped_exploring":
            return f"exploring stops, {event['reason']}"
        if kind == "recommended":
            count = len(event["trial_ids"])
            said = f"{counted(count, 'setting goes', 'settings go')} to confirmation"
            return f"exploring is done; {said if count else 'no setting is recommended'}"
        if kind == "suggested":
            trial = event["trial"]
            return f"{trial['trial_id']} starts ({trial['role']}) {_point(event['point'])}".rstrip()
        if kind == "lost":
            return f"{event['trial_id']} lost its worker: {event['reason']}"
        if kind not in ("epoch", "completed", "failed"):
            return ""
        record, aims = self._search.state.trials.get(event["trial_id"]), self._aims
        name = event["trial_id"]
        if kind == "epoch":
            epochs = record.config.epochs if record else 0
            values = "not validated"
            if found := aims.validation_values(metrics_of(event)):
                values = objectives_text(aims.names, found)
            line = f"{name} epoch {event['epoch']}/{epochs} {values}"
            reason = event.get("stop_reason")
            return f"{line}; stopped: {reason}  [{self._overall()}]" if reason else line
        if kind == "failed":
            return f"{name} failed: {event['stop_reason']}  [{self._overall()}]"
        phase = Phase.REATTACK if Phase.REATTACK.of(event["metrics"]) else Phase.TEST
        values = f"{phase} {objectives_text(aims.names, aims.values(metrics_of(event), phase))}"
        doubts = "".join(f"; UNRELIABLE, {reason}" for reason in event.get("unreliable", []))
        return f"{name} done: {values}{doubts}  [{self._overall()}]"

    def _overall(self) -> str:
        """Progress of the whole search, in words."""
        done = len(self._search.state.ended())
        total = max(done, sum(self._search.planned()))
        left = self._progressed().left
        said = "no estimate yet" if left is None else f"about {duration(left.seconds)} left"
        if left is not None and left.seconds:
            said += f" ({duration(left.low)} to {duration(left.high)})"
        return f"{done} of about {counted(total, 'trial')}, {said}"

    def _progressed(self) -> Progressed:
        search = self._search
        return progressed(search.state, search.planned(), self._work, search.max_concurrent)

    def view(self) -> RenderableType:
        """What the terminal shows now."""
        # Called in a thread of Rich's. An error there would end the search that it only shows.
        try:
            width, height = self._console.width - _ECHO, self._console.height
            return Constrain(self._live_view().render(width, height), width)
        except Exception as error:
            return Text(f"the live view failed: {type(error).__name__}: {one_line(error, 200)}")

    def _live_view(self) -> LiveView:
        state = self._search.state
        completed = len(state.completed)
        if self._front[0] != completed:
            volume = explored_hypervolume(self._aims, state)
            self._front = completed, front_of(self._aims, state), volume
        _, front, volume = self._front
        return LiveView(
            self._search.experiment,
            state,
            front,
            volume,
            sum(self._search.planned()),
            self._progressed(),
            time.monotonic() - self._started,
            self._doing,
        )


def _point(point: dict[str, object]) -> str:
    return setting_text(list(point.items())[:_SHOWN_KEYS])
