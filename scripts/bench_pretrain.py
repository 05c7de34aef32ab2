"""Drives scripts/bench-pretrain: steps of masked language modelling by mirror and by transformers on PyTorch."""

import argparse
import json
import os
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer, DataCollatorForLanguageModeling
from transformers.utils import logging

logging.disable_progress_bar()
logging.set_verbosity_error()


def ours(options, corpus, folder, steps):
    """Seconds of a run of so many steps, without loading; of the CPU with it."""
    before, output = resource.getrusage(resource.RUSAGE_CHILDREN), folder / f"ours-{time.monotonic_ns()}"
    said = subprocess.run(
        [
            options.mirror, "pretrain", "--model", options.model, "--corpus", corpus, "--output", output,
            "--batch-size", str(options.batch_size), "--max-length", str(options.max_length), "--max-steps", str(steps),
            "--holdout", "0", "--save-every", "never", "--threads", str(options.threads), "--reg", options.reg,
            "--precision", options.precision, "--json",
        ],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    if options.cpu_time:
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(said.stdout)["seconds"]


class Theirs:
    def __init__(self, options, sentences):
        torch.set_num_threads(options.threads)
        torch.manual_seed(42)
        self.options, self.sentences = options, sentences
        self.tokenizer = AutoTokenizer.from_pretrained(options.model)
        self.model = AutoModelForMaskedLM.from_pretrained(options.model, dtype=torch.float32).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=5e-5, weight_decay=0.01)
        self.collate = DataCollatorForLanguageModeling(self.tokenizer, mlm_probability=0.15)

    def seconds(self, steps):
        """Of so many steps, with tokenizing and masking."""
        clock = time.process_time if self.options.cpu_time else time.perf_counter
        size, began = self.options.batch_size, clock()
        for step in range(steps):
            texts = self.sentences[step * size : (step + 1) * size]
            tokens = self.tokenizer(texts, truncation=True, max_length=self.options.max_length)["input_ids"]
            batch = self.collate([{"input_ids": row} for row in tokens])
            self.optimizer.zero_grad()
            self.model(**batch).loss.backward()
            self.optimizer.step()
        return clock() - began


def parse():
    parser = argparse.ArgumentParser(prog="scripts/bench-pretrain", description=__doc__)
    parser.add_argument("model", help="folder with BERT's or RoBERTa's weights")
    parser.add_argument("corpus", type=Path, help="sentences, one a line")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--steps", type=int, default=8, help="of a turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--reg", default="none", help="of mirror; PyTorch has none")
    parser.add_argument("--precision", default="f32", help="of mirror")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--cpu-time", action="store_true", help="of one thread, where others compute beside it: --threads 1")
    parser.add_argument("--mirror", required=True, help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    options = parse()
    # One epoch of both is the same sentences, none of which is repeated.
    lines = dict.fromkeys(line for line in options.corpus.read_text().splitlines() if line.strip())
    sentences = list(lines)[: options.batch_size * options.steps]
    theirs = Theirs(options, sentences)
    with tempfile.TemporaryDirectory(prefix="bench-pretrain-") as folder:
        folder = Path(folder)
        corpus = folder / "corpus.txt"
        corpus.write_text("".join(f"{sentence}\n" for sentence in sentences))
        theirs.seconds(1)
        ratios = []
        print(f"load {os.getloadavg()[0]:.1f}, {options.threads} threads, {options.steps} steps of {options.batch_size}")
        for _ in range(options.turns):
            # A run of one step has what is not steps: the first and the last measurement, and writing.
            step = (ours(options, corpus, folder, options.steps) - ours(options, corpus, folder, 1)) / (options.steps - 1)
            peer = theirs.seconds(options.steps) / options.steps
            ratios.append(step / peer)
            print(f"ours {1e3 * step:.0f} ms, PyTorch {1e3 * peer:.0f} ms a step: {ratios[-1]:.2f}", flush=True)
    print(f"median {statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}")


if __name__ == "__main__":
    main()
