"""An answer told while it is written: text in whole characters, thinking apart from the answer, marks never torn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from trainer.models.sampling import Delta, Generated
from trainer.models.served import Served
from trainer.reasoning.thinking import CLOSE, OPEN
from trainer.serve_requests import cut, parted

if TYPE_CHECKING:
    from trainer.serve_policy import Answers, Task

BROKEN = "\ufffd"  # what stands for the bytes of a character that is not whole yet


class Growing:
    """The text of tokens that come one by one; only the last few are decoded again."""

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._from, self._read = 0, 0
        self.text = ""

    def add(self, token: int) -> None:
        """One more token."""
        self._ids.append(token)
        before = self._decode(self._ids[self._from : self._read])
        now = self._decode(self._ids[self._from :])
        if len(now) > len(before) and not now.endswith(BROKEN):
            self.text += now[len(before) :]
            self._from, self._read = self._read, len(self._ids)


class _Told:
    """One trace as far as its client has heard of it."""

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self.growing = Growing(decode)
        self.thinking, self.answer = "", ""


class Stream:
    """Tells the tokens of one request as server-sent events."""

    def __init__(self, served: Served, task: Task, answers: Answers, send: Callable[[str], None]) -> None:
        self._served, self._task, self._answers, self._send = served, task, answers, send
        self._told = [_Told(served.tokens.text) for _ in range(len(task.prompts) * task.body.n)]
        self._longest = max([len(stop) for stop in task.body.stops], default=0)

    def tell(self, deltas: Sequence[Delta]) -> None:
        """New tokens, one of every trace that is still written."""
        for delta in deltas:
            index = delta.prompt * self._task.body.n + delta.trace
            growing = self._told[index].growing
            for token in delta.ids:
                if token not in self._served.stop_ids:
                    growing.add(token)
            self._piece(index, *self._sure(cut(growing.text, self._task.body.stops)), delta.ids, delta.logprobs)

    def _sure(self, text: str) -> tuple[str, str]:
        """What of the thinking and of the answer will stay: not what may be the beginning of a mark or a stop text."""
        longest = self._longest
        if not self._task.is_chat:
            return "", _without(text, longest)
        if OPEN.startswith(text.lstrip()):
            return "", ""  # it may still become the opening mark
        thinking, answer = parted(text, begun=self._task.begun)
        if thinking is None or CLOSE in text:
            return thinking or "", _without(answer, longest)
        return _without(thinking, max(longest, len(CLOSE))), ""

    def end(self, made: Sequence[Sequence[Generated]]) -> None:
        """The rest of every trace, why it ended, the tokens used, and the closing mark."""
        flat = [one for of_prompt in made for one in of_prompt]
        for index, one in enumerate(flat):
            text = self._answers.text(one)
            thinking, answer = parted(text, begun=self._task.begun) if self._task.is_chat else (None, text)
            self._piece(index, thinking or "", answer, (), (), last=one)
        if self._task.body.tells_usage:
            self._event([], usage=self._answers.usage(flat))
        self._send("[DONE]")

    def _piece(
        self,
        index: int,
        thinking: str,
        answer: str,
        ids: Sequence[int],
        logprobs: Sequence[float],
        last: Generated | None = None,
    ) -> None:
        told, task = self._told[index], self._task
        new_thinking, new_answer = thinking[len(told.thinking) :], answer[len(told.answer) :]
        told.thinking, told.answer = told.thinking + new_thinking, told.answer + new_answer
        if not (new_thinking or new_answer or last or task.body.alternatives is not None):
            return
        finish = None if last is None else self._answers.finish(last)
        out: dict[str, Any] = {"index": index, "finish_reason": finish}
        if task.is_chat:
            delta = {"content": new_answer} if new_answer else {}
            out["delta"] = delta | ({"reasoning_content": new_thinking} if new_thinking else {})
        else:
            out["text"] = new_answer
        if ids:
            out["logprobs"] = self._answers.logprobs(ids, logprobs)
            if task.body.return_token_ids:
                out["token_ids"] = list(ids)
        self._event([out])

    def _event(self, choices: list[dict[str, Any]], **more: object) -> None:
        head = self._answers.head(self._served.serving, chunk=True)
        self._send(msgspec.json.encode(head | {"choices": choices} | more).decode())


def _without(text: str, held: int) -> str:
    """The text without its last `held` characters."""
    return text[: max(0, len(text) - held)]
