"""WordNet's database files (wndb(5WN)) as synsets, and two graded similarities between them."""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

PARTS_OF_SPEECH = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}
QUOTED = re.compile(r'"([^"]+)"')


@dataclass
class Synset:
    pos: str
    offset: str
    words: list[str]
    definition: str
    examples: list[str]
    hypernyms: list[str]
    count: int = 0
    hyponyms: list[str] = field(default_factory=list)


class WordNet:
    """All synsets of one dictionary folder, keyed by (part of speech, offset)."""

    def __init__(self, folder: Path):
        self.synsets: dict[tuple[str, str], Synset] = {}
        senses: dict[tuple, Synset] = {}
        for pos in PARTS_OF_SPEECH:
            for line in (folder / f"data.{pos}").read_text(encoding="utf-8").splitlines():
                if not line.startswith("  "):
                    self._read_line(pos, line, senses)
        for (pos, _), synset in list(self.synsets.items()):
            for hypernym in synset.hypernyms:
                self.synsets[pos, hypernym].hyponyms.append(synset.offset)
        self._read_counts(folder / "cntlist.rev", senses)

    def of(self, pos: str) -> list[Synset]:
        return [synset for (part, _), synset in self.synsets.items() if part == pos]

    def _read_line(self, pos: str, line: str, senses: dict) -> None:
        head, _, gloss = line.partition("|")
        fields = head.split()
        offset, lex_filenum, word_count = fields[0], int(fields[1]), int(fields[3], 16)
        words, lex_ids = fields[4 : 4 + 2 * word_count : 2], fields[5 : 5 + 2 * word_count : 2]
        pointers = fields[5 + 2 * word_count :]
        hypernyms = [
            pointers[i + 1]
            for i in range(0, 4 * int(fields[4 + 2 * word_count]), 4)
            if pointers[i] in ("@", "@i") and pointers[i + 2] == fields[2]
        ]
        definition, examples = split_gloss(gloss)
        names = [re.sub(r"\((a|p|ip)\)$", "", word) for word in words]
        synset = Synset(pos, offset, [n.replace("_", " ") for n in names], definition, examples, hypernyms)
        self.synsets[pos, offset] = synset
        for name, lex_id in zip(names, lex_ids):
            senses[name.lower(), PARTS_OF_SPEECH[pos], lex_filenum, int(lex_id, 16)] = synset

    def _read_counts(self, path: Path, senses: dict) -> None:
        """Adds how often each sense was tagged in WordNet's semantic concordances."""
        for line in path.read_text(encoding="utf-8").splitlines():
            key, _, count = line.split()
            lemma, _, rest = key.partition("%")
            sense_type, lex_filenum, lex_id = (int(part) for part in rest.split(":")[:3])
            synset = senses.get((lemma, sense_type, lex_filenum, lex_id))
            if synset is not None:
                synset.count += int(count)


def split_gloss(gloss: str) -> tuple[str, list[str]]:
    """A gloss is a definition, then example sentences in double quotes."""
    definition = gloss.split('"')[0].strip(" ;\t:-")
    examples = [text.strip(" ;,") for text in QUOTED.findall(gloss)]
    return " ".join(definition.split()), [" ".join(text.split()) for text in examples if text]


class Similarity:
    """Similarities over the hypernym graph of one part of speech, from 0 (unrelated) to 1 (the same synset)."""

    def __init__(self, wordnet: WordNet, pos: str):
        self.synsets = {synset.offset: synset for synset in wordnet.of(pos)}
        self.ancestors: dict[str, frozenset[str]] = {}
        self.depth: dict[str, int] = {}
        for offset in self.synsets:
            self._visit(offset)
        # One is added to every count, so that a synset that was never tagged has a finite information content.
        totals = dict.fromkeys(self.synsets, 0)
        for offset, synset in self.synsets.items():
            for ancestor in self.ancestors[offset]:
                totals[ancestor] += synset.count + 1
        everything = sum(synset.count + 1 for synset in self.synsets.values())
        self.information = {offset: -math.log(total / everything) for offset, total in totals.items()}

    def _visit(self, offset: str) -> None:
        if offset in self.ancestors:
            return
        parents = self.synsets[offset].hypernyms
        self.ancestors[offset] = frozenset([offset])  # breaks a cycle, should a dictionary have one
        for parent in parents:
            self._visit(parent)
        self.ancestors[offset] = frozenset([offset]).union(*(self.ancestors[parent] for parent in parents))
        self.depth[offset] = 1 + max((self.depth[parent] for parent in parents), default=0)

    def lin(self, a: str, b: str) -> float:
        """Lin (1998): twice the information that the two share, over the information in both."""
        shared = self.ancestors[a] & self.ancestors[b]
        both = self.information[a] + self.information[b]
        if not shared or both == 0.0:
            return 0.0
        return 2 * max(self.information[c] for c in shared) / both

    def wu_palmer(self, a: str, b: str) -> float:
        """Wu and Palmer (1994): twice the depth of the deepest shared ancestor, over the depths of both."""
        shared = self.ancestors[a] & self.ancestors[b]
        if not shared:
            return 0.0
        return 2 * max(self.depth[c] for c in shared) / (self.depth[a] + self.depth[b])
