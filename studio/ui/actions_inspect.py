"""The commands of the Inspect page."""

from __future__ import annotations

from studio.ui.action import Action, Page

INSPECT_ACTIONS: tuple[Action, ...] = (
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
)
