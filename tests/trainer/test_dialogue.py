"""Prompts and responses as ids, and where the steps of a response end among its tokens."""

from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from trainer.models.dialogue import Dialogue
from trainer.models.tiny import make_tokenizer
from trainer.reasoning.response import read_response

TEXTS = ["Start with 7. Add 5. Double it.", "7 + 5 = 12\n12 * 2 = 24\n\n# Answer\n\n24", "<think>\n7 + 5\n</think>"] * 3
CHAT = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<bot>{% endif %}"


def bytes_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte: no character beyond ASCII is a token of its own."""
    vocabulary = {"<s>": 0, "</s>": 1} | {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()), 2)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


def test_a_problem_stands_on_a_line_of_its_own() -> None:
    tokenizer = make_tokenizer(TEXTS)
    dialogue = Dialogue(tokenizer)
    ids = dialogue.prompt("Start with 7. Add 5.")
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.decode(ids[1:]) == "Start with 7. Add 5.\n"
    assert dialogue.prompt("Start with 7. Add 5.\n") == ids


def test_a_chat_template_says_where_the_response_begins() -> None:
    tokenizer = make_tokenizer(TEXTS)
    tokenizer.chat_template = CHAT
    assert tokenizer.decode(Dialogue(tokenizer).prompt("Add 5.")) == "<user>Add 5.<bot>"


@pytest.mark.parametrize("make", [lambda: make_tokenizer(TEXTS), bytes_tokenizer])
@pytest.mark.parametrize(
    "text",
    [
        "7 + 5 = 12\n12 * 2 = 24\n\n# Answer\n\n24",
        "<think>\n7 × 5 → 35 ✓\nπ ≈ 3.14159\n</think>\nThe answer is 35 €.",
        "  \n\n7 + 5\n",
    ],
)
def test_steps_end_at_the_token_with_which_their_text_is_whole(make, text: str) -> None:
    tokenizer = make()
    dialogue = Dialogue(tokenizer)
    ids = dialogue.response(text)
    assert ids[-1] == dialogue.end
    assert dialogue.text(ids) == text
    steps = read_response(text).steps
    ends = dialogue.places(ids, [span.end for span in steps])
    for span, end in zip(steps, ends, strict=True):
        written, before = tokenizer.decode(ids[: end + 1]), tokenizer.decode(ids[:end])
        assert text[: span.end] in written.rstrip("\ufffd")
        assert len(before.rstrip("\ufffd")) < span.end
    apart = dialogue.separators(ids, steps)
    between = tokenizer.decode(np.asarray(ids)[: ends[-1] + 1][apart[: ends[-1] + 1]].tolist())
    assert between.replace("<think>", "").strip() == ""
    assert not apart[ends].any()
