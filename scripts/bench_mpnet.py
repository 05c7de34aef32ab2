"""Drives scripts/bench-mpnet: the same model in mirror and in sentence-transformers and PyTorch."""

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

import bench_cpu
from bench_cpu import ROOT, Bench

PARTS = {"scores": "## Scores", "steps": "## Ten steps", "speed": "## Time and memory of a training step"}
YEARS = ("12", "13", "14", "15", "16")


# --- the seven sets, read once more ---


def sts_of_a_year(folder):
    """All pairs with a score, the parts one after another."""
    pairs = []
    for scores in sorted(folder.glob("STS.gs.*.txt")):
        texts = folder / scores.name.replace(".gs.", ".input.")
        if "ALL" in scores.name or not texts.exists():
            continue
        rows = zip(texts.read_text().splitlines(), scores.read_text().splitlines(), strict=True)
        pairs += [(*text.split("\t")[:2], float(score)) for text, score in rows if score.strip()]
    return pairs


def columns(file, first, second, score, header=0):
    if not file.exists():
        return []
    rows = [line.split("\t") for line in file.read_text().splitlines()[header:]]
    return [(row[first], row[second], float(row[score])) for row in rows]


def sets_of(data):
    """The seven sets, or those of them that are there."""
    sets = {f"STS{year}": sts_of_a_year(data / f"STS/STS{year}-en-test") for year in YEARS}
    sets["STSB"] = columns(data / "STS/STSBenchmark/sts-test.csv", 5, 6, 4)
    sets["SICKR"] = columns(data / "SICK/SICK_test_annotated.txt", 1, 2, 3, header=1)
    return {name: pairs for name, pairs in sets.items() if pairs}


# --- the parts ---


class Comparison:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(options.threads)}

    def mirror(self, *arguments):
        command = [self.options.binaries / "mirror", *map(str, arguments)]
        subprocess.run(command, env=self.environment, check=True, stdout=subprocess.DEVNULL)

    def encode(self, model, sentences):
        text, rows = self.folder / "sentences.txt", self.folder / "rows.npy"
        text.write_text("".join(sentence + "\n" for sentence in sentences))
        self.mirror("encode", "--model", model, "--input", text, "--output", rows, "--overwrite")
        return np.load(rows)

    def encode_theirs(self, model, sentences):
        from sentence_transformers import SentenceTransformer

        encoder = SentenceTransformer(str(model), device="cpu")
        return encoder.encode(sentences, batch_size=32, show_progress_bar=False)

    def scores(self):
        sets = sets_of(self.options.data)
        sentences = list(dict.fromkeys(s for pairs in sets.values() for a, b, _ in pairs for s in (a, b)))
        rows = dict(zip(sentences, self.encode_theirs(self.options.model, sentences), strict=True))
        cosine = lambda a, b: float(np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b))  # noqa: E731
        theirs = {
            name: 100 * spearmanr([cosine(rows[a], rows[b]) for a, b, _ in pairs], [s for *_, s in pairs]).statistic
            for name, pairs in sets.items()
        }
        report = self.folder / "scores.json"
        self.mirror("eval", "--model", self.options.model, "--data", self.options.data, "--json", report)
        report = json.loads(report.read_text())
        tasks = (report[0] if isinstance(report, list) else report)["tasks"]
        ours = {name: tasks[name]["spearman"] for name in sets}
        assert all(tasks[name]["pairs"] == len(pairs) for name, pairs in sets.items()), tasks
        sample = [s for s in sentences if s.strip() == s and s and "\r" not in s][:: max(1, len(sentences) // 1000)]
        difference = float(np.abs(self.encode(self.options.model, sample) - [rows[s] for s in sample]).max())
        largest = max(abs(ours[name] - theirs[name]) for name in sets)
        row = lambda what, scores: f"| {what} | " + " | ".join(f"{scores[name]:.2f}" for name in sets) + " |"  # noqa: E731
        told = "within" if largest <= 0.02 and difference <= 1e-4 else "NOT within"
        return [
            "Spearman × 100, `mirror-bert` convention; the second row is of sentence-transformers' embeddings, scored by "
            "SciPy.",
            "",
            f"| | {' | '.join(sets)} |",
            "|---" * (len(sets) + 1) + "|",
            row("`mirror eval`", ours),
            row("sentence-transformers", theirs),
            "",
            f"Scores differ by {largest:.4f} at most, and of {len(sample)} sentences' embeddings no number by more than "
            f"{difference:.1e}: {told} ±0.02 and 1e-4.",
        ]

    def steps(self):
        output = self.folder / "trained"
        began = time.perf_counter()
        self.mirror(
            "train", "--model", self.options.model, "--corpus", self.options.corpus, "--reg", "delta-sam,r3f",
            "--batch-size", "16", "--max-steps", "10", "--no-eval", "--threads", self.options.threads, "--output", output,
        )  # fmt: skip
        seconds = time.perf_counter() - began
        lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
        losses = [line["loss"] for line in lines if "loss" in line]
        sentences = self.options.corpus.read_text().splitlines()[:64]
        difference = float(np.abs(self.encode(output, sentences) - self.encode_theirs(output, sentences)).max())
        return [
            f"`mirror train --reg delta-sam,r3f --batch-size 16 --max-steps 10`, {seconds:.0f} s with loading and writing. "
            f"Losses: {', '.join(f'{loss:.3f}' for loss in losses)}.",
            "",
            f"The folder that it wrote loads in sentence-transformers; of 64 sentences' embeddings no number differs by "
            f"more than {difference:.1e}.",
        ]

    def speed(self):
        bench = StepBench(self.options, self.folder)
        bench.run()
        return [
            f"{self.options.batch_size} sentences in two views, dropout 0.1, AdamW; ours and PyTorch's "
            "(MPNetModel with eager attention, the only one it has) take turns. A ratio is ours over the peer's in the "
            f"same turn. Load average at the start {self.options.load:.1f}.",
            "",
            "| what | ratio, median | min–max | ours | PyTorch |",
            "|---|---|---|---|---|",
            *(re.sub(r"\| ≤ [\d.]+ ", "", row) for row in bench.rows),
            "",
            *(f"- {note}" for note in bench.notes),
        ]


class StepBench(Bench):
    """Of scripts/bench-cpu's measurements, those of training."""

    def run(self):
        theirs = self.start_theirs()
        theirs.ask("prepare_model", source=str(self.options.model), config=None)
        ours = self.start_ours()
        counts = {name: getattr(self.options, name) for name in ("batch_size", "batches", "sentences")}
        ours.ask("prepare", corpus=str(self.options.corpus), senteval=None, folder=str(self.folder), **counts)
        self.batches = json.loads((self.folder / "batches.json").read_text())
        self.measure_encoder(ours, theirs)
        self.measure_steps(ours, theirs)
        ours.stop(), theirs.stop()
        self.measure_memory()


# --- the page ---


def write(options, sections, minutes):
    """Replaces the sections that were measured, and keeps the others."""
    page = options.output.read_text() if options.output.exists() else ""
    kept = dict(re.findall(r"^(## .*)\n\n((?:(?!^## ).*\n?)*)", page, re.MULTILINE))
    lines = ["# all-mpnet-base-v2, an MPNet of base size", ""]
    today = f"By `scripts/bench-mpnet` on {datetime.date.today()}, {bench_cpu.cpu_model()}, {options.threads} threads."
    for part, title in PARTS.items():
        if part in sections:
            lines += [title, "", "\n".join(sections[part]).rstrip(), "", today, ""]
        elif title in kept:
            lines += [title, "", kept[title].rstrip(), ""]
    options.output.write_text("\n".join(lines).rstrip() + "\n")
    print(options.output.read_text())
    print(f"written to {options.output} after {minutes:.0f} min")


def parse():
    parser = argparse.ArgumentParser(prog="scripts/bench-mpnet", description=__doc__)
    parser.add_argument("model", type=Path, help="folder of all-mpnet-base-v2 (scripts/fetch-mpnet)")
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part; may be given again")
    parser.add_argument("--data", type=Path, help="STS sets in SentEval's layout, for the scores")
    parser.add_argument("--corpus", type=Path, default=ROOT / "data/builtin/corpus.txt", help="to train on")
    parser.add_argument("--batch-size", type=int, default=64, help="sentences of a batch whose step is timed")
    parser.add_argument("--batches", type=int, default=2, help="to time steps on")
    parser.add_argument("--repeats", type=int, default=5, help="of forward + backward")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--output", type=Path, default=ROOT / "eval/benchmarks/mpnet.md")
    parser.add_argument("--binaries", type=Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.part = options.part or list(PARTS)
    if "scores" in options.part and options.data is None:
        parser.error("--data is needed for the scores: the STS sets in SentEval's layout")
    options.memory_steps, options.sentences, options.load = 3, 64, os.getloadavg()[0]
    return options


def main():
    options = parse()
    began = time.perf_counter()
    sections = {}
    for part in options.part:
        print(f"{part} …", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="bench-mpnet-") as folder:
            sections[part] = getattr(Comparison(options, Path(folder)), part)()
        write(options, sections, (time.perf_counter() - began) / 60)


if __name__ == "__main__":
    main()
