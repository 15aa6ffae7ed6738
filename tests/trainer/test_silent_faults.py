"""What other PRM trainers lose without a word is loud here: one real run for each fault."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.trainer.runs import ended, live_events, metrics, prm_run, score_run, story_rows
from tests.unit.like_models import like_llama3
from trainer.contract import events
from trainer.contract.events import Level
from trainer.contract.records import InputRow, Split, Votes
from trainer.contract.run_folder import RunFolder, read_records
from trainer.models.load import load_for_training
from trainer.models.prm import PrmSettings
from trainer.placement import StepEncoder
from trainer.recipes import prm, score
from trainer.runtime.worker import run_attempt

replace = msgspec.structs.replace
GOOD, BAD = Votes(positive=1.0), Votes(negative=1.0)


def train(folder: RunFolder) -> int:
    return run_attempt(folder.path, lambda _: prm.run)


def notices(folder: RunFolder) -> dict[str, events.Notice]:
    return {event.code: event for event in live_events(folder) if isinstance(event, events.Notice)}


def rows_with(odd: InputRow) -> list[InputRow]:
    """A few sound training rows and the odd one."""
    return [replace(row, split=Split.TRAIN) for row in story_rows(12)] + [replace(odd, id="odd", split=Split.TRAIN)]


def two_steps(*votes: Votes | None, steps: tuple[str, ...] = ("1 + 1 = 2.", "So 2.")) -> InputRow:
    return InputRow(
        id="odd",
        trace="odd",
        segmentation=1,
        problem="1 + 1?",
        steps=steps,
        step_ids=tuple(range(len(steps))),
        votes=votes,
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random causal model."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(like_llama3()),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=512,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    like_llama3().save_pretrained(folder)
    return folder


def test_minus_one_is_refused_by_name(model: Path, tmp_path: Path):
    """TRL: IndexError inside the loss, or label -1 learned."""
    folder = prm_run(tmp_path / "run", rows_with(two_steps(GOOD, Votes(negative=-1.0))), model=str(model), max_steps=2)
    assert train(folder) == 0
    said = notices(folder)["votes_do_not_fit"]
    assert said.level is Level.ERROR
    assert "odd (step 1 has the votes (-1.0, 0.0, 0.0), which are no weights)" in said.message


def test_none_teaches_nothing_and_is_counted(model: Path, tmp_path: Path):
    """TRL: TypeError on None for neutral."""
    folder = prm_run(tmp_path / "run", rows_with(two_steps(GOOD, None)), model=str(model), max_steps=2)
    assert train(folder) == 0
    others = [vote for row in rows_with(two_steps())[:-1] for vote in row.votes or ()]
    counts = notices(folder)["labels"].counts
    assert counts["steps_unrated"] == others.count(None) + 1
    assert counts["labels"] + sum(counts[name] for name in counts if name.startswith("steps_")) == counts["steps"]


def test_half_is_learned_as_half(model: Path, tmp_path: Path):
    """TRL: int(0.5) = 0, a wrong step."""
    row = replace(two_steps(Votes(negative=1.0, positive=1.0), Votes(negative=1.0, positive=3.0)), split=Split.TRAIN)
    folder = prm_run(tmp_path / "run", [row], model=str(model), max_steps=1)
    assert train(folder) == 0
    fresh = load_for_training(str(model), PrmSettings(2, max_length=256), (), seed=0, with_language_head=False)
    encoded = StepEncoder(like_llama3(), "\n", 256).encode(row.problem, row.steps)
    with torch.no_grad():
        logits = fresh.prm.model(torch.from_numpy(encoded.ids)[None]).logits[0, encoded.ends].double()
    logs = logits.log_softmax(-1).numpy()
    expected = -np.mean([0.5 * logs[0, 0] + 0.5 * logs[0, 1], 0.25 * logs[1, 0] + 0.75 * logs[1, 1]])
    assert metrics(folder, "train")[0][1]["loss"] == pytest.approx(expected, abs=1e-6)


def test_more_labels_than_steps_are_refused_by_name(model: Path, tmp_path: Path):
    """TRL: the label too many is dropped."""
    folder = prm_run(tmp_path / "run", rows_with(two_steps(GOOD, GOOD, BAD)), model=str(model), max_steps=2)
    assert train(folder) == 0
    assert "odd (3 votes for 2 steps)" in notices(folder)["votes_do_not_fit"].message
    assert notices(folder)["votes_do_not_fit"].level is Level.ERROR


def test_a_separator_inside_a_step_moves_no_label_and_is_told(model: Path, tmp_path: Path):
    """TRL: three separators for two labels; whoever reads each separator misreads the row."""
    odd = two_steps(GOOD, BAD, steps=("Step 1: a\nb.", "Step 2: c."))
    sound = [replace(row, steps=tuple(s.replace("\n", " ") for s in row.steps)) for row in rows_with(odd)[:-1]]
    folder = prm_run(tmp_path / "run", [*sound, replace(odd, split=Split.TRAIN)], model=str(model), max_steps=2)
    assert train(folder) == 0
    assert notices(folder)["separator_in_steps"].counts == {"steps": 1}
    scores = score_run(tmp_path / "score", folder.model, [odd])
    assert run_attempt(scores.path, lambda _: score.run) == 0
    (record,) = read_records(scores.records)[0]
    assert len(record.values) == 2
    ids, ends = [like_llama3().bos_token_id], []
    for text in ("1 + 1?", "\n", "Step 1: a\nb.", "\n", "Step 2: c.", "\n"):
        ids += like_llama3().encode(text, add_special_tokens=False)
        ends.append(len(ids) - 1)
    from trainer.models.load import load_prm

    prm_model = load_prm(str(folder.model)).prm
    with torch.no_grad():
        logits = prm_model.model(torch.tensor([ids])).logits[0, [ends[3], ends[5]]] / prm_model.settings.temperature
    assert record.values == pytest.approx(logits.softmax(-1)[:, 1].tolist(), abs=1e-6)


def test_labels_cut_by_length_are_counted_exactly(model: Path, tmp_path: Path):
    """TRL: 0 of 8 labels kept without a word."""
    steps = tuple(f"Step {i}: 1+{i}={i + 1}." for i in range(8))
    rows = [replace(two_steps(*[GOOD] * 7, BAD, steps=steps), id=str(i), split=Split.TRAIN) for i in range(6)]
    ends = StepEncoder(like_llama3(), "\n", 10_000).encode(rows[0].problem, steps).ends
    folder = prm_run(tmp_path / "run", rows, model=str(model), max_steps=1, max_length=int(ends[2]) + 1)
    assert train(folder) == 0
    said = notices(folder)["labels_cut"]
    assert said.level is Level.WARNING
    assert (said.counts["rows_cut"], said.counts["labels_lost"], said.counts["rows_lost"]) == (6, 6 * 5, 0)
    assert "raise max_length" in said.message


def test_a_batch_without_a_label_never_comes_to_be(model: Path, tmp_path: Path):
    """TRL: logs loss 0.0 where the true loss is NaN."""
    long = two_steps(GOOD, steps=("word " * 60,))
    short = two_steps(GOOD, BAD)
    rows = [replace(long if i % 2 else short, id=str(i), split=Split.TRAIN) for i in range(16)]
    folder = prm_run(tmp_path / "some", rows, model=str(model), max_steps=8, batch_size=1, max_length=60)
    assert train(folder) == 0
    assert notices(folder)["labels_cut"].counts["rows_lost"] == 8
    losses = [values["loss"] for _, values in metrics(folder, "train")]
    assert len(losses) == 8
    assert all(loss > 0 for loss in losses)
    none = prm_run(tmp_path / "none", [row for row in rows if row.steps == long.steps], model=str(model), max_length=60)
    assert train(none) == 1
    assert ended(none).message == "no label lies within 60 tokens; raise max_length"
    assert metrics(none, "train") == []


def test_nan_is_told_and_never_logged_as_a_loss(model: Path, tmp_path: Path):
    """TRL: logging_nan_inf_filter shows 0.0."""
    broken = tmp_path / "broken"
    causal = LlamaForCausalLM.from_pretrained(model)
    with torch.no_grad():
        causal.model.norm.weight[0] = float("nan")
    causal.save_pretrained(broken)
    like_llama3().save_pretrained(broken)
    folder = prm_run(tmp_path / "run", rows_with(two_steps(GOOD, BAD)), model=str(broken), max_steps=9)
    assert train(folder) == 1
    assert "3 steps in a row gave no finite loss" in ended(folder).message
    assert notices(folder)["not_finite"].level is Level.ERROR
    assert all("loss" not in values for _, values in metrics(folder, "train"))


def test_labels_on_one_side_are_told(model: Path, tmp_path: Path):
    rows = [replace(two_steps(GOOD, GOOD), id=str(i), split=Split.TRAIN) for i in range(4)]
    folder = prm_run(tmp_path / "run", rows, model=str(model), max_steps=1)
    assert train(folder) == 0
    assert "negative 0 (0.0%), positive 8 (100.0%)" in notices(folder)["class_balance"].message
    assert notices(folder)["one_class"].level is Level.WARNING


def test_a_row_that_the_convention_cannot_place_is_named(tmp_path: Path):
    """A tag that melts into a step's text is refused for that row alone, in training and in scoring."""
    from tokenizers import normalizers
    from transformers import PreTrainedTokenizerFast

    from tests.unit.like_models import like_mistral

    backend = type(like_mistral().backend_tokenizer).from_str(like_mistral().backend_tokenizer.to_str())
    given = [normalizers.Replace("x ки", "xки"), *backend.normalizer]
    backend.normalizer = normalizers.Sequence(given)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    odd = two_steps(GOOD, BAD, steps=("1 x", "2 x"))
    rows = rows_with(odd)
    folder = prm_run(
        tmp_path / "run", rows, model=str(tmp_path / "model"), convention="Math-Shepherd", max_steps=1, max_length=512
    )
    assert train(folder) == 0
    said = notices(folder)["steps_misplaced"]
    assert said.level is Level.ERROR
    assert "odd ('ки' behind a step became the tokens" in said.message
    scores = score_run(tmp_path / "score", folder.model, [odd, rows[0]])
    assert run_attempt(scores.path, lambda _: score.run) == 0
    values = {record.row: record.values for record in read_records(scores.records)[0]}
    assert values["odd"] == (None, None)
    assert None not in values[rows[0].id]
    assert "row odd gets no score" in notices(scores)["steps_misplaced"].message
