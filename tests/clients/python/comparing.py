"""What the clients in Python are compared by: the cases that the test wrote, and the tolerances."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FILES = {"f32": "onnx/model.onnx", "f16": "onnx/model_fp16.onnx", "int8": "onnx/model_int8.onnx"}
TOLERANCES = {"f32": 1e-4, "f16": 2e-3}
LEAST_COSINE = 0.98


@dataclass
class Case:
    name: str
    folder: Path
    pooling: str
    normalized: bool
    precisions: list[str]
    sentences: list[str]
    expected: np.ndarray
    """`mirror encode --normalize`, [sentences, hidden]"""
    batch: int = 8


def cases(path: str) -> list[Case]:
    found = []
    for case in json.loads(Path(path).read_text(encoding="utf-8")):
        lines = Path(case.pop("expected")).read_text().splitlines()
        expected = np.array([json.loads(line) for line in lines], dtype=np.float32)
        found.append(Case(**{**case, "folder": Path(case["folder"]), "expected": expected}))
    return found


def compare(client: str, case: Case, precision: str, rows: np.ndarray) -> None:
    """Fails where normalised rows are further from the expected ones than the precision allows."""
    assert rows.shape == case.expected.shape, (rows.shape, case.expected.shape)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    largest = float(np.abs(rows - case.expected).max())
    cosine = float((rows * case.expected).sum(axis=1).mean())
    print(f"{client}: {case.name} {precision}: largest difference {largest:.1e}, mean cosine {cosine:.5f}")
    if precision == "int8":
        assert cosine >= LEAST_COSINE, (client, case.name, cosine)
    else:
        assert largest <= TOLERANCES[precision], (client, case.name, precision, worst(case, rows))


def worst(case: Case, rows: np.ndarray) -> str:
    index = int(np.abs(rows - case.expected).max(axis=1).argmax())
    return f"{case.sentences[index]!r}"
