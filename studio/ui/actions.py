"""Every command of the window, once: menus, palette, shortcut editor and help are drawn from this table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QAction, QIcon, QKeySequence

from studio.errors import ConflictError
from studio.ui.action import Action, Page
from studio.ui.actions_play import PLAY_ACTIONS

__all__ = ("ACTIONS", "MENUS", "Action", "Actions", "Page", "by_id", "shown_key")
MENUS = ("File", "Edit", "View", "Label", "Inspect", "Train", "Play", "Evaluate", "Data", "Help")

ACTIONS: tuple[Action, ...] = (
    Action("open_workspace", "&Open workspace…", ("Ctrl+O",), "folder", menu="File"),
    Action("new_workspace", "&New workspace…", ("Ctrl+Shift+N",), "plus", menu="File"),
    Action("import", "&Import traces…", ("Ctrl+I",), "import", menu="File"),
    Action("export", "&Export…", ("Ctrl+E",), "export", menu="File"),
    Action("preferences", "&Preferences…", ("Ctrl+,",), "sliders", menu="File"),
    Action("quit", "&Quit", ("Ctrl+Q",), menu="File"),
    Action("undo", "&Undo", ("Ctrl+Z",), "undo", Page.LABEL, "Edit", "Take back your last rating, submit or comment"),
    Action("redo", "&Redo", ("Ctrl+Shift+Z", "Ctrl+Y"), "redo", Page.LABEL, "Edit", "Do again what you took back"),
    Action(
        "find", "&Find everywhere…", ("Ctrl+K",), "search", menu="Edit", tip="Words of problems, steps and comments"
    ),
    Action("palette", "&All commands…", ("Ctrl+Shift+P",), "command", menu="View"),
    Action("page_label", "&Label", ("Ctrl+1",), "label", menu="View", tip="Rate steps"),
    Action("page_inspect", "&Inspect", ("Ctrl+2",), "inspect", menu="View", tip="Read traces and their scores"),
    Action("page_train", "&Train", ("Ctrl+3",), "train", menu="View", tip="Train a PRM, score traces, watch runs"),
    Action("page_play", "&Play", ("Ctrl+6",), "play_page", menu="View", tip="Ask a policy and watch it think"),
    Action("page_evaluate", "&Evaluate", ("Ctrl+5",), "evaluate", menu="View", tip="Models, routing, monitors, review"),
    Action("page_data", "&Data", ("Ctrl+4",), "data", menu="View", tip="Import, export, projects"),
    Action("theme_system", "Theme: as the &system", menu="View", checkable=True),
    Action("theme_light", "Theme: &light", menu="View", checkable=True),
    Action("theme_dark", "Theme: &dark", menu="View", checkable=True),
    Action("theme_contrast", "Theme: &high contrast", menu="View", checkable=True),
    Action("larger", "&Larger text", ("Ctrl++", "Ctrl+="), menu="View"),
    Action("smaller", "&Smaller text", ("Ctrl+-",), menu="View"),
    Action("normal_size", "&Normal text size", ("Ctrl+0",), menu="View"),
    Action("full_screen", "&Full screen", ("F11",), menu="View", checkable=True),
    Action(
        "rate_negative",
        "Rate &negative",
        ("1", "A"),
        "negative",
        Page.LABEL,
        "Label",
        "Wrong, unverifiable or off the path",
        physical=True,
    ),
    Action(
        "rate_neutral",
        "Rate n&eutral",
        ("2", "S"),
        "neutral",
        Page.LABEL,
        "Label",
        "Correct, but adds nothing",
        physical=True,
    ),
    Action(
        "rate_positive",
        "Rate &positive",
        ("3", "D"),
        "positive",
        Page.LABEL,
        "Label",
        "Correct, verifiable, and moves forward",
        physical=True,
    ),
    Action("unrate", "&Clear rating", ("Backspace",), "clear", Page.LABEL, "Label", physical=True),
    Action(
        "unsure",
        "&Unsure",
        ("U",),
        "unsure",
        Page.LABEL,
        "Label",
        "Your doubt goes with the rating",
        physical=True,
    ),
    Action("step_up", "Step &up", ("Up", "K"), page=Page.LABEL, menu="Label", physical=True),
    Action("step_down", "Step &down", ("Down", "J"), page=Page.LABEL, menu="Label", physical=True),
    Action(
        "submit",
        "&Submit",
        ("Return", "Enter"),
        "submit",
        Page.LABEL,
        "Label",
        "At the first negative step, or when all are rated",
        physical=True,
    ),
    Action(
        "give_up", "&Give up…", ("G",), "give_up", Page.LABEL, "Label", "You cannot judge this trace", physical=True
    ),
    Action(
        "bad_problem",
        "&Bad problem…",
        ("B",),
        "bad_problem",
        Page.LABEL,
        "Label",
        "The problem cannot be answered as it stands",
        physical=True,
    ),
    Action(
        "reference_wrong",
        "&Reference is wrong",
        ("R",),
        "flag",
        Page.LABEL,
        "Label",
        "Note that the reference answer is not right",
        physical=True,
    ),
    Action("comment", "&Comment…", ("C",), "comment", Page.LABEL, "Label", physical=True),
    Action("retry", "&Try saving again", ("Ctrl+R",), "retry", Page.LABEL, "Label"),
    Action("choose_project", "C&hoose project…", ("Ctrl+L",), "project", Page.LABEL, "Label"),
    Action("inspect_this", "&Inspect this trace", ("Ctrl+Shift+I",), "inspect", Page.LABEL, "Label"),
    Action("label_this", "&Rate this trace", ("L",), "label", Page.INSPECT, "Inspect"),
    Action("step_below", "Step &down", ("J",), page=Page.INSPECT, menu="Inspect"),
    Action("step_above", "Step &up", ("K",), page=Page.INSPECT, menu="Inspect"),
    Action("trace_below", "N&ext trace", ("]", "Alt+Down"), page=Page.INSPECT, menu="Inspect"),
    Action("trace_above", "Pre&vious trace", ("[", "Alt+Up"), page=Page.INSPECT, menu="Inspect"),
    Action("next_hit", "&Next hit", ("N",), "next", Page.INSPECT, "Inspect"),
    Action("previous_hit", "&Previous hit", ("Shift+N",), "previous", Page.INSPECT, "Inspect"),
    Action(
        "replay_play", "&Play or pause", ("Space",), "play", Page.INSPECT, "Inspect", "Replay the trace", physical=True
    ),
    Action("replay_faster", "Replay &faster", ("Shift+.", ">"), page=Page.INSPECT, menu="Inspect"),
    Action("replay_slower", "Replay s&lower", ("Shift+,", "<"), page=Page.INSPECT, menu="Inspect"),
    Action("next_token", "Next &token", (".",), page=Page.INSPECT, menu="Inspect"),
    Action("previous_token", "Previous t&oken", (",",), page=Page.INSPECT, menu="Inspect"),
    Action("next_low", "Next low s&core", ("Shift+L",), page=Page.INSPECT, menu="Inspect"),
    Action("next_flag", "Next fla&g", ("Shift+F",), page=Page.INSPECT, menu="Inspect"),
    Action("next_branch", "Next &branch", ("Shift+B",), page=Page.INSPECT, menu="Inspect"),
    Action(
        "next_backtrack",
        "Next bac&ktrack",
        ("Shift+K",),
        page=Page.INSPECT,
        menu="Inspect",
        tip="Where the thinking turns back",
    ),
    Action(
        "as_user",
        "As the &user sees it",
        ("U",),
        page=Page.INSPECT,
        menu="Inspect",
        tip="Hide thinking, tools and markup",
        checkable=True,
    ),
    Action("heat_logprob", "&Heat: log-probability of tokens", ("H",), page=Page.INSPECT, menu="Inspect"),
    Action("heat_entropy", "Heat: &entropy of tokens", ("Shift+H",), page=Page.INSPECT, menu="Inspect"),
    Action("flag_step", "&Flag this step…", ("F",), "flag", Page.INSPECT, "Inspect"),
    Action("confirm_this_flag", "Con&firm the chosen flag", ("Y",), "check", Page.INSPECT, "Inspect"),
    Action("reject_this_flag", "Re&ject the chosen flag", ("Shift+Y",), "close", Page.INSPECT, "Inspect"),
    Action("bookmark", "Boo&kmark these words…", ("M",), "", Page.INSPECT, "Inspect", "With a comment and tags"),
    Action("undo_inspect", "&Undo flag or bookmark", ("Ctrl+Z",), "undo", Page.INSPECT, "Inspect"),
    Action("redo_inspect", "Re&do flag or bookmark", ("Ctrl+Shift+Z", "Ctrl+Y"), "redo", Page.INSPECT, "Inspect"),
    Action("stretch_from", "Choose steps fro&m here", ("I",), "", Page.INSPECT, "Inspect", "Their figures, and a loop"),
    Action("stretch_to", "Choose steps u&p to here", ("O",), "", Page.INSPECT, "Inspect"),
    Action("stretch_loop", "Loop o&ver the chosen steps", ("Shift+Space",), "", Page.INSPECT, "Inspect"),
    Action("stretch_only", "Only the chosen steps", ("Shift+I",), "", Page.INSPECT, "Inspect", "Transcript and Find"),
    Action("stretch_clear", "C&hoose no steps", ("Shift+O",), "", Page.INSPECT, "Inspect"),
    Action("filter_traces", "Filter traces by an&y field…", ("W",), "", Page.INSPECT, "Inspect"),
    Action("sql_console", "S&QL over this workspace…", ("Q",), "", Page.INSPECT, "Inspect", "SELECT alone"),
    Action(
        "other_column", "Lists or side panels", ("Z",), "", Page.INSPECT, "Inspect", "Where there is no room for both"
    ),
    Action("trace_tree", "Traces as a tree", ("Shift+T",), "", Page.INSPECT, "Inspect", "Log, sample, epoch"),
    Action("mark_clean", "Call this trace &clean", (), "", Page.INSPECT, "Inspect", "It holds nothing unsafe"),
    Action("check_trace", "Chec&k this trace", ("C",), "flag", Page.INSPECT, "Inspect", "Exact checks, no model"),
    Action("diff_traces", "&Diff with another trace…", ("D",), page=Page.INSPECT, menu="Inspect"),
    Action("candidate_tree", "T&ree of candidates", ("T",), page=Page.INSPECT, menu="Inspect"),
    Action("bisect_thought", "&Bisect this thought…", ("B",), "", Page.INSPECT, "Inspect", "Which step decided it"),
    Action(
        "fork_thought", "For&k at this step…", ("X",), "", Page.INSPECT, "Inspect", "Edit it, continue both versions"
    ),
    Action("never_again", "Ne&ver again…", ("A",), "", Page.INSPECT, "Inspect", "Make a test of this step"),
    Action(
        "never_again_tests", "Tests of never again…", ("Shift+A",), "", Page.INSPECT, "Inspect", "And their results"
    ),
    Action("why_wrong", "Why traces are wron&g", ("G",), "", Page.INSPECT, "Inspect", "By cause and first bad step"),
    Action("plot_traces", "&Plots of traces…", ("P",), "", Page.INSPECT, "Inspect", "Every point opens its trace"),
    Action("rubrics", "&Rubrics…", ("R",), "", Page.INSPECT, "Inspect", "What you look for, run over all traces"),
    Action("step_to_label", "S&end to a labelling project…", ("E",), "label", Page.INSPECT, "Inspect"),
    Action("problem_to_play", "Send this trace t&o Play", ("Shift+P",), "play_page", Page.INSPECT, "Inspect"),
    Action("split_step", "Sp&lit this step…", ("Ctrl+/",), page=Page.INSPECT, menu="Inspect"),
    Action("join_step", "&Join with the next step", ("Ctrl+J",), page=Page.INSPECT, menu="Inspect"),
    Action("steps_by_idea", "Cut this trace anew by idea", page=Page.INSPECT, menu="Inspect"),
    Action("undo_steps", "Take back the last edit of steps", (), page=Page.INSPECT, menu="Inspect"),
    Action("follow_file", "Follow a growing f&ile…", (), "folder", Page.INSPECT, "Inspect"),
    Action("score_this", "&Score this trace", ("S",), "score", Page.INSPECT, "Inspect", "Ask a PRM for step scores"),
    Action(
        "inspect_source", "Show &source", ("V",), page=Page.INSPECT, menu="Inspect", tip="Steps as they were written"
    ),
    Action("search_traces", "Search &traces", ("/", "Ctrl+F"), "search", Page.INSPECT, "Inspect"),
    Action("write_report", "&Write a report…", ("Ctrl+Shift+R",), "export", Page.INSPECT, "Inspect"),
    Action("find_in_traces", "Find in &all traces", ("Ctrl+Shift+F",), "search", Page.INSPECT, "Inspect"),
    Action("find_next", "Next found te&xt", ("F3",), page=Page.INSPECT, menu="Inspect"),
    Action("find_previous", "Previous found tex&t", ("Shift+F3",), page=Page.INSPECT, menu="Inspect"),
    Action("copy_latex", "Copy step as LaTe&X", ("Ctrl+Shift+C",), "copy", Page.INSPECT, "Inspect"),
    Action("new_run", "&New run…", ("N",), "plus", Page.TRAIN, "Train"),
    Action("score_traces", "&Score traces…", ("S",), "score", Page.TRAIN, "Train"),
    Action("pause_run", "&Pause run", ("P",), "pause", Page.TRAIN, "Train", "Checkpoint, then free the device"),
    Action("resume_run", "&Resume run", ("R",), "play", Page.TRAIN, "Train"),
    Action("cancel_run", "&Cancel run", ("Del",), "stop", Page.TRAIN, "Train"),
    Action("run_now", "Run no&w", ("W",), "play", Page.TRAIN, "Train", "Pause what runs on the device, go first"),
    Action("fetch_run", "&Fetch what a run elsewhere wrote", ("F",), "", Page.TRAIN, "Train", "And ask its scheduler"),
    Action("tick_grid", "Tick the whole &grid", ("G",), "", Page.TRAIN, "Train", "All runs that were started together"),
    Action("compare_runs", "Co&mpare ticked runs…", ("C",), "", Page.TRAIN, "Train", "Specs, figures and curves"),
    Action("pin_rollout", "Pin roll&out", ("K",), "", Page.TRAIN, "Train", "Keep the chosen rollout, or let it go"),
    Action("undo_pin", "&Undo pin", ("Ctrl+Z",), "undo", Page.TRAIN, "Train", "Take back your last pin"),
    Action("send_contested", "Send contested steps to la&belling", ("L",), "label", Page.TRAIN, "Train"),
    Action("resume_on", "Resume on another P&RM…", ("Shift+R",), "play", Page.TRAIN, "Train", "After an alarm, say"),
    Action("run_lineage", "&Lineage of the run…", (), "", Page.TRAIN, "Train", "What it was made from, what uses it"),
    Action("export_runs_csv", "Export figures as CS&V…", (), "", Page.TRAIN, "Train", "Of the ticked runs"),
    Action("export_runs_tensorboard", "Export for &TensorBoard…", (), "", Page.TRAIN, "Train", "The ticked runs"),
    *PLAY_ACTIONS,
    Action("show_models", "Mo&dels", ("Alt+1",), "", Page.EVALUATE, "Evaluate", "Suites, models, strategies"),
    Action("show_routing", "Routin&g", ("Alt+2",), "", Page.EVALUATE, "Evaluate", "What routers gain and cost"),
    Action("show_monitors", "&Monitors", ("Alt+3",), "", Page.EVALUATE, "Evaluate"),
    Action("show_review", "&Review queue", ("Alt+4",), "", Page.EVALUATE, "Evaluate"),
    Action("new_evaluation", "&New evaluation…", ("N",), "plus", Page.EVALUATE, "Evaluate"),
    Action("show_problems", "Problems behind the cell", ("W",), "", Page.EVALUATE, "Evaluate"),
    Action("plot_results", "Cur&ves of the cell", ("G",), "", Page.EVALUATE, "Evaluate", "Every point opens traces"),
    Action("compare_models", "Compare with another model", ("M",), "", Page.EVALUATE, "Evaluate", "Same problems"),
    Action("open_result", "Open the sample's trace", ("Shift+O",), "inspect", Page.EVALUATE, "Evaluate"),
    Action(
        "export_results", "E&xport results…", ("X",), "export", Page.EVALUATE, "Evaluate", "CSV, Markdown, PNG, SVG"
    ),
    Action(
        "forget_answers", "Invalidate cached answers…", ("D",), "", Page.EVALUATE, "Evaluate", "Of the chosen model"
    ),
    Action("look_at_traces", "&Look at traces…", ("L",), "search", Page.EVALUATE, "Evaluate", "Run monitors over them"),
    Action("learn_from_flags", "Learn from reviewed &flags…", ("T",), "train", Page.EVALUATE, "Evaluate"),
    Action("promote_monitor", "&Promote monitor…", ("P",), "", Page.EVALUATE, "Evaluate", "Compare it first"),
    Action("roll_back_monitor", "Roll &back", ("B",), "", Page.EVALUATE, "Evaluate", "Take the last promotion back"),
    Action("keep_thresholds", "&Keep these thresholds", ("Ctrl+Return",), "", Page.EVALUATE, "Evaluate"),
    Action("confirm_flag", "&Confirm the flag", ("C",), "check", Page.EVALUATE, "Evaluate", "It is there"),
    Action("reject_flag", "Re&ject the flag", ("R",), "close", Page.EVALUATE, "Evaluate", "It is not there"),
    Action("unsure_flag", "&Unsure of the flag", ("U",), "unsure", Page.EVALUATE, "Evaluate"),
    Action("flag_reason", "R&eason…", ("E",), "comment", Page.EVALUATE, "Evaluate", "Goes with the next decision"),
    Action("flag_below", "&Next flag of the queue", ("J", "Down"), "next", Page.EVALUATE, "Evaluate"),
    Action("flag_above", "Pre&vious flag of the queue", ("K", "Up"), "previous", Page.EVALUATE, "Evaluate"),
    Action("open_flagged", "&Open its trace", ("O",), "inspect", Page.EVALUATE, "Evaluate"),
    Action("undo_verdict", "&Undo on this page", ("Ctrl+Z",), "undo", Page.EVALUATE, "Evaluate"),
    Action("redo_verdict", "Re&do on this page", ("Ctrl+Shift+Z", "Ctrl+Y"), "redo", Page.EVALUATE, "Evaluate"),
    Action("new_project", "&New project…", ("N",), "plus", Page.DATA, "Data"),
    Action("refresh", "&Refresh", ("F5",), "retry", menu="View"),
    Action("help_keys", "&Keys of this page", ("F1",), "keyboard", menu="Help"),
    Action("guideline", "&Guideline", ("?", "Shift+F1"), "book", menu="Help"),
    Action("shortcuts", "Edit &shortcuts…", icon="keyboard", menu="Help"),
    Action("show_log", "Show the session &log", menu="Help"),
    Action("about", "&About Steplens", menu="Help"),
)


_BY_ID = {action.id: action for action in ACTIONS}


def by_id(id: str) -> Action:
    """The entry of this name. Raises KeyError when there is none."""
    return _BY_ID[id]


class Actions(QObject):
    """The commands of one window: their handlers, whether they are enabled, and their keys.

    Signals:
        rebound(str): the keys of this command are others now.
        enabledChanged(str, bool): this command can, or cannot, be given now.
    """

    rebound = Signal(str)
    enabledChanged = Signal(str, bool)

    def __init__(self, overrides: Mapping[str, Sequence[str]] | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._page = Page.ANY
        self._handlers: dict[str, Callable[[], object]] = {}
        self._wanted = {action.id: True for action in ACTIONS}
        self._overrides = {id: tuple(keys) for id, keys in (overrides or {}).items() if id in _BY_ID}
        self._q = {action.id: self._make(action) for action in ACTIONS}

    def on(self, id: str, handler: Callable[[], object]) -> None:
        """Say what a command does; the last one to say it wins."""
        self._handlers[by_id(id).id] = handler
        self._update(id)

    def enable(self, id: str, on: bool) -> None:
        """Say whether a command can be given now."""
        if self._wanted[id] != on:
            self._wanted[id] = on
            self._update(id)

    def is_enabled(self, id: str) -> bool:
        """Whether the command has a handler, its page is shown and it can be given now."""
        page = by_id(id).page
        return id in self._handlers and self._wanted[id] and page in (Page.ANY, self._page)

    def run(self, id: str) -> bool:
        """Give a command; returns False when it is not enabled."""
        if not self.is_enabled(id):
            return False
        self._handlers[id]()
        return True

    def show_page(self, page: Page) -> None:
        """Enable the commands of this page and disable those of the others."""
        self._page = page
        for action in ACTIONS:
            self._update(action.id)

    @property
    def page(self) -> Page:
        """The page whose commands are enabled."""
        return self._page

    def available(self) -> tuple[Action, ...]:
        """The commands that can be given now, in table order."""
        return tuple(action for action in ACTIONS if self.is_enabled(action.id))

    def q(self, id: str) -> QAction:
        """The Qt action of a command, for menus and tool buttons."""
        return self._q[id]

    def keys(self, id: str) -> tuple[str, ...]:
        """The key sequences of a command, the user's own if there are any."""
        return self._overrides.get(id, by_id(id).keys)

    def hint(self, id: str) -> str:
        """The first key as the platform writes it, empty when there is none."""
        keys = self.keys(id)
        return shown_key(keys[0]) if keys else ""

    def is_default(self, id: str) -> bool:
        """Whether the command has the keys that it came with."""
        return id not in self._overrides

    def rival(self, id: str, key: str) -> Action | None:
        """The other command that has this key on the same page."""
        page = by_id(id).page
        wanted = _same(key)
        for other in ACTIONS:
            if other.id == id or (page and other.page and page != other.page):
                continue
            if wanted in {_same(k) for k in self.keys(other.id)}:
                return other
        return None

    def set_keys(self, id: str, keys: Sequence[str]) -> None:
        """Give a command other keys. Raises ConflictError when another command of its page has one of them."""
        for key in keys:
            if (rival := self.rival(id, key)) is not None:
                raise ConflictError(f"{shown_key(key)} belongs to “{rival.name}”; give that another key first")
        if tuple(keys) == by_id(id).keys:
            self._overrides.pop(id, None)
        else:
            self._overrides[id] = tuple(keys)
        self._bind(self._q[id], by_id(id))
        self.rebound.emit(id)

    def overrides(self) -> dict[str, list[str]]:
        """The keys that differ from the table, for the settings."""
        return {id: list(keys) for id, keys in sorted(self._overrides.items())}

    def dress(self, menu: str, icon: Callable[[str], QIcon]) -> None:
        """Give the commands of a menu their icons in the present theme."""
        for action in ACTIONS:
            if action.icon and action.menu == menu:
                self._q[action.id].setIcon(icon(action.icon))

    def _make(self, action: Action) -> QAction:
        q = QAction(action.text, self)
        q.setAutoRepeat(action.id in REPEATING)
        q.setCheckable(action.checkable)
        q.setEnabled(False)
        q.triggered.connect(partial(self._on_triggered, action.id))
        self._bind(q, action)
        return q

    def _bind(self, q: QAction, action: Action) -> None:
        keys = self.keys(action.id)
        q.setToolTip(_tip(action, keys))
        q.setStatusTip(action.tip)
        if action.physical:  # a tab shows the key in menus without registering it
            q.setText(action.text + (f"\t{shown_key(keys[0])}" if keys else ""))
        else:
            q.setShortcuts([QKeySequence(key) for key in keys])

    def _on_triggered(self, id: str, _checked: bool = False) -> None:
        self.run(id)

    def _update(self, id: str) -> None:
        on = self.is_enabled(id)
        if self._q[id].isEnabled() != on:
            self._q[id].setEnabled(on)
            self.enabledChanged.emit(id, on)


REPEATING = frozenset(
    {
        "undo",
        "redo",
        "larger",
        "smaller",
        "step_up",
        "step_down",
        "step_below",
        "step_above",
        "next_hit",
        "previous_hit",
        "next_token",
        "previous_token",
    }
)


def shown_key(key: str) -> str:
    """A portable key sequence as the platform writes it."""
    return {"Return": "⏎", "Up": "↑", "Down": "↓", "Backspace": "⌫"}.get(
        key, QKeySequence(key).toString(QKeySequence.SequenceFormat.NativeText)
    )


def _same(key: str) -> str:
    return QKeySequence(key).toString(QKeySequence.SequenceFormat.PortableText)


def _tip(action: Action, keys: Sequence[str]) -> str:
    shown = " or ".join(shown_key(key) for key in keys)
    return " · ".join(part for part in (action.tip or action.name, shown) if part)
