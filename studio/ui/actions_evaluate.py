"""The commands of the Evaluate page."""

from __future__ import annotations

from studio.ui.action import Action, Page

EVALUATE_ACTIONS: tuple[Action, ...] = (
    Action("show_models", "Mo&dels", ("Alt+1",), "", Page.EVALUATE, "Evaluate", "Suites, models, strategies"),
    Action("show_routing", "Routin&g", ("Alt+2",), "", Page.EVALUATE, "Evaluate", "What routers gain and cost"),
    Action("show_monitors", "&Monitors", ("Alt+3",), "", Page.EVALUATE, "Evaluate"),
    Action("show_review", "&Review queue", ("Alt+4",), "", Page.EVALUATE, "Evaluate"),
    Action("new_evaluation", "&New evaluation…", ("N",), "plus", Page.EVALUATE, "Evaluate"),
    Action("show_problems", "Problems behind the cell", ("W",), "", Page.EVALUATE, "Evaluate"),
    Action("plot_results", "Cur&ves of the cell", ("G",), "", Page.EVALUATE, "Evaluate", "Every point opens traces"),
    Action("compare_models", "Compare with another model", ("M",), "", Page.EVALUATE, "Evaluate", "Same problems"),
    Action("sort_rows", "&Sort by the next column", ("S",), "", Page.EVALUATE, "Evaluate", "Problems, or routes"),
    Action("turn_rows", "Sort the other way round", ("Shift+S",), "", Page.EVALUATE, "Evaluate"),
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
)
