"""What can be asked of the recipe `generate`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from trainer.contract.specs.setting import setting


class DifficultyBy(StrEnum):
    """Who says how difficult a problem is."""

    HAND = "by hand"
    POLICY = "the policy itself"
    CLASSIFIER = "a classifier"


class TellBudget(StrEnum):
    """Whether the prompt states the budgets."""

    TAUGHT = "as it was taught"
    ALWAYS = "always"
    NEVER = "never"


class TellAnswer(StrEnum):
    """Who is told to put the final answer where it is found."""

    STRANGERS = "to a policy made elsewhere"
    NOBODY = "to nobody"


class AskedAs(StrEnum):
    """How a problem becomes a prompt."""

    TAUGHT = "as it was taught"
    PLAIN = "plain"
    CHAT = "chat template"


class Marked(StrEnum):
    """Whether thinking is marked off from the answer."""

    TAUGHT = "as the policy does"
    OPENED = "opened for it"
    NOT = "not at all"


@dataclass(frozen=True, slots=True)
class GenerateSpec:
    """Let a policy write traces for problems, thinking and answer under budgets of their own."""

    model: str = setting("", "The policy: a model made here, a folder, a GGUF file or a hub id", group="Models")
    n: int = setting(4, "Traces for each problem", low=1, high=4096, group="Traces")
    max_thinking_tokens: int = setting(
        512, "Most tokens of thinking; the decoder closes it there", low=0, high=131072, group="Budget", unit="tokens"
    )
    max_answer_tokens: int = setting(
        128, "Most tokens of the answer", low=1, high=131072, group="Budget", unit="tokens"
    )
    difficulty: float = setting(
        -1.0,
        "From 0 (easy) to 1 (hard): thinking gets 0.3 + 0.6 of it of both budgets together; -1 = as they are above",
        low=-1.0,
        high=1.0,
        group="Budget",
    )
    difficulty_by: DifficultyBy = setting(
        DifficultyBy.HAND, "Who judges the difficulty; by hand: the number above", group="Budget"
    )
    classifier: str = setting(
        "", "A router made here, whose classifier judges the difficulty", group="Budget", advanced=True
    )
    tell_budget: TellBudget = setting(
        TellBudget.TAUGHT, "Whether the prompt states the budgets", group="Budget", advanced=True
    )
    tell_answer: TellAnswer = setting(
        TellAnswer.STRANGERS,
        "Who is told to end with 'The answer is'; a policy that was taught nothing often gives no answer to be found",
        group="Budget",
        advanced=True,
    )
    thinking: Marked = setting(
        Marked.TAUGHT,
        "How thinking begins: by the policy, whose text is an answer alone where it marks none; or <think> is written "
        "for it",
        group="Budget",
        advanced=True,
    )
    grace: float = setting(
        0.05,
        "Last share of the thinking budget in which the closing mark is made more likely",
        low=0.0,
        high=1.0,
        group="Budget",
        advanced=True,
    )
    continuations: int = setting(
        0, "How often thinking that closes is made to go on", low=0, high=100, group="Budget", advanced=True
    )
    wait: str = setting("Wait", "What is written in place of the mark to make it go on", group="Budget", advanced=True)
    prompt: AskedAs = setting(
        AskedAs.TAUGHT,
        "How a problem becomes a prompt; a policy made elsewhere gets its chat template if it has one",
        group="Traces",
        advanced=True,
    )
    temperature: float = setting(0.7, "Temperature; 0 takes the most probable token", low=0.0, high=5.0, group="Traces")
    top_p: float = setting(0.95, "Nucleus", low=0.01, high=1.0, group="Traces")
    grade: bool = setting(True, "Compare answers with the reference, where there is one", group="Traces")
    batch_rows: int = setting(
        64, "Traces written at once", low=1, high=4096, group="Device", advanced=True, unit="traces"
    )
    threads: int = setting(0, "Processor threads; 0 = all", low=0, high=1024, group="Device", advanced=True)
    resident: bool = setting(
        False, "Stay when its rows are done, and answer requests until none has come", group="Device", advanced=True
    )
    idle_minutes: float = setting(
        10.0,
        "How long a run that stays waits for a request before it ends",
        low=0.001,
        high=1440.0,
        group="Device",
        advanced=True,
        unit="min",
    )
    seed: int = setting(0, "Seed of everything random", low=0, high=2**31 - 1, group="Device")

    def objection(self) -> str:
        """What makes these settings meaningless, with what to do; empty where nothing does."""
        if self.continuations and not self.wait:
            return "thinking goes on (continuations) behind a text that is written in; set wait to one, such as Wait"
        if self.temperature > 0 or self.n == 1:
            return ""
        return (
            f"at temperature 0 all traces of a problem are the same: {self.n} would be written for nothing; "
            "set temperature above 0 (0.6 to 1 are usual), or n to 1"
        )
