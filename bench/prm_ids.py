"""Ask TRL 1.13 itself for the ids and labels of ten thousand random rows, and compare them with ours one by one.

Run with the peer's Python (torch, transformers, datasets), `--trl` (or STEPLENS_PEER_TRL) a folder with trl 1.13.0:
    PYTHONPATH=. PEER_PYTHON bench/prm_ids.py --trl FOLDER
The digest it prints is the one that the test of the placement keeps.
"""

from __future__ import annotations

import argparse
import json
import os
import sys


def main() -> int:
    """Compare row by row; 1 when any differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trl", default=os.environ.get("STEPLENS_PEER_TRL"))
    parser.add_argument("--rows", type=int, default=10_000)
    a = parser.parse_args()
    if a.trl:
        sys.path.insert(0, a.trl)
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    from trl.experimental.prm import PRMTrainer

    from tests.unit.rows_for_trl import Bytes, digest_of, our_rows, trl_rows

    theirs = []
    for prompt, steps, labels, separator, longest, bos in trl_rows(a.rows):
        features = {"prompt": prompt, "completions": steps, "labels": labels}
        row = PRMTrainer.tokenize_row(features, Bytes(bos), separator, longest, None, False, False)
        theirs.append((row["input_ids"], row["labels"]))
    ours = our_rows(a.rows)
    apart = sum(x != y for x, y in zip(ours, theirs, strict=True))
    values = {"what": f"PRM ids and labels, rows of {a.rows} unlike TRL 1.13", "value": apart, "unit": "rows"}
    print(json.dumps(values | {"must": "0", "met": apart == 0, "digest": digest_of(theirs)}))
    return int(apart > 0)


if __name__ == "__main__":
    sys.exit(main())
