"""Progress of a running search: a live view in a terminal, plain lines in a log."""

import sys
import time
from datetime import timedelta

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.journal.journal import Event
from harness.journal.state import TrialRecord, metrics_of
from harness.search.search import Search
from harness.session.status import objectives_text, setting_text, short_label, value_text
from saat.metrics import Phase
from saat.wording import counted

_SHOWN_ENDED = 6  # latest ended trials in the live view
_SHOWN_KEYS = 5  # keys of a point that are shown


class _Log(Console):
    """Standard error that falls silent when its reader has ended (a dead ``tee``, say)."""

    def __init__(self) -> None:
        super().__init__(file=sys.stderr)

    def on_broken_pipe(self) -> None:
        """Go on without output; Rich would end the program."""
        self.quiet = True


class Progress:
    """Shows a search: a view that redraws itself in a terminal, a line for each event in a log."""

    def __init__(self, search: Search, console: Console | None = None) -> None:
        self._search, self._aims = search, search.experiment.aims
        self._console = console or _Log()
        self._started = time.monotonic()
        self._doing: dict[str, str] = {}
        self._ended_before = len(search.state.trials) - len(search.state.running())
        self._live = Live(
            get_renderable=self._view, console=self._console, refresh_per_second=2, transient=True
        )

    def __enter__(self) -> "Progress":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
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
                values = objectives_text(aims, found)
            line = f"{name} epoch {event['epoch']}/{epochs} {values}"
            reason = event.get("stop_reason")
            return f"{line}; stopped: {reason}  [{self._overall()}]" if reason else line
        if kind == "failed":
            return f"{name} failed: {event['stop_reason']}  [{self._overall()}]"
        phase = Phase.REATTACK if Phase.REATTACK.of(event["metrics"]) else Phase.TEST
        values = f"{phase} {objectives_text(aims, aims.values(metrics_of(event), phase))}"
        doubts = "".join(f"; UNRELIABLE, {reason}" for reason in event.get("unreliable", []))
        return f"{name} done: {values}{doubts}  [{self._overall()}]"

    def _overall(self) -> str:
        """Progress of the whole search."""
        state = self._search.state
        done = len(state.trials) - len(state.running())
        total = max(done, self._search.planned_trials())
        left = "no estimate yet"
        if ended_here := done - self._ended_before:
            seconds = (time.monotonic() - self._started) / ended_here * (total - done)
            left = f"about {timedelta(seconds=round(seconds))} left"
        return f"{done} of about {counted(total, 'trial')}, {left}"

    def _view(self) -> Group:
        state = self._search.state
        table = Table(box=None, pad_edge=False, expand=False)
        objectives = map(short_label, self._aims.names)
        for column in ("trial", "role", "setting", "epoch", *objectives, "now"):
            table.add_column(column, no_wrap=True, style="dim" if column == "setting" else None)
        for record in [*state.ended()[-_SHOWN_ENDED:], *state.running()]:
            table.add_row(*self._row(record))
        elapsed = timedelta(seconds=round(time.monotonic() - self._started))
        text = f"{self._search.experiment.name}: {self._overall()}, {elapsed} so far"
        if state.stopped_exploring:
            text += f"; exploring stopped, {state.stopped_exploring}"
        return Group(Text(text, "bold"), table)

    def _row(self, record: TrialRecord) -> tuple[str, ...]:
        metrics, spec = record.metrics, record.spec
        phases = (Phase.TEST, Phase.REATTACK)
        phase = next((p for p in phases if p.of(metrics)), Phase.VALIDATION)
        values = zip(self._aims.names, self._aims.values(metrics, phase), strict=True)
        shown = [value_text(name, value, "") for name, value in values]
        running = record.status == "running"
        now = self._doing.get(spec.trial_id, "running") if running else record.status
        epochs = f"{len(record.epochs)}/{spec.config.epochs}"
        return (spec.trial_id, spec.role, _point(record.point), epochs, *shown, now)


def _point(point: dict[str, object]) -> str:
    shown = list(point.items())[:_SHOWN_KEYS]
    return setting_text((key.partition(".")[2], value) for key, value in shown)
