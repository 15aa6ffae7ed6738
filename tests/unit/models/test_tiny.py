"""The tiny model: size, determinism, a tokenizer that knows no unknown text."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from trainer.models.tiny import TinyModel, make_tiny, make_tokenizer
from trainer.reasoning.stories import make_stories


def _texts(count: int = 300) -> list[str]:
    return [text for story in make_stories(count, seed=3) for text in (story.problem, "\n".join(story.steps))]


@pytest.fixture(scope="module")
def tiny() -> TinyModel:
    return make_tiny(_texts(), 5)


def test_it_has_about_0_4_million_parameters(tiny: TinyModel) -> None:
    assert 300_000 < sum(weight.numel() for weight in tiny.model.parameters()) < 500_000


def test_same_texts_and_seed_give_the_same_model_and_leave_the_generator_alone(tiny: TinyModel) -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    again, other = make_tiny(_texts(), 5), make_tiny(_texts(), 6)
    assert torch.equal(torch.rand(3), expected)
    assert again.tokenizer.get_vocab() == tiny.tokenizer.get_vocab()
    for one, two in zip(tiny.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, two)
    assert not torch.equal(other.model.model.embed_tokens.weight, tiny.model.model.embed_tokens.weight)


def test_numbers_and_words_of_the_stories_are_single_tokens(tiny: TinyModel) -> None:
    pieces = tiny.tokenizer.convert_ids_to_tokens(tiny.tokenizer.encode("10 + 2 = 12", add_special_tokens=False))
    assert pieces == ["10", "Ġ+Ġ", "2", "Ġ=Ġ", "12"]
    sentence = tiny.tokenizer.encode("Start with 7. Double it.", add_special_tokens=False)
    assert tiny.tokenizer.convert_ids_to_tokens(sentence) == ["StartĠ", "withĠ", "7", ".Ġ", "DoubleĠ", "it", "."]


@pytest.mark.parametrize(
    "text",
    [
        r"Let $x=\frac{1}{2}$, so \[ x^2 = \boxed{\tfrac14} \].",
        "  leading, trailing \n\n\t tabs and　wide spaces  ",
        "Ünïcödé, 漢字, 🙂‍↔️, ½, \u0301 combining, \x00\x07 control",
        "<s> </s> text that looks like the marks",
        "",
    ],
)
def test_any_text_comes_back_without_unknown_tokens(tiny: TinyModel, text: str) -> None:
    ids = tiny.tokenizer.encode(text, add_special_tokens=False)
    assert tiny.tokenizer.unk_token_id is None
    assert all(0 <= token < len(tiny.tokenizer) for token in ids)
    assert tiny.tokenizer.decode(ids) == text


def test_no_texts_at_all_still_make_a_tokenizer() -> None:
    tokenizer = make_tokenizer([])
    assert tokenizer.decode(tokenizer.encode("né 12", add_special_tokens=False)) == "né 12"


def test_a_plain_folder_gives_the_same_model_and_tokenizer(tiny: TinyModel, tmp_path: Path) -> None:
    tiny.model.save_pretrained(tmp_path)
    tiny.tokenizer.save_pretrained(tmp_path)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    text = "Start with 7. Add 5.\n7 + 5 = 12"
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    assert ids.tolist() == tiny.tokenizer(text, return_tensors="pt")["input_ids"].tolist()
    with torch.no_grad():
        assert torch.equal(model(ids).logits, tiny.model.eval()(ids).logits)


def test_later_text_changes_no_earlier_state(tiny: TinyModel) -> None:
    ids = torch.arange(40)[None] + 50
    with torch.no_grad():
        whole, part = (tiny.model.eval().model(x).last_hidden_state for x in (ids, ids[:, :25]))
    assert torch.allclose(whole[:, :25], part, atol=1e-5)
