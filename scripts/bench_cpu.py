"""Drives scripts/bench-cpu: two processes that take turns, ours and PyTorch's, and a markdown table of their ratios."""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MINILM = dict(
    hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536, vocab_size=30522,
    max_position_embeddings=512, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1,
)  # fmt: skip
BERT_BASE = MINILM | dict(hidden_size=768, num_hidden_layers=12, intermediate_size=3072)
FORMS = {"padded to 50": 0.25, "padded to the longest": 0.30, "chunks": 0.65}
SLICES = 4


class Worker:
    """A process that answers requests, one at a time."""

    def __init__(self, name, command, environment, log):
        self.name, self.log = name, log
        with open(log, "ab") as errors:
            pipe = subprocess.PIPE
            self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, env=environment, text=True)

    def ask(self, task, **arguments):
        # The other side's threads wait actively for a while after their last work; let them go to sleep.
        time.sleep(0.1)
        try:
            print(json.dumps({"task": task, **arguments}), file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            sys.exit(f"bench-cpu: {self.name} stopped at {task}; {self.log} ends:\n{self.log.read_text()[-1500:]}")
        return json.loads(answer)

    def seconds(self, task, **arguments):
        return self.ask(task, **arguments)["seconds"]

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


class Bench:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.environment = {k: v for k, v in os.environ.items() if k != "OPENBLAS_CORETYPE"}
        threads = str(options.threads)
        self.environment |= {"OMP_NUM_THREADS": threads, "RAYON_NUM_THREADS": threads, "HF_HUB_OFFLINE": "1"}
        self.environment |= {"TOKENIZERS_PARALLELISM": "true"}
        self.rows, self.notes = [], []

    def start_ours(self):
        command = [str(self.options.binaries / "examples" / "bench_cpu"), str(self.folder / "model")]
        return Worker("mirror", command, self.environment, self.folder / "ours.log")

    def start_theirs(self):
        command = [sys.executable, str(ROOT / "scripts" / "bench_cpu_peers.py"), str(self.folder)]
        return Worker("PyTorch", command, self.environment, self.folder / "theirs.log")

    def run(self):
        theirs = self.start_theirs()
        theirs.ask("prepare_model", source=str(self.options.source), config=self.options.config)
        self.versions = theirs.ask("versions")
        ours = self.start_ours()
        paths = {"corpus": str(self.options.corpus), "senteval": self.options.senteval, "folder": str(self.folder)}
        counts = {name: getattr(self.options, name) for name in ("batch_size", "batches", "sentences")}
        prepared = ours.ask("prepare", **paths, **counts)
        self.sentences, self.sentence_tokens = prepared["sentences"], prepared["sentence_tokens"]
        self.batches = json.loads((self.folder / "batches.json").read_text())

        self.gemm = {"mirror": [], "PyTorch": []}
        self.products = {"f32": [], "bf16": [], "int8": []}
        self.measure_gemm(ours, theirs)
        self.measure_encoder(ours, theirs)
        self.measure_steps(ours, theirs)
        self.measure_gemm(ours, theirs)
        self.measure_bf16_training(ours, theirs)
        ours.stop(), theirs.stop()
        self.measure_memory()
        ours, theirs = self.start_ours(), self.start_theirs()
        self.measure_encoding(ours, theirs)
        self.measure_narrow_encoding(ours, theirs)
        theirs.stop()
        self.measure_command_line()
        self.measure_curve(ours)
        self.measure_gemm(ours, None)
        ours.stop()

    # --- the rows ---

    def measure_gemm(self, *workers):
        for worker in filter(None, workers):
            self.gemm[worker.name].append(worker.ask("gemm_rate", shape=self.options.product)["flops_per_second"])

    def measure_encoder(self, ours, theirs):
        shape = {"sequences": 32, "length": 32}
        for worker in (ours, theirs, ours, theirs):
            worker.ask("encoder_pass", **shape)
        pairs = []
        for _ in range(self.options.repeats):
            pairs.append((ours.seconds("encoder_pass", **shape), theirs.seconds("encoder_pass", **shape)))
        self.add("forward + backward, 32 sequences of 32 tokens", pairs, "≤ 0.9", "{:.0f} ms", 1e3)
        self.encoder_flops = 3 * flops(self.options.shape, 32 * 32, [32] * 32)

    def measure_steps(self, ours, theirs):
        folder = {"folder": str(self.folder)}
        ours.ask("step", **folder, batch=0), theirs.ask("step", batch=0, form="chunks")
        pairs, losses = {form: [] for form in self.options.forms}, []
        for batch in range(self.options.batches):
            for form in self.options.forms:
                a, b = ours.ask("step", **folder, batch=batch), theirs.ask("step", batch=batch, form=form)
                pairs[form].append((a["seconds"], b["seconds"]))
                losses += [f"{a['loss']:.3f} and {b['loss']:.3f}"]
        for form in self.options.forms:
            what = "cut into length-sorted chunks of 50" if form == "chunks" else form
            self.add(f"training step, {self.options.batch_size} × 2 views; PyTorch {what}", pairs[form], f"≤ {FORMS[form]:.2f}", "{:.2f} s")
        lengths = [[len(sequence) for sequence in batch] for batch in self.batches]
        self.step_flops = statistics.mean(3 * flops(self.options.shape, sum(batch), batch) for batch in lengths)
        self.notes.append(
            f"The {len(lengths)} batches have {statistics.mean(map(sum, lengths)):.0f} tokens on average "
            f"({statistics.mean(map(statistics.mean, lengths)):.1f} a sequence; the longest of a batch "
            f"{statistics.mean(map(max, lengths)):.1f}). Losses of the first steps on them, ours and PyTorch's: "
            f"{'; '.join(losses[:3])} (their dropout differs, and each step trains on)."
        )

    def measure_bf16_training(self, ours, theirs):
        """Ours in bf16 against ours in f32, PyTorch's f32 and its autocast to bf16, in turns."""
        for precision in self.products:
            self.products[precision].append(ours.ask("product_rate", shape=self.options.product, precision=precision)["flops_per_second"])
        shape = {"sequences": 32, "length": 32}
        sides = {
            "our f32": (ours, "f32", 0.58),
            "PyTorch f32": (theirs, "f32", 0.45),
            "PyTorch's autocast to bf16": (theirs, "bf16", 0.70),
        }
        for worker in (ours, theirs):
            worker.ask("encoder_pass", **shape, precision="bf16")
        pairs = {side: [] for side in sides}
        for _ in range(self.options.repeats):
            own = ours.seconds("encoder_pass", **shape, precision="bf16")
            for side, (worker, precision, _) in sides.items():
                pairs[side].append((own, worker.seconds("encoder_pass", **shape, precision=precision)))
        for side, (_, _, target) in sides.items():
            self.add(f"bf16: forward + backward, 32 × 32 tokens; {side}", pairs[side], f"≤ {target:.2f}", "{:.0f} ms", 1e3)

        ours.ask("step", folder=str(self.folder), batch=0, precision="bf16")
        targets = {"our f32": 0.58, "PyTorch f32's best": 0.38, "PyTorch bf16's best": 0.55}
        pairs = {side: [] for side in targets}
        for batch in range(self.options.batches):
            own = ours.seconds("step", folder=str(self.folder), batch=batch, precision="bf16")
            exact = ours.seconds("step", folder=str(self.folder), batch=batch)
            best = {
                precision: min(theirs.seconds("step", batch=batch, form=form, precision=precision) for form in self.options.forms)
                for precision in ("f32", "bf16")
            }
            for side, other in zip(pairs, (exact, best["f32"], best["bf16"])):
                pairs[side].append((own, other))
        for side, target in targets.items():
            what = f"bf16: training step, {self.options.batch_size} × 2 views; {side}"
            self.add(what, pairs[side], f"≤ {target:.2f}", "{:.2f} s")
        seconds = statistics.median(own for own, _ in pairs["our f32"])
        self.bf16_step = seconds

    def measure_narrow_encoding(self, ours, theirs):
        """Ours in bf16 and int8 against ours in f32 and the peers' own, in turns."""
        peers = {
            ("bf16", "our f32"): (None, "≥ 1.7"),
            ("bf16", "sentence-transformers f32"): (("encode_sentence_transformers", "f32"), "≥ 3.3"),
            ("bf16", "sentence-transformers bf16"): (("encode_sentence_transformers", "bf16"), "> 1"),
            ("int8", "our f32"): (None, "≥ 2.6"),
            ("int8", "onnxruntime int8"): (("encode_onnxruntime", "int8"), "≥ 1"),
        }
        sample = min(64, self.sentences)
        for precision in ("f32", "bf16", "int8"):
            ours.ask("encode", folder=str(self.folder), **{"from": 0}, to=sample, save=None, precision=precision)
        for task, precision in filter(None, (how for how, _ in peers.values())):
            theirs.ask(task, start=0, stop=sample, batch_size=32, precision=precision)
        pairs = {row: [] for row in peers}
        edges = [self.sentences * i // SLICES for i in range(SLICES + 1)]
        for start, stop in zip(edges, edges[1:]):
            part = {"folder": str(self.folder), "from": start, "to": stop, "save": None}
            own = {precision: ours.seconds("encode", **part, precision=precision) for precision in ("f32", "bf16", "int8")}
            for (precision, peer), (how, _) in peers.items():
                other = own["f32"]
                if how:
                    task, theirs_in = how
                    sizes = (32, 128) if task == "encode_sentence_transformers" else (32,)
                    arguments = {"start": start, "stop": stop, "precision": theirs_in}
                    other = min(theirs.seconds(task, **arguments, batch_size=size) for size in sizes)
                pairs[precision, peer].append(((stop - start) / own[precision], (stop - start) / other))
        for (precision, peer), (_, target) in peers.items():
            self.add(f"{precision}: sentences encoded a second; {peer}", pairs[precision, peer], target, "{:.0f}")

    def measure_memory(self):
        ours = self.start_ours()
        loaded, resident = ours.ask("memory"), []
        for step in range(self.options.memory_steps):
            ours.ask("step", folder=str(self.folder), batch=step % self.options.batches)
            resident.append(ours.ask("memory")["resident"])
        own = ours.ask("memory")["peak"]
        ours.stop()
        peaks, theirs_loaded = {}, 0
        for form in self.options.forms:
            theirs = self.start_theirs()
            theirs_loaded = theirs.ask("memory")["resident"]
            for step in range(2):
                theirs.ask("step", batch=step % self.options.batches, form=form)
            peaks[form] = theirs.ask("memory")["peak"]
            theirs.stop()
        best = min(peaks, key=peaks.get)
        ours = self.start_ours()
        for step in range(self.options.memory_steps):
            ours.ask("step", folder=str(self.folder), batch=step % self.options.batches, precision="bf16")
        self.add("bf16: peak memory of training; our f32", [(ours.ask("memory")["peak"], own)], "≤ 1", "{:.0f} MiB", 1 / 1024)
        ours.stop()
        what = f"peak memory of training; PyTorch's least ({best})"
        self.add(what, [(own, peaks[best])], "≤ 0.5", "{:.0f} MiB", 1 / 1024)
        others = ", ".join(f"{form} {peak / 1024:.0f} MiB" for form, peak in peaks.items())
        self.notes.append(
            f"Peak memory is VmHWM of processes of their own; PyTorch's: {others}. Resident with the model "
            f"loaded, before any step: ours {loaded['resident'] / 1024:.0f} MiB, PyTorch's (its libraries are most of it) "
            f"{theirs_loaded / 1024:.0f} MiB. Resident after our step 2: {resident[1] / 1024:.0f} MiB, after step "
            f"{len(resident)}: {resident[-1] / 1024:.0f} MiB."
        )

    def measure_encoding(self, ours, theirs):
        peers = {
            "sentence-transformers, batches of 32": ("encode_sentence_transformers", 32, "≥ 1.5"),
            "sentence-transformers, batches of 128": ("encode_sentence_transformers", 128, "≥ 1.5"),
            "onnxruntime, length-sorted batches of 32": ("encode_onnxruntime", 32, "≥ 1"),
        }
        sample = min(64, self.sentences)
        saved = {"ours": str(self.folder / "ours.json"), "theirs": str(self.folder / "theirs.json")}
        ours.ask("encode", folder=str(self.folder), **{"from": 0}, to=sample, save=saved["ours"])
        differences = []
        for task, batch_size, _ in peers.values():
            theirs.ask(task, start=0, stop=sample, batch_size=batch_size, save=saved["theirs"])
            differences.append(largest_difference(*saved.values()))
        pairs = {name: [] for name in peers}
        edges = [self.sentences * i // SLICES for i in range(SLICES + 1)]
        for start, stop in zip(edges, edges[1:]):
            own = ours.seconds("encode", folder=str(self.folder), **{"from": start}, to=stop)
            for name, (task, batch_size, _) in peers.items():
                other = theirs.seconds(task, start=start, stop=stop, batch_size=batch_size)
                pairs[name].append(((stop - start) / own, (stop - start) / other))
        for name, (_, _, target) in peers.items():
            self.add(f"sentences encoded a second; {name}", pairs[name], target, "{:.0f}")
        self.notes.append(
            f"{self.sentences} distinct sentences ({self.sentence_tokens / self.sentences:.1f} tokens on average), in "
            f"{SLICES} slices of the same mix of lengths; tokenizing counts. Of {sample} sentences' embeddings no number "
            f"differs by more than {max(differences):.1e} from ours."
        )

    def measure_command_line(self):
        text = self.folder / "sentences.txt"
        sentences = json.loads((self.folder / "sentences.json").read_text())
        seconds = []
        for count in (1, len(sentences)):
            text.write_text("".join(sentence.replace("\n", " ") + "\n" for sentence in sentences[:count]))
            output = self.folder / f"{count}.npy"
            command = [self.options.binaries / "mirror", "encode", "--model", self.folder / "model", "--input", text]
            began = time.perf_counter()
            subprocess.run([*command, "--output", output], env=self.environment, check=True)
            seconds.append(time.perf_counter() - began)
        load, total = seconds
        rate = f"{len(sentences) / (total - load):.0f} sentences a second" if total > load else "no rate; too few"
        self.notes.append(
            f"`mirror encode` of the same sentences to a .npy file: {total:.1f} s, of which {load:.2f} s for one sentence "
            f"(loading): {rate}."
        )

    def measure_curve(self, ours):
        self.curve = []
        for sequences in self.options.curve_sequences:
            for length in self.options.curve_lengths:
                shape = {"sequences": sequences, "length": length}
                ours.ask("step_of_shape", **shape)
                repeats = max(1, min(5, 20_000 // (sequences * length)))
                seconds = statistics.median(ours.seconds("step_of_shape", **shape) for _ in range(repeats))
                self.curve.append((sequences, length, sequences * length, seconds))

    def add(self, what, pairs, target, unit, scale=1.0):
        ratios = [a / b for a, b in pairs]
        own, other = (unit.format(scale * statistics.median(side)) for side in zip(*pairs))
        spread = f"{min(ratios):.2f}–{max(ratios):.2f}" if len(ratios) > 1 else "once"
        self.rows.append(f"| {what} | **{statistics.median(ratios):.2f}** | {spread} | {target} | {own} | {other} |")
        print(self.rows[-1], flush=True)

    # --- the report ---

    def report(self, seconds):
        rate = max(max(rates) for rates in self.gemm.values() if rates)
        rates = ", ".join(f"{name} {max(rates) / 1e9:.0f}" for name, rates in self.gemm.items() if rates)
        products = ", ".join(f"{name} {max(rates) / 1e9:.0f}" for name, rates in self.products.items())
        rows, inputs, outputs = self.options.product
        encode_flops = flops(self.options.shape, self.sentence_tokens / self.sentences, [])
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        lines = [
            "# On the CPU, beside PyTorch",
            "",
            f"Written by `scripts/bench-cpu{' --quick' if self.options.quick else ''}` on {datetime.date.today()} in "
            f"{seconds / 60:.0f} min. {cpu_model()}, {os.cpu_count()} cores, {self.options.threads} threads on either side; "
            f"load average at the start {self.options.load:.1f}. Python {platform.python_version()}, {versions}.",
            "",
            f"Model: {self.options.model_name}, float32, dropout 0.1 in training. The two sides take turns; a ratio is ours "
            "over the peer's in the same turn.",
            "",
            "| what | ratio, median | min–max | to reach | ours | peer |",
            "|---|---|---|---|---|---|",
            *self.rows,
            "",
            *(f"- {note}" for note in self.notes),
            "",
            "## The floor",
            "",
            f"The matrix products alone, at the best rate of this run ({rates} GFLOP/s at "
            f"[{rows}, {inputs}] · [{inputs}, {outputs}]):",
            "",
            "| what | GFLOP | at least |",
            "|---|---|---|",
            f"| forward + backward, 32 × 32 tokens | {self.encoder_flops / 1e9:.0f} | {self.encoder_flops / rate * 1e3:.0f} ms |",
            f"| training step, real tokens | {self.step_flops / 1e9:.0f} | {self.step_flops / rate:.2f} s |",
            f"| encoding a sentence | {encode_flops / 1e9:.2f} | {encode_flops / rate * 1e3:.2f} ms: {rate / encode_flops:.0f} a second |",
            "",
            f"Our own products at that shape, each precision with what it costs to convert activations: {products} GFLOP/s. A "
            f"bf16 step reaches {self.step_flops / self.bf16_step / max(self.products['bf16']):.0%} of the bf16 rate.",
            "",
            "## Time of a step against its tokens",
            "",
            "A whole training step; sequences count both views.",
            "",
            "| sequences | length | tokens | ms | ms per 1,000 tokens |",
            "|---|---|---|---|---|",
            *(
                f"| {n} | {length} | {tokens:,} | {1e3 * s:.0f} | {1e6 * s / tokens:.1f} |"
                for n, length, tokens, s in self.curve
            ),
        ]
        return "\n".join(lines) + "\n"


def flops(shape, tokens, lengths):
    """Of the matrix products of a forward pass; a backward pass has twice as many."""
    h, i = shape["hidden_size"], shape["intermediate_size"]
    attention = sum(4 * length * length * h for length in lengths)
    return shape["num_hidden_layers"] * (2 * tokens * (4 * h * h + 2 * h * i) + attention)


def largest_difference(first, second):
    rows = zip(json.loads(Path(first).read_text()), json.loads(Path(second).read_text()), strict=True)
    return max(abs(a - b) for one, other in rows for a, b in zip(one, other, strict=True))


def cpu_model():
    names = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    return names[0] if names else platform.machine()


def parse():
    parser = argparse.ArgumentParser(prog="scripts/bench-cpu", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small samples: about 3 minutes instead of 12")
    parser.add_argument("--model", type=Path, default=ROOT.parent / "shared/models/minilm-mlm", help="folder of MiniLM's shape [default: that of ../shared, else random weights]")  # fmt: skip
    parser.add_argument("--bert-base", action="store_true", help="random weights of BERT-base's shape (12 × 768) in place of the model's; its tokenizer")  # fmt: skip
    parser.add_argument("--corpus", type=Path, default=ROOT.parent / "shared/data/corpus/mirror-10k.txt", help="to train on [default: that of ../shared, else the built-in corpus]")  # fmt: skip
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/senteval/downstream", help="STS sets, whose sentences are encoded [default: those of ../shared, else the corpus]")  # fmt: skip
    parser.add_argument("--sentences", type=int, help="how many to encode [default: all, 2,000 with --quick]")
    parser.add_argument("--batch-size", type=int, default=200, help="sentences of a batch, each in two views")
    parser.add_argument("--batches", type=int, help="to train on [default: 4, 2 with --quick]")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS), help="how PyTorch lays out a batch; it is compared by the best [default: all]")  # fmt: skip
    parser.add_argument("--repeats", type=int, help="of forward + backward [default: 20, 8 with --quick]")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=ROOT / "eval/benchmarks/cpu.md")
    parser.add_argument("--binaries", type=Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    quick = options.quick
    options.sentences = options.sentences or (2_000 if quick else 10**9)
    options.batches = options.batches or (2 if quick else 4)
    options.repeats = options.repeats or (8 if quick else 20)
    options.memory_steps = 4 if quick else 8
    options.curve_sequences = (32, 128) if quick else (32, 128, 512)
    options.curve_lengths = (8, 32) if quick else (8, 32, 128)
    found = (options.model / "config.json").exists()
    options.shape = BERT_BASE if options.bert_base else MINILM
    options.product = [2048, options.shape["hidden_size"], options.shape["intermediate_size"]]
    options.source = options.model if found else ROOT / "data/builtin/model"
    options.config = options.shape if options.bert_base or not found else None
    name = "BERT-base's shape (L12 H768)" if options.bert_base else "MiniLM's shape (L6 H384)"
    options.model_name = f"random weights of {name}" if options.config else options.model.name
    if not options.corpus.exists():
        options.corpus = ROOT / "data/builtin/corpus.txt"
    options.senteval = str(options.data) if options.data.exists() else None
    options.load = os.getloadavg()[0]
    return options


def main():
    options = parse()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="bench-cpu-") as folder:
        bench = Bench(options, Path(folder))
        bench.run()
        report = bench.report(time.perf_counter() - began)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(report)
    print(report)
    print(f"written to {options.output}")


if __name__ == "__main__":
    main()
