"""A small Llama from scratch with a tokenizer made from the rows' own texts: trains on two cores, needs no download."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

# Numbers, words with the space behind them, signs with both spaces: a number is one token wherever it stands.
_PIECES = r"\p{N}+|\p{L}+ ?| ?[^\s\p{L}\p{N}]+ ?|\s+"
_BEGIN, _END, _PAD = "<s>", "</s>", "<pad>"


@dataclass(frozen=True, slots=True)
class TinyModel:
    """A causal language model with fresh weights and its tokenizer."""

    model: LlamaForCausalLM
    tokenizer: PreTrainedTokenizerFast


def make_tiny(
    texts: Iterable[str],
    seed: int,
    *,
    hidden: int = 96,
    layers: int = 3,
    heads: int = 8,
    vocabulary: int = 2048,
    longest: int = 4096,
) -> TinyModel:
    """The same model and tokenizer for the same texts and seed, about 0.4 M parameters; torch's generator stays."""
    tokenizer = make_tokenizer(texts, vocabulary=vocabulary, longest=longest)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=hidden * 8 // 3,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=longest,
        tie_word_embeddings=True,
        initializer_range=hidden**-0.5,  # unit gain: learns the stories in two thirds of the steps that 0.02 takes
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    return TinyModel(model, tokenizer)


def make_tokenizer(texts: Iterable[str], *, vocabulary: int = 2048, longest: int = 4096) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer: frequent words and numbers are one token, anything else falls back to its bytes.

    No text has an unknown token, and decoding gives the text back.
    """
    tokenizer = Tokenizer(models.BPE())
    pieces = pre_tokenizers.Split(Regex(_PIECES), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pieces, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=[_PAD, _BEGIN, _END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=_BEGIN,
        eos_token=_END,
        pad_token=_PAD,
        model_max_length=longest,
        clean_up_tokenization_spaces=False,
    )
