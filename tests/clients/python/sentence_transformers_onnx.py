"""Holds exported folders against `mirror encode`, loaded by sentence-transformers with backend="onnx".

    python sentence_transformers_onnx.py CASES.json
"""

import sys

from sentence_transformers import SentenceTransformer

from comparing import FILES, cases, compare


def main() -> None:
    for case in cases(sys.argv[1]):
        if case.pooling not in ("mean", "cls"):
            continue  # Its Pooling module does not know them; sentence_embedding is for these.
        for precision in case.precisions:
            model_kwargs = {"file_name": FILES[precision], "provider": "CPUExecutionProvider"}
            model = SentenceTransformer(str(case.folder), backend="onnx", device="cpu", model_kwargs=model_kwargs)
            rows = model.encode(case.sentences, batch_size=case.batch)
            compare("sentence-transformers", case, precision, rows)


if __name__ == "__main__":
    main()
