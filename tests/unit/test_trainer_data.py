"""Labels, ids and batches: every policy by a table, positions by hand, and nothing lost without being counted."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from trainer.contract.records import InputRow, Split, Votes
from trainer.contract.spec import AfterError, NeutralPolicy
from trainer.data import (
    CutCounts,
    class_weights,
    first_error_of,
    label_rows,
    plan_epoch,
    split_by_tokens,
    target_of,
    tokenise,
)
from trainer.placement import StepEncoder

replace = msgspec.structs.replace
NEGATIVE, NEUTRAL, POSITIVE = Votes(negative=1.0), Votes(neutral=1.0), Votes(positive=1.0)
SOFT = Votes(negative=1.0, neutral=1.0, positive=2.0)


class Letters:
    """A tokenizer of one token a character, with a begin token."""

    bos_token_id: int | None = 1

    def __call__(self, texts: list[str], **_: object) -> dict[str, list[list[int]]]:
        return {"input_ids": [[ord(letter) for letter in text] for text in texts]}


def row(votes: tuple[Votes | None, ...] | None, *, name: str = "a", steps: int | None = None) -> InputRow:
    count = steps if steps is not None else len(votes or ())
    return InputRow(
        id=name,
        trace=name,
        segmentation=1,
        problem="P",
        steps=tuple(f"step{i}" for i in range(count)),
        step_ids=tuple(range(count)),
        votes=votes,
    )


@pytest.mark.parametrize(
    ("policy", "negative", "neutral", "positive", "soft"),
    [
        (NeutralPolicy.POSITIVE, (1, 0), (0, 1), (0, 1), (0.25, 0.75)),
        (NeutralPolicy.NEGATIVE, (1, 0), (1, 0), (0, 1), (0.5, 0.5)),
        (NeutralPolicy.IGNORE, (1, 0), None, (0, 1), (1 / 3, 2 / 3)),
        (NeutralPolicy.SOFT, (1, 0), (0.5, 0.5), (0, 1), (0.375, 0.625)),
        (NeutralPolicy.THREE_CLASSES, (1, 0, 0), (0, 1, 0), (0, 0, 1), (0.25, 0.25, 0.5)),
    ],
)
def test_what_a_rating_teaches(policy, negative, neutral, positive, soft):
    for votes, expected in ((NEGATIVE, negative), (NEUTRAL, neutral), (POSITIVE, positive), (SOFT, soft)):
        found = target_of(votes, policy)
        assert (found is None) == (expected is None)
        assert found is None or found == pytest.approx(expected)
    assert target_of(None, policy) is None
    assert target_of(Votes(), policy) is None


def test_first_error():
    assert first_error_of([POSITIVE, NEUTRAL, NEGATIVE, NEGATIVE]) == 2
    assert first_error_of([POSITIVE, NEUTRAL]) == -1
    assert first_error_of([POSITIVE, None]) is None
    assert first_error_of([Votes(negative=1, positive=1)]) == -1  # a tie is no error
    assert first_error_of([]) is None


def test_steps_after_the_first_negative_are_masked_and_counted():
    given = [row((POSITIVE, NEGATIVE, POSITIVE, None))]
    masked = label_rows(given, NeutralPolicy.POSITIVE, AfterError.MASK)
    kept = label_rows(given, NeutralPolicy.POSITIVE, AfterError.KEEP)
    assert masked.rows[0].labels == 2
    assert kept.rows[0].labels == 3
    assert (masked.counts.steps_after_error, masked.counts.steps_unrated, masked.counts.labels) == (1, 1, 2)
    assert masked.rows[0].rated.tolist() == [True, True, True, False]


def test_every_step_is_counted_once():
    draw = np.random.default_rng(0)
    kinds = (NEGATIVE, NEUTRAL, POSITIVE, None)
    given = [row(tuple(kinds[k] for k in draw.integers(0, 4, size=6)), name=str(i)) for i in range(200)]
    counts = label_rows(given, NeutralPolicy.IGNORE, AfterError.MASK).counts
    assert counts.steps == 1200
    assert counts.labels + counts.steps_unrated + counts.steps_after_error + counts.steps_neutral_ignored == 1200
    assert min(counts.labels, counts.steps_unrated, counts.steps_after_error, counts.steps_neutral_ignored) > 0


def test_rows_that_cannot_teach_are_named():
    given = [
        row((POSITIVE, POSITIVE, NEGATIVE), name="too many votes", steps=2),
        row((NEUTRAL,), name="only neutral"),
        row(None, name="unrated", steps=2),
        row((POSITIVE,), name="good"),
    ]
    labelled = label_rows(given, NeutralPolicy.IGNORE, AfterError.MASK)
    assert [r.id for r in labelled.rows] == ["good"]
    assert labelled.refused["too many votes"] == "3 votes for 2 steps"
    assert set(labelled.refused) == {"too many votes", "only neutral", "unrated"}
    assert (labelled.counts.rows, labelled.counts.rows_bad_votes, labelled.counts.rows_without_label) == (4, 1, 2)


def test_positions_are_the_last_token_of_each_separator_even_with_separators_inside_steps():
    encoder = StepEncoder(Letters(), "\n\n", 1000)
    encoded = encoder.encode("Q\n", ["a\n\nb", "", "c"])
    text = "Q\n" + "a\n\nb\n\n" + "\n\n" + "c\n\n"
    assert encoded.ids.tolist() == [1, *map(ord, text)]
    ends = [len("Q\na\n\nb\n\n"), len("Q\na\n\nb\n\n\n\n"), len(text)]  # counted with the begin token
    assert encoded.ends.tolist() == ends


def test_a_separator_without_tokens_is_refused():
    with pytest.raises(ValueError, match="has no token"):
        StepEncoder(Letters(), "", 10)


def test_labels_lost_to_the_cut_are_counted():
    rows = label_rows([row((POSITIVE,) * 4, name=str(i)) for i in range(3)], NeutralPolicy.POSITIVE, AfterError.MASK)
    # [bos] P \n and 6 tokens a step: ends at 8, 14, 20, 26 (7 characters of which the last is the separator)
    ends = StepEncoder(Letters(), "\n", 10_000).encode("P\n", rows.rows[0].steps).ends.tolist()
    for length, kept in ((ends[1] + 1, 2), (ends[1], 1), (ends[0], 0)):
        counts = CutCounts()
        tokens = tokenise(rows.rows, StepEncoder(Letters(), "\n", length), counts)
        assert counts.labels_lost == 3 * (4 - kept)
        assert counts.rows_cut == 3
        assert counts.rows_lost == (0 if kept else 3)
        assert [len(t.positions) for t in tokens] == ([kept] * 3 if kept else [])
        assert all(t.length <= length for t in tokens)


def test_the_problem_stands_on_a_line_of_its_own():
    encoder = StepEncoder(Letters(), "\n", 100)
    assert encoder.encode("What?", ["a"]).ids.tolist() == encoder.encode("What?\n", ["a"]).ids.tolist()
    verbatim = StepEncoder(Letters(), "\n", 100, "").encode("What?", ["a"])
    assert verbatim.ids.tolist() == [1, *map(ord, "What?a\n")]


@pytest.mark.parametrize(
    ("repairs", "votes", "taught"),
    [
        ((None, None, None, 1, None), (POSITIVE, NEGATIVE, NEGATIVE, POSITIVE, POSITIVE), [0, 1, 3, 4]),
        ((None, None, None, None, None), (POSITIVE, NEGATIVE, NEGATIVE, POSITIVE, POSITIVE), [0, 1]),
        ((), (POSITIVE, NEGATIVE, NEGATIVE, POSITIVE, POSITIVE), [0, 1]),
        # a repair of the later error alone leaves the first one open
        ((None, None, None, 2, None), (POSITIVE, NEGATIVE, NEGATIVE, POSITIVE, POSITIVE), [0, 1, 3]),
        # a repair that is wrong itself teaches so, and opens an error of its own
        ((None, None, None, 1, None), (POSITIVE, NEGATIVE, NEGATIVE, NEGATIVE, POSITIVE), [0, 1, 3]),
        ((None, None, None, 1, 3), (POSITIVE, NEGATIVE, POSITIVE, NEGATIVE, POSITIVE), [0, 1, 3, 4]),
    ],
)
def test_repairs_teach_and_end_the_mask(repairs, votes, taught):
    given = replace(row(votes), repairs=repairs)
    found = label_rows([given], NeutralPolicy.POSITIVE, AfterError.REPAIRS)
    assert np.flatnonzero(~np.isnan(found.rows[0].targets[:, 0])).tolist() == taught
    assert found.counts.repairs == sum(r is not None for r in repairs)
    assert found.counts.labels + found.counts.steps_after_error == 5
    assert label_rows([given], NeutralPolicy.POSITIVE, AfterError.MASK).counts.labels == 2
    assert label_rows([given], NeutralPolicy.POSITIVE, AfterError.KEEP).counts.labels == 5


def test_a_row_teaches_only_from_where_it_is_its_own():
    given = replace(row((POSITIVE, POSITIVE, NEGATIVE)), labelled_from=2)
    found = label_rows([given], NeutralPolicy.POSITIVE, AfterError.MASK)
    assert found.rows[0].correct.tolist()[2:] == [0.0]
    assert (found.rows[0].labels, found.counts.steps_taught_elsewhere) == (1, 2)


def test_the_balance_counts_soft_labels_in_parts_and_weights_level_it():
    given = [row((POSITIVE, POSITIVE, SOFT, NEGATIVE)), row((POSITIVE, None), name="b")]
    balance = label_rows(given, NeutralPolicy.POSITIVE, AfterError.KEEP).balance(Split.TRAIN)
    assert balance == pytest.approx([1.25, 3.75])
    weights = class_weights(balance)
    assert weights * balance == pytest.approx([2.5, 2.5])  # each class weighs the same, all labels as many as before
    assert class_weights(np.array([0.0, 4.0])) == pytest.approx([1.0, 1.0])
    three = class_weights(np.array([1.0, 0.0, 3.0]))
    assert three == pytest.approx([2.0, 1.0, 2 / 3])


def test_a_plan_holds_every_row_once_and_repeats_itself():
    lengths = np.random.default_rng(1).integers(5, 400, size=1000).tolist()
    first, again, other = (plan_epoch(lengths, 8, seed, epoch) for seed, epoch in ((3, 0), (3, 0), (3, 1)))
    assert sorted(np.concatenate(first).tolist()) == list(range(1000))
    assert [b.tolist() for b in first] == [b.tolist() for b in again]
    assert [b.tolist() for b in first] != [b.tolist() for b in other]

    def padded(batches: list[np.ndarray]) -> int:
        return sum(len(b) * max(lengths[i] for i in b) for b in batches)

    shuffled = np.random.default_rng(2).permutation(1000)
    at_random = [shuffled[i : i + 8] for i in range(0, 1000, 8)]
    assert padded(first) < 1.15 * sum(lengths) < padded(at_random)


def test_groups_stay_within_the_budget():
    lengths = [3, 50, 7, 7, 120, 1]
    groups = split_by_tokens(lengths, 60)
    assert sorted(i for group in groups for i in group) == list(range(6))
    assert all(len(group) == 1 or len(group) * max(lengths[i] for i in group) <= 60 for group in groups)


def test_splits_are_kept():
    given = [
        InputRow(**{**{f: getattr(row((POSITIVE,)), f) for f in InputRow.__struct_fields__}, "split": s}) for s in Split
    ]
    labelled = label_rows(given, NeutralPolicy.POSITIVE, AfterError.MASK)
    assert all(len(labelled.of(split)) == 1 for split in Split)
