"""Holds what `mirror encode` makes of embeddings against sentence-transformers' own quantization and truncation, and
what `mirror eval` scores against its evaluator.

    python vectors.py quantized WHOLE.npy CALIBRATION.npy|- TYPE=FILE.npy...
    python vectors.py truncated FOLDER SENTENCES.txt DIMENSIONS FILE.npy
    python vectors.py scores FOLDER PAIRS.tsv DIMENSIONS|-

The first wants the bits of quantize_embeddings, of all embeddings by the ranges of a calibration sample; the second
differences below 1e-5; the third prints a JSON object with Spearman × 100 for each precision.
"""

import json
import sys
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator
from sentence_transformers.util.quantization import quantize_embeddings


def quantized(whole: str, calibration: str, *files: str) -> None:
    embeddings = np.load(whole)
    sample = None if calibration == "-" else np.load(calibration)
    for file in files:
        name, path = file.split("=")
        ours = np.load(path)
        if name == "f16":
            theirs = embeddings.astype(np.float16)
        else:
            theirs = quantize_embeddings(embeddings, name, calibration_embeddings=sample)
        assert ours.dtype == theirs.dtype, (name, ours.dtype, theirs.dtype)
        assert np.array_equal(ours, theirs), (name, np.argwhere(ours != theirs)[:5])
        assert name == "f16" or len(np.unique(theirs)) > 4, name
        print(f"{name}: equal")


def truncated(folder: str, sentences: str, dimensions: str, file: str) -> None:
    model = SentenceTransformer(folder, device="cpu", truncate_dim=int(dimensions))
    sentences = Path(sentences).read_text(encoding="utf-8").splitlines()
    theirs = model.encode(sentences, batch_size=4, normalize_embeddings=True)
    ours = np.load(file)
    assert theirs.shape == ours.shape, (theirs.shape, ours.shape)
    difference = float(np.abs(theirs - ours).max())
    assert difference < 1e-5, difference
    print(f"largest difference {difference:.1e}")


def bits(model: SentenceTransformer, sentences: list[str], precision: str, dimensions: int | None) -> np.ndarray:
    """As the evaluator takes them apart, in whole numbers."""
    packed = model.encode(sentences, precision=precision, normalize_embeddings=True, truncate_dim=dimensions)
    packed = packed.astype(np.int16) + 128 if precision == "binary" else packed
    return np.unpackbits(packed.astype(np.uint8), axis=1).astype(np.int64)


def scores(folder: str, pairs: str, dimensions: str) -> None:
    model = SentenceTransformer(folder, device="cpu")
    rows = [line.split("\t") for line in Path(pairs).read_text(encoding="utf-8").splitlines()]
    gold, first, second = [float(row[0]) for row in rows], [row[1] for row in rows], [row[2] for row in rows]
    dimensions = None if dimensions == "-" else int(dimensions)
    found = {}
    for precision in ("float32", "int8", "uint8"):
        options = {"precision": precision, "truncate_dim": dimensions, "write_csv": False}
        evaluator = EmbeddingSimilarityEvaluator(first, second, gold, main_similarity="cosine", **options)
        found[precision] = evaluator(model)["spearman_cosine"] * 100
    # Few bits have many pairs of equal cosines, which the evaluator's f32 tells apart at random.
    for precision in ("binary", "ubinary"):
        ours, theirs = (bits(model, sentences, precision, dimensions) for sentences in (first, second))
        cosines = (ours * theirs).sum(1) / np.sqrt(ours.sum(1) * theirs.sum(1))
        found[precision] = spearmanr(gold, cosines)[0] * 100
    print(json.dumps(found))


if __name__ == "__main__":
    {"quantized": quantized, "truncated": truncated, "scores": scores}[sys.argv[1]](*sys.argv[2:])
