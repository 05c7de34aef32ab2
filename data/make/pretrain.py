"""Pretrains a small BERT by masked language modelling and writes it as a Hugging Face folder, weights in f16."""

import json
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import BertWordPieceTokenizer
from torch.nn import functional
from transformers import BertConfig, BertForMaskedLM

import cooccurrence

SPECIAL_TOKENS = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
PAD, UNK, CLS, SEP, MASK = range(5)
VOCABULARY = 7_000
LAYERS, HIDDEN, HEAD = 4, 192, 32
MAX_TOKENS = 128
BATCH_TOKENS = 4_096
MASKED = 0.2
# How often a sequence takes up its neighbours until it is full: about one line in seven ends up in such a sequence.
JOINED = 0.0225
PEAK_LEARNING_RATE = 2e-3
WARMUP = 0.06


def train_tokenizer(lines: list[str]) -> BertWordPieceTokenizer:
    tokenizer = BertWordPieceTokenizer(lowercase=True)
    tokenizer.train_from_iterator(
        lines, vocab_size=VOCABULARY, min_frequency=2, limit_alphabet=120, special_tokens=list(SPECIAL_TOKENS.values()), show_progress=False
    )
    return tokenizer


def tokenize(tokenizer: BertWordPieceTokenizer, lines: list[str], rng: random.Random) -> list[list[int]]:
    """Token ids without [CLS] and [SEP]. Some neighbours are joined, so that late positions are trained as well."""
    sequences: list[list[int]] = []
    joining = False
    for encoding in tokenizer.encode_batch(lines, add_special_tokens=False):
        token_ids = encoding.ids[: MAX_TOKENS - 2]
        if joining and len(sequences[-1]) + len(token_ids) <= MAX_TOKENS - 2:
            sequences[-1].extend(token_ids)
        elif token_ids:
            joining = rng.random() < JOINED
            sequences.append(list(token_ids))
    return sequences


def batches(sequences: list[list[int]], rng: random.Random) -> Iterator[torch.Tensor]:
    """One epoch of [sentences, tokens] batches of about `BATCH_TOKENS` tokens, each of nearly equal lengths."""
    order = sorted(sequences, key=lambda ids: len(ids) + rng.random())
    chunks: list[list[list[int]]] = [[]]
    for ids in order:
        if (len(chunks[-1]) + 1) * (len(ids) + 2) > BATCH_TOKENS:
            chunks.append([])
        chunks[-1].append(ids)
    rng.shuffle(chunks)
    for chunk in chunks:
        width = len(chunk[-1]) + 2
        yield torch.tensor([[CLS, *ids, SEP] + [PAD] * (width - 2 - len(ids)) for ids in chunk])


def mask_tokens(token_ids: torch.Tensor, vocabulary: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the masked positions 80 % become [MASK], 10 % a random token, 10 % stay; returns inputs and positions."""
    chosen = (torch.rand(token_ids.shape) < MASKED) & (token_ids >= len(SPECIAL_TOKENS))
    how = torch.rand(token_ids.shape)
    inputs = token_ids.masked_fill(chosen & (how < 0.8), MASK)
    random_ids = torch.randint(len(SPECIAL_TOKENS), vocabulary, token_ids.shape)
    return torch.where(chosen & (how >= 0.9), random_ids, inputs), chosen


def masked_loss(model: BertForMaskedLM, token_ids: torch.Tensor) -> torch.Tensor:
    inputs, chosen = mask_tokens(token_ids, model.config.vocab_size)
    hidden_states = model.bert(input_ids=inputs, attention_mask=(token_ids != PAD).long()).last_hidden_state
    return functional.cross_entropy(model.cls(hidden_states[chosen]), token_ids[chosen])


def learning_rate(progress: float) -> float:
    """Linear warm-up, then half a cosine down to zero."""
    if progress < WARMUP:
        return PEAK_LEARNING_RATE * progress / WARMUP
    return PEAK_LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * (progress - WARMUP) / (1 - WARMUP)))


def new_model(sequences: list[list[int]], vocabulary: int) -> BertForMaskedLM:
    """Word embeddings start from co-occurrence and the output's bias from frequency; the rest is random."""
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HIDDEN // HEAD,
        intermediate_size=4 * HIDDEN,
        max_position_embeddings=MAX_TOKENS,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=PAD,
    )
    model = BertForMaskedLM(config)
    with torch.no_grad():
        words = cooccurrence.embeddings(sequences, vocabulary, HIDDEN, PAD)
        model.bert.embeddings.word_embeddings.weight.copy_(words)
        frequency = cooccurrence.token_counts(sequences, vocabulary) + 1
        model.cls.predictions.bias.copy_((frequency / frequency.sum()).log())
    return model


def pretrain(lines: list[str], folder: Path, epochs: int, seed: int) -> float:
    """Trains tokenizer and model on the lines, writes both; returns the loss on held-out lines."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    lines = lines[:]
    rng.shuffle(lines)
    tokenizer = train_tokenizer(lines)
    sequences = tokenize(tokenizer, lines, rng)
    held_out, sequences = sequences[:2_000], sequences[2_000:]
    model = new_model(sequences, tokenizer.get_vocab_size())
    # Dropout off: few epochs under-fit. The config that is written has the usual 0.1 for what is trained from it.
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, betas=(0.9, 0.98), weight_decay=0.01)
    total = epochs * sum(1 for _ in batches(sequences, random.Random(seed)))
    started, step, running = time.time(), 0, 0.0
    for _ in range(epochs):
        for token_ids in batches(sequences, rng):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(min(1.0, step / total))
            loss = masked_loss(model, token_ids)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step, running = step + 1, running + loss.item()
            if step % 100 == 0:
                print(f"step {step} of {total}: loss {running / 100:.3f}, {time.time() - started:.0f} s", flush=True)
                running = 0.0
    loss = evaluate(model, held_out)
    write_folder(model, tokenizer, folder)
    return loss


@torch.no_grad()
def evaluate(model: BertForMaskedLM, sequences: list[list[int]]) -> float:
    torch.manual_seed(0)
    losses = [masked_loss(model, token_ids).item() for token_ids in batches(sequences, random.Random(0))]
    return sum(losses) / len(losses)


def write_folder(model: BertForMaskedLM, tokenizer: BertWordPieceTokenizer, folder: Path) -> None:
    """The encoder without its head: what training a sentence encoder reads, and nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.to(torch.float16).contiguous() for name, value in model.bert.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = model.config.to_diff_dict() | {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "layer_norm_eps": 1e-12,
        "position_embedding_type": "absolute",
        "type_vocab_size": 2,
        "dtype": "float16",
    }
    write_json(folder / "config.json", config)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    tokenizer.save_model(str(folder))
    write_json(folder / "special_tokens_map.json", SPECIAL_TOKENS)
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": MAX_TOKENS}
    write_json(folder / "tokenizer_config.json", SPECIAL_TOKENS | settings)


def write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
