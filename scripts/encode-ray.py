#!/usr/bin/env python3
"""Encodes text with an exported model on all machines of a Ray cluster, or on the cores of this one.

    mirror export --model out --output out-onnx
    pip install 'ray[data]' onnxruntime tokenizers
    python scripts/encode-ray.py out-onnx 'texts/*.txt' embeddings --workers 8
    python scripts/encode-ray.py out-onnx s3://bucket/texts s3://bucket/embeddings --workers 64 --address auto

The input is text, one sentence a line: a file, a folder, or what else Ray Data reads. The output is a folder of Parquet
files with the columns `text` and `embedding` (a list of 32-bit floats), in the order of the input. Lines are cut as
`mirror encode` cuts them (docs/text.md), and blank ones are encoded too. The model's folder must be readable on every
machine. A batch is in memory at a time, whatever the size of the input.
"""

import argparse
import glob
import io
import os
from collections.abc import Iterator

# Neither Ray nor ONNX Runtime is to report what runs here.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
SILENT = {"ORT_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}

import pyarrow
import ray
from ray.data.datasource import FileBasedDatasource

GRAPHS = {"f32": "model.onnx", "f16": "model_fp16.onnx", "int8": "model_int8.onnx"}

# Sentences that go through the model at once; a batch is sorted by length first, so that few are padded much.
AT_ONCE = 32


# Lines that become a block of Ray's.
LINES_IN_BLOCK = 8192


def lines(stream) -> Iterator[str]:
    """The lines of a binary stream as mirror encode has them: only \\n and \\r\\n end one."""
    for line in io.TextIOWrapper(stream, encoding="utf-8-sig", newline="\n"):
        if "\0" in line:
            raise ValueError("a line holds a NUL byte, so this is not UTF-8 text")
        yield line.removesuffix("\r\n").removesuffix("\n")


class Lines(FileBasedDatasource):
    """Text files, read a block of lines at a time. Ray's own read_text cuts at U+2028, form feeds and more."""

    def _read_stream(self, f, path: str):
        block = []
        for line in lines(f):
            block.append(line)
            if len(block) == LINES_IN_BLOCK:
                yield pyarrow.table({"text": pyarrow.array(block, pyarrow.string())})
                block = []
        if block:
            yield pyarrow.table({"text": pyarrow.array(block, pyarrow.string())})


class Encoder:
    """A worker: loads the model once, then encodes batch after batch."""

    def __init__(self, folder: str, precision: str, threads: int):
        import numpy
        import onnxruntime
        import tokenizers

        self.numpy = numpy
        # Truncation and padding are in the file, as the model wants them.
        self.tokenizer = tokenizers.Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        graph = os.path.join(folder, "onnx", GRAPHS[precision])
        self.session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def __call__(self, batch: pyarrow.Table) -> pyarrow.Table:
        texts = batch["text"].to_pylist()
        order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
        embeddings = None
        for start in range(0, len(order), AT_ONCE):
            rows = order[start : start + AT_ONCE]
            part = self.encode([texts[row] for row in rows])
            if embeddings is None:
                embeddings = self.numpy.empty((len(order), part.shape[1]), dtype=self.numpy.float32)
            embeddings[rows] = part
        values = pyarrow.array(embeddings.reshape(-1))
        column = pyarrow.FixedSizeListArray.from_arrays(values, embeddings.shape[1])
        return pyarrow.table({"text": batch["text"], "embedding": column})

    def encode(self, texts: list[str]):
        """Embeddings [sentences, hidden]."""
        encodings = self.tokenizer.encode_batch_fast(texts)

        def array(rows):
            return self.numpy.array(rows, dtype=self.numpy.int64)

        inputs = {
            "input_ids": array([encoding.ids for encoding in encodings]),
            "attention_mask": array([encoding.attention_mask for encoding in encodings]),
            "token_type_ids": array([encoding.type_ids for encoding in encodings]),
        }
        return self.session.run(["sentence_embedding"], inputs)[0]


def main() -> None:
    options = arguments()
    folder = options.model if "://" in options.model else os.path.abspath(options.model)
    graph = os.path.join(folder, "onnx", GRAPHS[options.precision])
    if not os.path.isfile(graph):
        raise SystemExit(f"error: {graph} does not exist; write it with mirror export --precision {options.precision}")
    paths = options.input if "://" in options.input else sorted(glob.glob(options.input))
    if not paths:
        raise SystemExit(f"error: {options.input} does not exist")

    # Workers hold their CPUs to the end: reading and writing need one besides, or all wait for ever. Ray's CPUs are
    # tickets, so there may be more of them than this machine has.
    tickets = options.workers * options.threads + 1
    local = {} if options.address else {"num_cpus": tickets, "include_dashboard": False}
    ray.init(address=options.address, runtime_env={"env_vars": SILENT}, log_to_driver=False, **local)
    ray.data.DataContext.get_current().execution_options.preserve_order = True
    embeddings = ray.data.read_datasource(Lines(paths)).map_batches(
        Encoder,
        fn_constructor_args=(folder, options.precision, options.threads),
        compute=ray.data.ActorPoolStrategy(size=options.workers),
        num_cpus=options.threads,
        batch_size=options.batch_size,
        batch_format="pyarrow",
    )
    embeddings.write_parquet(options.output)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="folder that mirror export wrote")
    parser.add_argument("input", help="text, one sentence a line")
    parser.add_argument("output", help="folder for Parquet files")
    parser.add_argument("--workers", type=int, default=2, help="processes that encode [2]")
    parser.add_argument("--threads", type=int, default=1, help="threads of each worker [1]")
    parser.add_argument("--batch-size", type=int, default=1024, help="sentences that a worker takes at a time [1024]")
    parser.add_argument("--precision", choices=GRAPHS, default="f32", help="which graph of the folder [f32]")
    parser.add_argument("--address", help="the cluster's address, or auto [this machine alone]")
    return parser.parse_args()


if __name__ == "__main__":
    main()
