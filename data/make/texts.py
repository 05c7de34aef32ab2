"""The texts: a corpus of distinct sentences, scored pairs that share no sentence with it, and the pretraining lines."""

import random
from collections.abc import Iterable
from pathlib import Path

from wordnet import Similarity, Synset, WordNet

PAIRS = {"noun": 1200, "verb": 400}
CORPUS_LINES = 10_000
SIMILARITY_BINS = 10
DEFINITION_WORDS = range(4, 19)
CORPUS_CHARACTERS = range(24, 121)


def similar_pairs(wordnet: WordNet, pos: str, wanted: int, rng: random.Random) -> list[tuple[float, Synset, Synset]]:
    """Draws as many pairs from each tenth of the similarity's range, so that every degree of relatedness occurs.

    A synset appears in one pair only, and has been tagged at least once in text, which leaves out most of the rare taxa.
    """
    similarity = Similarity(wordnet, pos)
    usable = [s for s in wordnet.of(pos) if s.count > 0 and s.hypernyms and len(s.definition.split()) in DEFINITION_WORDS]
    below: dict[str, list[Synset]] = {}
    for synset in usable:
        for ancestor in similarity.ancestors[synset.offset]:
            below.setdefault(ancestor, []).append(synset)
    bins: list[list] = [[] for _ in range(SIMILARITY_BINS)]
    used: set[str] = set()
    for _ in range(60 * wanted):
        # A random ancestor of the first, then a random descendant of that: near and far pairs both come often.
        first = rng.choice(usable)
        second = rng.choice(below[rng.choice(sorted(similarity.ancestors[first.offset]))])
        texts = {first.definition, second.definition}
        if len(texts) < 2 or texts & used:
            continue
        score = (similarity.lin(first.offset, second.offset) + similarity.wu_palmer(first.offset, second.offset)) / 2
        chosen = bins[min(int(score * SIMILARITY_BINS), SIMILARITY_BINS - 1)]
        if len(chosen) < wanted // SIMILARITY_BINS:
            chosen.append((score, first, second))
            used |= texts
    return [pair for chosen in bins for pair in chosen]


def write_pairs(wordnet: WordNet, path: Path, rng: random.Random) -> set[str]:
    """Writes `score<TAB>definition<TAB>definition`, scores from 0 to 5; returns the sentences it used."""
    pairs = [pair for pos, wanted in PAIRS.items() for pair in similar_pairs(wordnet, pos, wanted, rng)]
    rng.shuffle(pairs)
    lines = [f"{5 * score:.2f}\t{first.definition}\t{second.definition}\n" for score, first, second in pairs]
    path.write_text("".join(lines), encoding="utf-8")
    return {synset.definition for _, first, second in pairs for synset in (first, second)}


def write_corpus(wordnet: WordNet, path: Path, held_out: set[str], rng: random.Random) -> None:
    """Writes one definition or example sentence for each of `CORPUS_LINES` synsets, none of them of a pair."""
    synsets = [synset for synset in wordnet.synsets.values() if synset.definition not in held_out]
    rng.shuffle(synsets)
    lines: dict[str, None] = {}
    for synset in synsets:
        # Examples are natural sentences, and rarer than definitions, so they are taken where there are any.
        text = rng.choice(synset.examples or [synset.definition])
        if len(text) in CORPUS_CHARACTERS and text not in held_out and text.isprintable():
            lines.setdefault(text)
        if len(lines) == CORPUS_LINES:
            break
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def pretraining_lines(wordnet: WordNet, general: Path | None, held_out: set[str]) -> list[str]:
    """All of WordNet's definitions and examples, and the lines of a text file, without what the pairs hold."""
    lines = dict.fromkeys(_wordnet_lines(wordnet))
    if general is not None:
        lines.update(dict.fromkeys(general.read_text(encoding="utf-8").splitlines()))
    # A line of a general text may quote a definition behind its headword ("word: definition.").
    return [line for line in lines if line and not ({line, line.partition(": ")[2].rstrip(".")} & held_out)]


def _wordnet_lines(wordnet: WordNet) -> Iterable[str]:
    for synset in wordnet.synsets.values():
        yield f"{synset.words[0]}: {synset.definition}."
        yield from synset.examples
