"""Counts a training step of BERT-base's shape on the software device; see scripts/count-cuda."""

import argparse
import array
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

HIDDEN, HEADS, INTERMEDIATE, LAYERS, VOCABULARY, POSITIONS = 768, 12, 3072, 12, 30522, 512
# An H100's (SXM): bytes a second of its memory, products a second as cuBLAS reaches them (bf16 without sparsity, f32
# without TF32), and what a launch takes when nothing hides it.
BYTES_PER_SECOND, SECONDS_PER_LAUNCH = 3.0e12, 4e-6
FLOPS_PER_SECOND = {"bf16": 790e12, "f32": 60e12}
REGULARIZERS = ["none", "sam", "delta-sam", "r3f"]


def parameters(layers):
    def norm(name):
        return [(f"{name}.weight", (HIDDEN,)), (f"{name}.bias", (HIDDEN,))]

    def linear(name, outputs, inputs):
        return [(f"{name}.weight", (outputs, inputs)), (f"{name}.bias", (outputs,))]

    tensors = [
        ("embeddings.word_embeddings.weight", (VOCABULARY, HIDDEN)),
        ("embeddings.position_embeddings.weight", (POSITIONS, HIDDEN)),
        ("embeddings.token_type_embeddings.weight", (2, HIDDEN)),
        *norm("embeddings.LayerNorm"),
    ]
    for layer in range(layers):
        at = f"encoder.layer.{layer}."
        for name in ["query", "key", "value"]:
            tensors += linear(f"{at}attention.self.{name}", HIDDEN, HIDDEN)
        tensors += linear(f"{at}attention.output.dense", HIDDEN, HIDDEN) + norm(f"{at}attention.output.LayerNorm")
        tensors += linear(f"{at}intermediate.dense", INTERMEDIATE, HIDDEN)
        tensors += linear(f"{at}output.dense", HIDDEN, INTERMEDIATE) + norm(f"{at}output.LayerNorm")
    return tensors


def write_model(folder, tokenizer, layers):
    """A BERT of random weights; all but norms are drawn from one short list, so that it is quick."""
    for file in Path(tokenizer).iterdir():
        if file.name in {"vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}:
            shutil.copy(file, folder)
    config = {
        "model_type": "bert", "architectures": ["BertModel"], "vocab_size": VOCABULARY, "hidden_size": HIDDEN,
        "num_hidden_layers": layers, "num_attention_heads": HEADS, "intermediate_size": INTERMEDIATE,
        "hidden_act": "gelu", "max_position_embeddings": POSITIONS, "type_vocab_size": 2, "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
    }
    (folder / "config.json").write_text(json.dumps(config))
    draw = random.Random(1)
    values = array.array("f", (draw.gauss(0, 0.02) for _ in range(65521)))
    header, end, tensors = {}, 0, parameters(layers)
    for name, shape in tensors:
        size = 4
        for length in shape:
            size *= length
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in tensors:
            start, stop = header[name]["data_offsets"]
            count = (stop - start) // 4
            if "LayerNorm.weight" in name:
                file.write(array.array("f", [1.0] * count).tobytes())
                continue
            whole, rest = divmod(count, len(values))
            file.write(values.tobytes() * whole + values[:rest].tobytes())


def counts(options, layers, reg, precision, steps):
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        (place / "model").mkdir()
        write_model(place / "model", options.tokenizer, layers)
        command = [options.mirror, "train", "--model", place / "model", "--corpus", options.corpus, "--output", place / "out",
                   "--device", "cuda", "--precision", precision, "--reg", reg, "--max-steps", str(steps), "--no-eval",
                   "--batch-size", str(options.batch_size), "--holdout", "0"]
        environment = {**os.environ, "LD_LIBRARY_PATH": str(options.device), "SWCUDA_COUNTS": str(place / "counts.json"),
                       "SWCUDA_MEMORY_MIB": "65536", "SWCUDA_SKIP_PRODUCTS": "1",
                       "SWCUDA_THREADS": str(os.cpu_count())}
        run = subprocess.run([str(part) for part in command], env=environment, capture_output=True, text=True)
        if run.returncode != 0:
            sys.exit(f"count-cuda: {' '.join(map(str, command))} failed:\n{run.stderr}")
        return json.loads((place / "counts.json").read_text())


def flatten(counted):
    """Counts as {name: number}, which can be subtracted."""
    totals = counted["totals"]
    flat = {
        "launches": totals["launches"], "kernel bytes": totals["kernel_bytes_read"] + totals["kernel_bytes_written"],
        "products": sum(p["number"] for p in counted["products"]),
        "product bytes": sum(p["bytes_read"] + p["bytes_written"] for p in counted["products"]),
        "bytes up": counted["copies"]["host_to_device"]["bytes"], "copies up": counted["copies"]["host_to_device"]["number"],
        "bytes down": counted["copies"]["device_to_host"]["bytes"],
        "waits": counted["waits"]["asked"] + counted["waits"]["copies_to_host"],
        "bytes filled": counted["copies"]["fills"]["bytes"], "fills": counted["copies"]["fills"]["number"],
    }
    for kind in ["f32", "bf16", "f64"]:
        flat[f"{kind} flops"] = totals["product_flops"].get(kind, 0)
    for name, kernel in counted["kernels"].items():
        flat[f"kernel {name}"] = kernel["launches"]
    return flat


def minus(a, b):
    return {name: a.get(name, 0) - b.get(name, 0) for name in {*a, *b}}


def plus(a, b, times=1):
    return {name: a.get(name, 0) + times * b.get(name, 0) for name in {*a, *b}}


def of_a_step(options, reg, precision):
    """The second step's counts, of the first and last layer with all else, and of each layer between."""
    by_layers = []
    for layers in [1, 2]:
        one, two = (flatten(counts(options, layers, reg, precision, steps)) for steps in [1, 2])
        by_layers.append(minus(two, one))
    layer = minus(by_layers[1], by_layers[0])
    return plus(by_layers[0], layer, LAYERS - 1), layer


def seconds(step):
    moved = (step["kernel bytes"] + step["product bytes"] + step["bytes filled"]) / BYTES_PER_SECOND
    products = sum(step[f"{kind} flops"] / rate for kind, rate in FLOPS_PER_SECOND.items())
    return {"bytes": moved, "products": products,
            "launches": (step["launches"] + step["products"]) * SECONDS_PER_LAUNCH}


def row(cells):
    return "| " + " | ".join(cells) + " |"


def page(options, results):
    def number(value):
        return f"{value:,.0f}"

    lines = [
        "# What a step asks of a GPU", "",
        f"One step of BERT-base's shape ({LAYERS} layers of {HIDDEN}) in {options.precision}, {options.batch_size} sentences in two views, counted by",
        "`scripts/count-cuda` on the software device of tests/software_cuda: no GPU ran. The roofline is what an H100 needs at the",
        f"least: bytes at {BYTES_PER_SECOND / 1e12:.1f} TB/s, products at {FLOPS_PER_SECOND['bf16'] / 1e12:.0f} TFLOP/s in bf16 and {FLOPS_PER_SECOND['f32'] / 1e12:.0f} in f32,",
        f"{SECONDS_PER_LAUNCH * 1e6:.0f} µs for a launch that nothing hides; bytes and products are added, as if none of them overlapped.", "",
        row(["--reg", "launches", "of them products", "GB moved", "TFLOP", "MB up", "MB down", "waits", "ms for bytes", "ms for products", "ms for launches", "roofline, ms"]),
        row(["---"] + ["--:"] * 11),
    ]
    for reg, (step, _) in results.items():
        need = {name: 1e3 * value for name, value in seconds(step).items()}
        moved = step["kernel bytes"] + step["product bytes"] + step["bytes filled"]
        lines.append(row([
            reg, number(step["launches"] + step["products"]), number(step["products"]), f"{moved / 1e9:.1f}",
            f"{(step['bf16 flops'] + step['f32 flops']) / 1e12:.2f}", f"{step['bytes up'] / 1e6:.2f}", f"{step['bytes down'] / 1e6:.2f}",
            number(step["waits"]), f"{need['bytes']:.1f}", f"{need['products']:.1f}", f"{need['launches']:.1f}",
            f"{max(need['bytes'] + need['products'], need['launches']):.1f}",
        ]))
    reg, (step, layer) = next(iter(results.items()))
    lines += ["", f"Launches of a layer, forward and back (`--reg {reg}`): {number(layer['launches'] + layer['products'])}, of which the weights' rounding to bf16, AdamW and the norm of",
              f"its group are {number(outside(layer))}. All others of the step, outside of layers: {number(step['launches'] + step['products'] - LAYERS * (layer['launches'] + layer['products'] - outside(layer)))}.", "",
              row(["kernel", "a layer", "a step"]), row(["---", "--:", "--:"])]
    names = sorted((name for name in step if name.startswith("kernel ") and name != "kernel bytes" and step[name]), key=lambda name: (-step[name], name))
    lines += [row([f"`{name[7:]}`", number(layer.get(name, 0)), number(step[name])]) for name in names]
    return "\n".join(lines) + "\n"


def outside(layer):
    """Launches that each weight group asks for once a step, beside its passes."""
    return sum(layer.get(f"kernel {name}", 0) for name in ["round_bf16", "adamw", "sum_of_squares"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mirror", required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--batch-size", type=int, default=200)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--reg", nargs="*", default=REGULARIZERS)
    parser.add_argument("--output", type=Path, default=Path("eval/benchmarks/cuda.md"))
    options = parser.parse_args()
    results = {reg: of_a_step(options, reg, options.precision) for reg in options.reg}
    options.output.write_text(page(options, results))
    print(f"count-cuda: wrote {options.output}", file=sys.stderr)


if __name__ == "__main__":
    main()
