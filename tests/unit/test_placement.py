"""The four conventions: golden rows, the builders of the originals written out again, and random rows.

The tokenizers are our own small ones with the originals' special tokens and habits (`like_models`); the originals'
code is that of the Qwen2.5-Math-PRM card, the Math-Shepherd card, the batched RLHFlow scorer of search-and-learn, and
TRL 1.13, whose answer on ten thousand rows is kept here as a digest (`bench/prm_ids.py` asks TRL itself).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from tests.unit.like_models import like_llama3, like_mistral, like_qwen
from tests.unit.rows_for_trl import ODD, digest_of, our_rows
from trainer.contract.records import InputRow, Votes
from trainer.contract.specs.prm import AfterError, NeutralPolicy
from trainer.contract.specs.setting import Convention
from trainer.data import CutCounts, label_rows, tokenise
from trainer.placement import GOOD, SYSTEM, Encoder, PlacementError, TurnEncoder, make_encoder

LONG = 100_000
PROBLEM, STEPS = "Ann has 3 apples.", ("3 + 4 = 7.", "So\n\n7 - 2 = 5.", "")
CASES = [
    (Convention.TRL, like_llama3),
    (Convention.TRL, like_qwen),
    (Convention.QWEN, like_qwen),
    (Convention.MATH_SHEPHERD, like_mistral),
    (Convention.RLHFLOW, like_llama3),
    (Convention.RLHFLOW, like_mistral),
]
ids_of_case = [f"{convention.value}-{tokenizer.__name__}" for convention, tokenizer in CASES]


# The tokens of (PROBLEM, STEPS) and, behind |, the places; read by eye against the originals' descriptions.
GOLDEN = {
    "TRL-like_llama3": (
        "<|begin_of_text|> Ann Ġhas Ġ 3 Ġapples . Ċ 3 Ġ+ Ġ 4 Ġ= Ġ 7 . Ċ So Ċ Ċ 7 Ġ- Ġ 2 Ġ= Ġ 5 . Ċ Ċ | 16 28 29"
    ),
    "TRL-like_qwen": ("Ann Ġhas Ġ 3 Ġapples . Ċ 3 Ġ+ Ġ 4 Ġ= Ġ 7 . Ċ So Ċ Ċ 7 Ġ- Ġ 2 Ġ= Ġ 5 . Ċ Ċ | 15 27 28"),
    "Qwen-like_qwen": (
        "<|im_start|> s ys t e m Ċ P l e as e Ġ re as o n Ġ s t ep Ġ b y Ġ s t ep , Ġand Ġ p u t Ġ y o u r Ġ "
        "f i n a l Ġanswer Ġ w i t h i n Ġ\\ boxed { } . <|im_end|> Ċ <|im_start|> u s er Ċ Ann Ġhas Ġ 3 "
        "Ġapples . <|im_end|> Ċ <|im_start|> as s is t an t Ċ 3 Ġ+ Ġ 4 Ġ= Ġ 7 . <extra_0> So Ċ Ċ 7 Ġ- Ġ 2 Ġ= "
        "Ġ 5 . <extra_0> <extra_0> | 89 101 102"
    ),
    "Math-Shepherd-like_mistral": (
        "<s> ▁Ann ▁has ▁3 ▁apples. ▁3 ▁+ ▁4 ▁= ▁7. ▁ки <0x0A> S o <0x0A> <0x0A> 7 ▁- ▁2 ▁= ▁5. ▁ки <0x0A> ▁ки "
        "| 10 21 23"
    ),
    "RLHFlow-like_llama3": (
        "<|begin_of_text|> <|start_header_id|> u s er <|end_header_id|> Ċ Ċ Ann Ġhas Ġ 3 Ġapples . Ġ 3 Ġ+ Ġ 4 "
        "Ġ= Ġ 7 . <|eot_id|> <|start_header_id|> as s is t an t <|end_header_id|> Ċ Ċ + <|eot_id|> "
        "<|start_header_id|> u s er <|end_header_id|> Ċ Ċ So Ċ Ċ 7 Ġ- Ġ 2 Ġ= Ġ 5 . <|eot_id|> "
        "<|start_header_id|> as s is t an t <|end_header_id|> Ċ Ċ + <|eot_id|> <|start_header_id|> u s er "
        "<|end_header_id|> Ċ Ċ <|eot_id|> <|start_header_id|> as s is t an t <|end_header_id|> Ċ Ċ | 33 64 84"
    ),
    "RLHFlow-like_mistral": (
        "<s> ▁ <0x5B> <0x49> <0x4E> S T <0x5D> ▁Ann ▁has ▁3 ▁apples. ▁3 ▁+ ▁4 ▁= ▁7. ▁ <0x5B> <0x2F> <0x49> "
        "<0x4E> S T <0x5D> ▁+ </s> ▁ <0x5B> <0x49> <0x4E> S T <0x5D> ▁So <0x0A> <0x0A> 7 ▁- ▁2 ▁= ▁5. ▁ "
        "<0x5B> <0x2F> <0x49> <0x4E> S T <0x5D> ▁+ </s> ▁ <0x5B> <0x49> <0x4E> S T <0x5D> ▁ ▁ <0x5B> <0x2F> "
        "<0x49> <0x4E> S T <0x5D> | 24 49 67"
    ),
}


@pytest.mark.parametrize(("convention", "tokenizer"), CASES, ids=ids_of_case)
def test_golden_rows(convention: Convention, tokenizer):
    encoded = make_encoder(convention, tokenizer(), LONG).encode(PROBLEM, STEPS)
    shown = " ".join(tokenizer().convert_ids_to_tokens(encoded.ids.tolist()))
    shown += " | " + " ".join(map(str, encoded.ends))
    assert shown == GOLDEN[f"{convention.value}-{tokenizer.__name__}"]


# -- the originals, written out again ---------------------------------------------------------------------------------


def qwen_card(tokenizer: PreTrainedTokenizerFast, problem: str, steps: Sequence[str]) -> tuple[list[int], list[int]]:
    """Model card of Qwen2.5-Math-PRM: scores where the ids are `<extra_0>`."""
    messages = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": problem},
        {"role": "assistant", "content": "<extra_0>".join(steps) + "<extra_0>"},
    ]
    ids = tokenizer.encode(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=False))
    tag = tokenizer.encode("<extra_0>")[0]
    return ids, [i for i, token in enumerate(ids) if token == tag]


def shepherd_card(
    tokenizer: PreTrainedTokenizerFast, problem: str, steps: Sequence[str]
) -> tuple[list[int], list[int]]:
    """Model card of Math-Shepherd: scores where the ids are the last of encode("ки"), unshifted."""
    ids = tokenizer.encode(f"{problem} " + "".join(f"{step} ки\n" for step in steps))
    tag = tokenizer.encode("ки")[-1]
    return ids, [i for i, token in enumerate(ids) if token == tag]


def rlhflow_batched(
    tokenizer: PreTrainedTokenizerFast, problem: str, steps: Sequence[str]
) -> tuple[list[int], list[int]]:
    """search-and-learn's batched RLHFlow scorer: a second dialogue says `¿` (one token) where the first says +."""
    said, masked = [], []
    for number, step in enumerate(steps):
        text = f"{problem} {step}" if number == 0 else step
        for dialogue, answer in ((said, "+"), (masked, "2")):
            dialogue += [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]
    ids, other = (
        tokenizer.encode(tokenizer.apply_chat_template(d, tokenize=False), add_special_tokens=False)
        for d in (said, masked)
    )
    assert len(ids) == len(other)
    return ids, [i - 1 for i, (a, b) in enumerate(zip(ids, other, strict=True)) if a != b]


ORIGINALS = {
    Convention.QWEN: qwen_card,
    Convention.MATH_SHEPHERD: shepherd_card,
    Convention.RLHFLOW: rlhflow_batched,
}


def plain_rows(seed: int, count: int) -> list[tuple[str, tuple[str, ...]]]:
    """Rows such as the originals can read: no tag within a step, no space at its ends."""
    draw = random.Random(seed)
    words = [
        "3 + 4 = 7.",
        "so",
        "x",
        "apples",
        "\\boxed{42}",
        "12",
        "é",
        "数学",
        "𝛼",
        "-",
        "+",
        "(a\nb)",
        "two\n\nlines",
    ]
    return [
        (
            " ".join(draw.choices(words, k=draw.randint(1, 8))),
            tuple(" ".join(draw.choices(words, k=draw.randint(1, 8))) for _ in range(draw.randint(1, 6))),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize(("convention", "tokenizer"), CASES[2:], ids=ids_of_case[2:])
def test_ids_and_places_are_those_of_the_originals(convention: Convention, tokenizer):
    encoder = make_encoder(convention, tokenizer(), LONG)
    for problem, steps in plain_rows(1, 300):
        ids, places = ORIGINALS[convention](tokenizer(), problem, steps)
        encoded = encoder.encode(problem, steps)
        assert encoded.ends.tolist() == places
        assert encoded.ids.tolist() == ids[: places[-1] + 1]  # what follows the last place is not read, nor written


def test_label_tokens_are_those_of_the_originals():
    shepherd = make_encoder(Convention.MATH_SHEPHERD, like_mistral(), LONG)
    good, bad = like_mistral().encode("+ -")[1:]  # the card's candidate tokens
    assert shepherd.label_ids == (bad, good)
    for tokenizer in (like_llama3(), like_mistral()):
        flow = make_encoder(Convention.RLHFLOW, tokenizer, LONG)
        assert flow.label_ids == (tokenizer.encode("-")[-1], tokenizer.encode("+")[-1])


# -- random rows ------------------------------------------------------------------------------------------------------


def odd_rows(seed: int, count: int) -> list[InputRow]:
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        steps = tuple("".join(draw.choices(ODD, k=draw.randint(0, 4))) for _ in range(draw.randint(1, 7)))
        votes = tuple(draw.choice([Votes(positive=1), Votes(negative=1), None]) for _ in steps)
        rows.append(
            InputRow(
                id=str(number),
                trace=str(number),
                segmentation=1,
                problem="".join(draw.choices([*ODD, "How many?"], k=draw.randint(0, 3))),
                steps=steps,
                step_ids=tuple(range(len(steps))),
                votes=votes,
            )
        )
    return rows


@pytest.mark.parametrize("longest", [LONG, 90])
@pytest.mark.parametrize(("convention", "tokenizer"), CASES, ids=ids_of_case)
def test_training_reads_what_scoring_reads_on_odd_rows(convention: Convention, tokenizer, longest: int):
    rows = odd_rows(2, 1000)
    encoder, again = (make_encoder(convention, tokenizer(), longest) for _ in range(2))
    counts = CutCounts()
    labelled = label_rows(rows, NeutralPolicy.POSITIVE, AfterError.KEEP).rows
    tokens = tokenise(labelled, encoder, counts)
    assert counts.rows_misplaced == 0
    assert len(tokens) + counts.rows_lost == len(labelled) > 700
    by_id = {row.id: row for row in rows}
    for token in tokens:
        row = by_id[token.row.id]
        scored = again.encode(row.problem, row.steps)
        assert np.array_equal(token.encoded.ids, scored.ids)
        assert np.array_equal(token.positions, scored.ends[token.ordinals])
        kept = [i for i, vote in enumerate(row.votes or ()) if vote is not None and i < scored.steps]
        assert token.ordinals.tolist() == kept
        assert [bool(t[1]) for t in token.targets] == [(row.votes or ())[i].positive == 1 for i in kept]
        assert len(scored.ids) <= longest
        assert (np.diff(scored.ends) > 0).all()
        if longest == LONG:
            assert scored.steps == len(row.steps)


@pytest.mark.parametrize(("convention", "tokenizer"), CASES, ids=ids_of_case)
def test_a_row_begins_like_its_prefixes(convention: Convention, tokenizer):
    """What a step's score reads does not depend on the steps behind it: prefixes of a search score the same."""
    encoder = make_encoder(convention, tokenizer(), LONG)
    for row in odd_rows(3, 150):
        whole = encoder.encode(row.problem, row.steps)
        for count in range(1, len(row.steps)):
            part = encoder.encode(row.problem, row.steps[:count])
            assert np.array_equal(part.ids, whole.ids[: whole.ends[count - 1] + 1])


def test_the_text_between_two_places_is_the_step():
    encoder = make_encoder(Convention.QWEN, like_qwen(), LONG)
    for row in odd_rows(4, 300):
        encoded = encoder.encode(row.problem, row.steps)
        begins = [0, *(encoded.ends[:-1] + 1)]
        texts = [
            like_qwen().decode(encoded.ids[a:b], clean_up_tokenization_spaces=False)
            for a, b in zip(begins, encoded.ends, strict=True)
        ]
        nfc = like_qwen().backend_tokenizer.normalizer.normalize_str
        assert texts[1:] == [nfc(step) for step in row.steps[1:]]
        assert texts[0].endswith(nfc(row.steps[0]))


# -- what does not fit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("convention", "tokenizer", "message"),
    [
        (Convention.QWEN, like_mistral, "'<extra_0>' is 9 tokens"),
        (Convention.QWEN, like_llama3, "'<extra_0>' is"),
        (Convention.MATH_SHEPHERD, like_qwen, "'ки' is 4 tokens"),
    ],
)
def test_a_tag_that_is_no_single_token_is_refused(convention: Convention, tokenizer, message: str):
    with pytest.raises(PlacementError, match=message):
        make_encoder(convention, tokenizer(), LONG)


def test_a_placeholder_of_the_model_can_stand_for_the_tag():
    encoder = make_encoder(Convention.QWEN, like_qwen(), LONG, placeholder="<|endoftext|>")
    encoded = encoder.encode(PROBLEM, STEPS)
    assert {int(encoded.ids[end]) for end in encoded.ends} == {like_qwen().convert_tokens_to_ids("<|endoftext|>")}
    assert encoder.marker == "<|endoftext|>"


def without(tokenizer: PreTrainedTokenizerFast, **changes: object) -> PreTrainedTokenizerFast:
    """A copy with other attributes."""
    copy = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer, bos_token=tokenizer.bos_token, unk_token=tokenizer.unk_token
    )
    for name, value in changes.items():
        setattr(copy, name, value)
    return copy


def test_no_template_an_odd_template_and_an_unknown_tag_are_refused():
    with pytest.raises(PlacementError, match="no chat template"):
        make_encoder(Convention.QWEN, without(like_qwen(), chat_template=None), LONG)
    twice = "{% for m in messages %}{{ m.content + m.content }}{% endfor %}"
    with pytest.raises(PlacementError, match="2 times, not once"):
        make_encoder(Convention.QWEN, without(like_qwen(), chat_template=twice), LONG)
    refusing = "{{ raise_exception('no system here') }}"
    with pytest.raises(PlacementError, match="refuses the turns"):
        make_encoder(Convention.RLHFLOW, without(like_llama3(), chat_template=refusing), LONG)
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1, "b": 2, "c": 3, "+": 4, "-": 5}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    unknowing = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>")
    with pytest.raises(PlacementError, match="'ки' is missing"):
        make_encoder(Convention.MATH_SHEPHERD, unknowing, LONG)


def test_a_slow_tokenizer_is_refused_where_places_must_be_known():
    class Slow:
        is_fast = False

    with pytest.raises(PlacementError, match="knows where its tokens stand"):
        make_encoder(Convention.MATH_SHEPHERD, Slow(), LONG)


def test_an_answer_in_the_template_does_not_mislead():
    """A step that says + or looks like a turn is text, and every answer written is the good one."""
    encoder: Encoder = TurnEncoder(like_llama3(), LONG)
    encoded = encoder.encode("+", ["+", "assistant\n\n+", "-"])
    assert encoded.steps == 3
    good = like_llama3().encode(GOOD, add_special_tokens=False)
    assert [encoded.ids[end + 1] for end in encoded.ends[:-1]] == good * 2


# -- TRL 1.13 ---------------------------------------------------------------------------------------------------------

TRL_DIGEST = "e10e9c0d91d0ec74cb30f4071d3f29f0fc6fd2b14f39d668f5683b9a58f55c73"


def test_ids_and_labels_are_those_of_trl_on_ten_thousand_rows():
    assert digest_of(our_rows(10_000)) == TRL_DIGEST
