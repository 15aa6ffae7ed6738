"""The commands of the Label page."""

from __future__ import annotations

from studio.ui.action import Action, Page

LABEL_ACTIONS: tuple[Action, ...] = (
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
)
