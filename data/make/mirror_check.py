"""Mirror-BERT in plain PyTorch with the program's default settings: does the built-in model learn from the corpus?

An independent check of the files, not of the program: it shares no code with it.
"""

import random
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from scipy.stats import spearmanr
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer

CHUNK = 50
SPAN = 5
SHORTEST_MASKED = 30


@dataclass
class Settings:
    learning_rate: float = 2e-5
    temperature: float = 0.04
    batch_size: int = 200
    max_length: int = 50
    epochs: int = 1
    weight_decay: float = 0.01
    seed: int = 42


class SentenceEncoder:
    """A checkpoint's last hidden state, averaged over the attention mask."""

    def __init__(self, folder: Path, max_length: int):
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModel.from_pretrained(folder, add_pooling_layer=False).float()
        self.max_length = max_length

    def embed(self, sentences: list[str]) -> torch.Tensor:
        """[sentences, hidden]. Sentences of like length go together, which spares most of the padding."""
        order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
        chunks = [order[start : start + CHUNK] for start in range(0, len(order), CHUNK)]
        embeddings = torch.cat([self._embed_padded([sentences[i] for i in chunk]) for chunk in chunks])
        return embeddings[torch.tensor(order).argsort()]

    def _embed_padded(self, sentences: list[str]) -> torch.Tensor:
        inputs = self.tokenizer(sentences, padding=True, truncation=True, max_length=self.max_length, return_tensors="pt")
        hidden_states = self.model(**inputs).last_hidden_state
        weights = inputs["attention_mask"].unsqueeze(-1).float()
        return (hidden_states * weights).sum(1) / weights.sum(1)

    @torch.no_grad()
    def score(self, pairs: list[tuple[float, str, str]]) -> float:
        """Spearman × 100 of the cosine similarity with the gold scores."""
        self.model.eval()
        sides = [self.embed([pair[column] for pair in pairs]) for column in (1, 2)]
        cosine = functional.cosine_similarity(*sides)
        return 100 * spearmanr(cosine.numpy(), [pair[0] for pair in pairs]).statistic


def read_pairs(path: Path) -> list[tuple[float, str, str]]:
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    return [(float(score), first, second) for score, first, second in rows]


def mask_span(sentence: str, rng: random.Random) -> str:
    if len(sentence) < SHORTEST_MASKED:
        return sentence
    start = rng.randrange(len(sentence) - SPAN + 1)
    return f"{sentence[:start]} [MASK] {sentence[start + SPAN :]}"


def nt_xent(embeddings: torch.Tensor, temperature: float) -> torch.Tensor:
    """NT-Xent of 2N embeddings, the i-th and the (N + i)-th being views of one sentence."""
    normalised = functional.normalize(embeddings, dim=-1)
    similarities = normalised @ normalised.T / temperature
    similarities.fill_diagonal_(float("-inf"))
    count = len(embeddings) // 2
    return functional.cross_entropy(similarities, torch.arange(2 * count).roll(count))


def train(encoder: SentenceEncoder, corpus: list[str], settings: Settings) -> list[float]:
    rng = random.Random(settings.seed)
    torch.manual_seed(settings.seed)
    optimizer = torch.optim.AdamW(
        encoder.model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    encoder.model.train()
    losses = []
    for _ in range(settings.epochs):
        order = rng.sample(corpus, len(corpus))
        for start in range(0, len(order) - settings.batch_size + 1, settings.batch_size):
            batch = order[start : start + settings.batch_size]
            embeddings = encoder.embed(batch + [mask_span(sentence, rng) for sentence in batch])
            loss = nt_xent(embeddings, settings.temperature)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


def before_and_after(folder: Path, settings: Settings) -> tuple[float, float]:
    """Scores of `folder/model` on `folder/pairs.tsv` before and after one training run on `folder/corpus.txt`."""
    corpus = (folder / "corpus.txt").read_text(encoding="utf-8").splitlines()
    pairs = read_pairs(folder / "pairs.tsv")
    encoder = SentenceEncoder(folder / "model", settings.max_length)
    before = encoder.score(pairs)
    started = time.time()
    losses = train(encoder, corpus, settings)
    after = encoder.score(pairs)
    print(
        f"{settings}: Spearman {before:.2f} before, {after:.2f} after; loss {losses[0]:.3f} to {losses[-1]:.3f}; "
        f"{time.time() - started:.0f} s",
        flush=True,
    )
    return before, after
