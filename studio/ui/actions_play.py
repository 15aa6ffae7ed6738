"""The commands of the Play page."""

from __future__ import annotations

from studio.ui.action import Action, Page

PLAY_ACTIONS: tuple[Action, ...] = (
    Action("play_ask", "&Ask", ("Ctrl+Return",), "play", Page.PLAY, "Play", "With the chosen strategies"),
    Action("play_cancel", "&Cancel", ("Esc",), "stop", Page.PLAY, "Play", "At once; nothing of it is kept"),
    Action("play_again", "Ask a&gain", ("Ctrl+R",), "retry", Page.PLAY, "Play", "The same seed gives the same traces"),
    Action("play_next_seed", "Ask with the &next seed", ("Ctrl+Shift+R",), "next", Page.PLAY, "Play"),
    Action("play_problem", "Write a &problem", ("P",), "", Page.PLAY, "Play", "Go to the field of the problem"),
    Action("play_next_lane", "Next s&trategy", ("]", "Alt+Right"), page=Page.PLAY, menu="Play"),
    Action(
        "play_go_on", "G&o on from this step", ("X",), "", Page.PLAY, "Play", "Of the recorded trace; again: begin anew"
    ),
    Action("play_take_away", "Ta&ke the recorded trace away", ("Shift+X",), "", Page.PLAY, "Play"),
    Action("play_inspect", "&Open in Inspect", ("O",), "inspect", Page.PLAY, "Play", "The trace that answers"),
    Action("play_label", "&Send to a labelling project…", ("E",), "label", Page.PLAY, "Play"),
    Action(
        "play_copy",
        "Cop&y the answer",
        ("C",),
        "copy",
        Page.PLAY,
        "Play",
        "What the user sees",
    ),
    Action("play_refill", "P&ut a play back into the form", ("F",), "", Page.PLAY, "Play", "The ledger's current line"),
    Action("play_heat", "&Heat: log-probability of tokens", ("H",), "", Page.PLAY, "Play", checkable=True),
    Action("play_fold", "&Fold the thinking", ("T",), "", Page.PLAY, "Play", checkable=True),
    Action("play_contest", "&Best-of-n against a larger model…", ("B",), "", Page.PLAY, "Play", "Cost and accuracy"),
    Action(
        "contest_models",
        "&Best-of-n against a larger model…",
        ("Shift+B",),
        "",
        Page.EVALUATE,
        "Evaluate",
        "Cost and accuracy",
    ),
)
