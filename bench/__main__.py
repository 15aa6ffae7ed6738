"""`make bench`: run the measurements one after another on a machine left alone and write docs/benchmarks.md.

`make bench ARGS="start_up imports"` runs some of them; figures of the others stay as they were last measured. Each
measurement is a program of its own (`python -m bench.NAME --help`) that prints one JSON line a figure:
{"what": ..., "value": ..., "unit": ..., "must": ...}.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STORE = ROOT / "docs" / "benchmarks.json"
PAGE = ROOT / "docs" / "benchmarks.md"
ORDER = {
    "start_up": "First readable trace",
    "rating_window": "Rating, submit and jump in the window",
    "rating_store": "Rating in the store",
    "imports": "Import of PRM800K-like rows",
    "imports_peer": "Import beside Label Studio",
    "exports": "Export of PRM800K",
    "eval_logs": "Logs of Inspect: list, open and import, beside inspect_ai",
    "tiny_prm": "The tiny PRM on arithmetic stories",
    "prm_step": "One PRM step beside TRL 1.13",
    "sft_step": "One SFT step beside TRL 1.16",
    "grpo_step": "One RL update beside TRL 1.16",
    "loop": "The whole loop with the tiny model",
    "undertrained": "RL from a policy that was merely taught too little",
    "budgets": "Thinking budgets with the tiny model",
    "search": "Beam search with kept prefixes",
    "shipped": "The tiny policy and PRM that travel with the app",
    "search_cost": "Best-of-n and majority of the tiny policy against one pass of a larger one",
    "decoding": "Decoding beside Hugging Face, and scores of beam prefixes",
    "answering": "A policy that stands ready: first token, next request",
    "cache": "Hits of the answer cache",
    "play": "The Play page: first token painted, frames while strategies race",
    "inspect_page": "The Inspect page: a million words, 10,000 steps, 100,000 traces",
    "find": "Find, diff and tree on 121 MB of traces",
    "monitor": "The safety monitor: thresholds over 100,000 traces, learning from 5,000",
    "smollm": "SmolLM2-135M on PRM800K, five-fold by problem",
    "real_text": "One pass of everything on real text with SmolLM2-135M",
}


def main() -> int:
    """Run, store, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"which of: {', '.join(ORDER)} (default: all)")
    names = parser.parse_args().names or list(ORDER)
    unknown = sorted(set(names) - set(ORDER))
    if unknown:
        parser.error(f"no measurement {', '.join(unknown)}; there are: {', '.join(ORDER)}")
    failed = []
    for name in names:
        print(f"== {ORDER[name]} ({name})", flush=True)
        result = measure(name)
        if result["exit"] != 0:
            failed.append(name)
        if not result["figures"]:
            continue
        stored = json.loads(STORE.read_text()) if STORE.exists() else {}  # others may have measured meanwhile
        stored[name] = result
        STORE.write_text(json.dumps(stored, indent=1, ensure_ascii=False) + "\n")
        PAGE.write_text(page(stored))
    if failed:
        print(f"a target missed, or a failure, in: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def measure(name: str) -> dict[str, object]:
    """Run one measurement as its own program; its JSON lines are the figures, all else passes through."""
    command = [sys.executable, "-m", f"bench.{name}"]
    began, load = time.monotonic(), os.getloadavg()[0]
    figures = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            print(line, end="", flush=True)
            if line.startswith("{"):
                figure = json.loads(line)
                if "what" in figure:
                    figures.append(figure)
    return {
        "exit": child.returncode,
        "command": f'make bench ARGS="{name}"',
        "on": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": f"{machine()}, load {load:.1f} before",
        "seconds": round(time.monotonic() - began),
        "figures": figures,
    }


def machine() -> str:
    """The machine in a few words."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return f"{os.cpu_count()} x {model}, Python {platform.python_version()}, {platform.system()}, no GPU used"


def page(stored: dict[str, dict[str, object]]) -> str:
    """docs/benchmarks.md from the stored figures."""
    out = ["# Benchmarks", "", "Written by `make bench`; absolute times differ between machines, so each figure stands"]
    out += [
        "beside a bare baseline or a peer timed in the same run. A target that was missed is printed as missed.",
        "",
    ]
    for name, title in ORDER.items():
        if name not in stored:
            continue
        result = stored[name]
        how = f"`{result['command']}` · {result['on']} · {result['machine']} · {result['seconds']} s"
        out += [f"## {title}", "", how, ""]
        out += ["| what | measured | must reach | |", "|---|---|---|---|"]
        figures = result["figures"]
        assert isinstance(figures, list)
        out += [row(figure) for figure in figures]
        out += [""]
    return "\n".join(out)


def row(figure: dict[str, object]) -> str:
    """One line of a table."""
    value = figure.get("value")
    shown = f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    must, met = figure.get("must"), figure.get("met")
    if isinstance(must, int | float) and isinstance(value, int | float):
        must, met = f"at most {must:,g}", value <= must
    told = {True: "met", False: "**missed**"}.get(bool(met), "") if met is not None else ""
    return f"| {figure['what']} | {shown} {figure.get('unit', '')} | {'' if must is None else must} | {told} |"


if __name__ == "__main__":
    sys.exit(main())
