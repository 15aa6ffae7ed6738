"""The commands of the Train page."""

from __future__ import annotations

from studio.ui.action import Action, Page

TRAIN_ACTIONS: tuple[Action, ...] = (
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
)
