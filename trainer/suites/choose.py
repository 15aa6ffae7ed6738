"""The behaviour of each suite in which a policy answers."""

from __future__ import annotations

from trainer.contract.specs.evaluate import EvaluateSpec, Suite
from trainer.reasoning.grader import Grader
from trainer.suites import sandbox
from trainer.suites.again import Again
from trainer.suites.arc import Arc
from trainer.suites.mathematics import Mathematics
from trainer.suites.programs import Programs
from trainer.suites.sandbox import Limits
from trainer.suites.values import Kind


def kind_of(spec: EvaluateSpec, grader: Grader) -> Kind:
    """What the spec's suite does. Raises SandboxError where it runs code and nothing can hold it."""
    match spec.suite:
        case Suite.ARC:
            return Arc()
        case Suite.HUMANEVAL | Suite.PROGRAMS:
            sandbox.standing()
            return Programs(Limits(seconds=spec.code_seconds, memory=spec.code_mib))
        case Suite.REGRESSIONS:
            return Again(grader)
        case _:
            return Mathematics(spec.suite, grader)
