"""Where the steps of a response end among its tokens, by any tokenizer."""

from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from trainer.models.response_tokens import ResponseTokens
from trainer.models.tiny import make_tokenizer
from trainer.reasoning.response import read_response

TEXTS = ["Start with 7. Add 5. Double it.", "7 + 5 = 12\n12 * 2 = 24\n\n# Answer\n\n24", "<think>\n7 + 5\n</think>"] * 3


def bytes_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte: no character beyond ASCII is a token of its own."""
    vocabulary = {"<s>": 0, "</s>": 1} | {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()), 2)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


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
    tokens = ResponseTokens(tokenizer)
    ids = [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    assert tokens.text(ids) == text
    steps = read_response(text).steps
    ends = tokens.places(ids, [span.end for span in steps])
    for span, end in zip(steps, ends, strict=True):
        written, before = tokenizer.decode(ids[: end + 1]), tokenizer.decode(ids[:end])
        assert text[: span.end] in written.rstrip("\ufffd")
        assert len(before.rstrip("\ufffd")) < span.end
    apart = tokens.separators(ids, steps)
    between = tokenizer.decode(np.asarray(ids)[: ends[-1] + 1][apart[: ends[-1] + 1]].tolist())
    assert between.replace("<think>", "").strip() == ""
    assert not apart[ends].any()
