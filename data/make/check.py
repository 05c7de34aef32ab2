"""Checks that the files of `data/builtin` fit together; every failure is one line."""

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from mirror_check import read_pairs
from transformers import AutoModel, AutoTokenizer

MODEL_BYTES = 8_000_000
CORPUS_BYTES = 1_000_000
CORPUS_LINES = range(6_000, 10_001)
PAIR_COUNT = range(1_000, 2_001)
MODEL_FILES = {
    "config.json",
    "model.safetensors",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
}
SAMPLE = "The quick brown fox, unlike a lazy dog, jumped over 7 fences in São Paulo."


def problems(folder: Path) -> Iterator[str]:
    """Everything that is wrong with a built-in folder, as sentences."""
    yield from text_problems(folder)
    missing = MODEL_FILES - {path.name for path in (folder / "model").iterdir()}
    if missing:
        yield f"model lacks {', '.join(sorted(missing))}"
    else:
        yield from model_problems(folder / "model")


def text_problems(folder: Path) -> Iterator[str]:
    corpus_text = (folder / "corpus.txt").read_text(encoding="utf-8")
    corpus, pairs = corpus_text.splitlines(), read_pairs(folder / "pairs.tsv")
    if len(corpus) not in CORPUS_LINES or len(corpus_text.encode()) > CORPUS_BYTES:
        yield f"corpus.txt has {len(corpus)} lines and {len(corpus_text.encode())} bytes"
    if len(set(corpus)) < len(corpus) or any(not line.strip() or line != line.strip() for line in corpus):
        yield "corpus.txt has repeated, blank or untrimmed lines"
    if len(pairs) not in PAIR_COUNT:
        yield f"pairs.tsv has {len(pairs)} pairs"
    if any(not 0.0 <= score <= 5.0 for score, _, _ in pairs):
        yield "pairs.tsv has scores outside 0 to 5"
    if len({score for score, _, _ in pairs}) < 100:
        yield "pairs.tsv has hardly any degrees"
    sentences = [sentence for _, *both in pairs for sentence in both]
    if len(set(sentences)) < len(sentences):
        yield "pairs.tsv has a sentence twice"
    shared = {line.lower() for line in corpus} & {sentence.lower() for sentence in sentences}
    if shared:
        yield f"corpus.txt and pairs.tsv share {len(shared)} sentences, such as {min(shared)!r}"


def model_problems(folder: Path) -> Iterator[str]:
    size = sum(path.stat().st_size for path in folder.iterdir())
    if size > MODEL_BYTES:
        yield f"model has {size} bytes"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    if [tokenizer.convert_ids_to_tokens(i) for i in range(len(tokenizer))] != vocabulary:
        yield "tokenizer.json and vocab.txt disagree"
    token_ids = tokenizer(SAMPLE)["input_ids"]
    if token_ids != tokenizer(SAMPLE.lower())["input_ids"] or token_ids[0] != tokenizer.cls_token_id:
        yield "the tokenizer does not lower-case, or adds no [CLS]"
    if tokenizer(f"a {tokenizer.mask_token} b")["input_ids"][2] != tokenizer.mask_token_id:
        yield "the tokenizer does not know its mask token in a sentence"
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if config["model_type"] != "bert" or config["vocab_size"] != len(vocabulary):
        yield "config.json is not a BERT's, or has another vocabulary size"
    model, report = AutoModel.from_pretrained(folder, add_pooling_layer=False, output_loading_info=True)
    if report["missing_keys"] or report["unexpected_keys"] or report["mismatched_keys"]:
        yield f"model.safetensors does not fit config.json: {report}"
    if not all(bool(torch.isfinite(value).all()) for value in model.state_dict().values()):
        yield "model.safetensors has weights that are not finite"
