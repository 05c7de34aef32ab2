"""`scripts/make-builtin` runs this: texts, pretraining, checks and measurements, one after another."""

import argparse
import os
import random
import shutil
import sys
from pathlib import Path

import torch
from check import problems
from mirror_check import SentenceEncoder, Settings, before_and_after, read_pairs
from pretrain import pretrain
from texts import pretraining_lines, write_corpus, write_pairs
from transformers.utils import logging
from wordnet import WordNet

SEED = 42
LEAST_GAIN = 3.0


def make(arguments: argparse.Namespace) -> None:
    wordnet = WordNet(arguments.wordnet)
    arguments.output.mkdir(parents=True, exist_ok=True)
    held_out = write_pairs(wordnet, arguments.output / "pairs.tsv", random.Random(SEED))
    write_corpus(wordnet, arguments.output / "corpus.txt", held_out, random.Random(SEED + 1))
    lines = pretraining_lines(wordnet, arguments.text, held_out)
    print(f"pretraining on {len(lines)} lines, {sum(map(len, lines))} characters", flush=True)
    # Written beside and moved when complete: a run that is stopped leaves the committed model as it was.
    fresh = arguments.output / "model.new"
    loss = pretrain(lines, fresh, arguments.epochs, SEED)
    print(f"masked language modelling loss on held-out lines: {loss:.3f}")
    shutil.rmtree(arguments.output / "model", ignore_errors=True)
    os.replace(fresh, arguments.output / "model")


def check(folder: Path) -> bool:
    found = list(problems(folder))
    for problem in found:
        print(f"{folder}: {problem}", file=sys.stderr)
    print(f"{folder}: {len(found)} problems")
    return not found


def measure(arguments: argparse.Namespace) -> bool:
    """Whether one epoch of Mirror-BERT raises the score by at least `LEAST_GAIN` points in every run."""
    pairs = read_pairs(arguments.output / "pairs.tsv")
    for peer in arguments.peer:
        print(f"{peer.name}: Spearman {SentenceEncoder(peer, max_length=50).score(pairs):.2f}", flush=True)
    settings = [Settings(learning_rate=arguments.learning_rate, seed=SEED + run) for run in range(arguments.seeds)]
    scores = [before_and_after(arguments.output, run) for run in settings]
    return all(after - before >= LEAST_GAIN for before, after in scores)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/make-builtin", description=__doc__)
    parser.add_argument("chores", nargs="*", metavar="make|check|measure", help="default: all three")
    parser.add_argument("--wordnet", type=Path, required=True, help="WordNet's folder of data.noun, cntlist.rev …")
    parser.add_argument("--output", type=Path, required=True, help="the folder to fill")
    parser.add_argument("--text", type=Path, help="more text to pretrain on, one sentence a line")
    parser.add_argument("--epochs", type=int, default=1, help="epochs of pretraining")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=1, help="training runs that measure makes")
    parser.add_argument("--learning-rate", type=float, default=2e-5, help="of the training runs in measure")
    parser.add_argument("--peer", type=Path, action="append", default=[], help="another encoder to score in measure")
    arguments = parser.parse_args()
    chores = arguments.chores or ["make", "check", "measure"]
    if unknown := set(chores) - {"make", "check", "measure"}:
        parser.error(f"unknown chore {min(unknown)}: known are make, check and measure")
    torch.set_num_threads(arguments.threads)
    logging.disable_progress_bar()
    if "make" in chores:
        make(arguments)
    if "check" in chores and not check(arguments.output):
        return 1
    if "measure" in chores and not measure(arguments):
        print(f"training does not raise the score by {LEAST_GAIN} points", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
