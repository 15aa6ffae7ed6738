"""A reward function for TRL's GRPOTrainer that asks a served PRM: `GRPOTrainer(..., reward_funcs=StepReward())`.

Start the server first: `steplens-trainer serve runs/UID/model --port 8377`. Needs nothing but the standard library.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

Message = dict[str, str]


class StepReward:
    """The least step score of each completion: a chain is as good as its weakest step."""

    __name__ = "step_reward"  # TRL names its metrics after the function

    def __init__(self, address: str = "http://127.0.0.1:8377", timeout: float = 120.0) -> None:
        self.address, self.timeout = address, timeout

    def __call__(
        self, prompts: Sequence[str | list[Message]], completions: Sequence[str | list[Message]], **_: object
    ) -> list[float | None]:
        """One reward a completion; None (TRL leaves it out) where a completion has no step. Raises RuntimeError."""
        rows = [
            {"problem": text_of(prompt), "steps": steps_of(text_of(completion))}
            for prompt, completion in zip(prompts, completions, strict=True)
        ]
        scores = self.ask({"rows": rows})["scores"]
        return [min((s for s in row if s is not None), default=None) for row in scores]

    def ask(self, body: dict[str, Any]) -> dict[str, Any]:
        """Post one request; the server's own words when it refuses."""
        request = urllib.request.Request(
            f"{self.address}/score", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            with error:
                raise RuntimeError(f"{self.address}: {json.load(error)['error']}") from None
        except urllib.error.URLError as error:
            raise RuntimeError(f"{self.address} does not answer ({error.reason}); is the server running?") from None


def text_of(given: str | list[Message]) -> str:
    """Plain text, or the content of the last message of a conversation."""
    return given if isinstance(given, str) else given[-1]["content"]


def steps_of(text: str) -> list[str]:
    """One step a non-empty line."""
    return [line.strip() for line in text.splitlines() if line.strip()]
