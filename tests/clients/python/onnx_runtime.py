"""Holds exported folders against `mirror encode`: onnx.checker with full shape inference, and onnxruntime with the
folder's tokenizer.json as it is (its own truncation and padding).

    python onnx_runtime.py CASES.json
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from tokenizers import Tokenizer

from comparing import FILES, cases, compare


def main() -> None:
    for case in cases(sys.argv[1]):
        tokenizer = Tokenizer.from_file(str(case.folder / "tokenizer.json"))
        for precision in case.precisions:
            path = case.folder / FILES[precision]
            onnx.checker.check_model(str(path), full_check=True)
            model = onnx.load(str(path), load_external_data=False)
            assert model.producer_name == "mirror" and model.producer_version, model.producer_name
            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
            taken = check_interface(session)
            rows = []
            for start in range(0, len(case.sentences), case.batch):
                encodings = tokenizer.encode_batch(case.sentences[start : start + case.batch])
                inputs = {
                    "input_ids": np.array([e.ids for e in encodings], dtype=np.int64),
                    "attention_mask": np.array([e.attention_mask for e in encodings], dtype=np.int64),
                    "token_type_ids": np.array([e.type_ids for e in encodings], dtype=np.int64),
                }
                inputs = {name: inputs[name] for name in taken}
                embeddings, hidden_states = session.run(["sentence_embedding", "last_hidden_state"], inputs)
                assert hidden_states.shape == (*inputs["input_ids"].shape, embeddings.shape[1]), hidden_states.shape
                rows.append(embeddings)
            rows = np.concatenate(rows)
            if case.normalized:
                assert np.abs(np.linalg.norm(rows, axis=1) - 1).max() < 1e-3
            compare("onnxruntime", case, precision, rows)


def check_interface(session: onnxruntime.InferenceSession) -> list[str]:
    """The inputs that are taken: a model without token types has no third."""
    inputs = {i.name: (i.type, len(i.shape)) for i in session.get_inputs()}
    names = ["input_ids", "attention_mask", "token_type_ids"]
    assert list(inputs) in (names, names[:2]), inputs
    assert set(inputs.values()) == {("tensor(int64)", 2)}, inputs
    assert all(isinstance(size, str) for i in session.get_inputs() for size in i.shape), "a dimension is fixed"
    outputs = {o.name: (o.type, len(o.shape)) for o in session.get_outputs()}
    assert outputs == {"last_hidden_state": ("tensor(float)", 3), "sentence_embedding": ("tensor(float)", 2)}, outputs
    return list(inputs)


if __name__ == "__main__":
    main()
