"""Encodes with sentence-transformers: writes FOLDER/EMBEDDINGS.jsonl for each folder.

    python encodes.py torch|onnx SENTENCES.txt EMBEDDINGS.jsonl FOLDER...
"""

import json
import sys
from pathlib import Path

from sentence_transformers import SentenceTransformer

backend, sentences, target, *folders = sys.argv[1:]
sentences = Path(sentences).read_text(encoding="utf-8").splitlines()
of_onnx = {"file_name": "onnx/model.onnx", "provider": "CPUExecutionProvider"}
for folder in folders:
    model_kwargs = of_onnx if backend == "onnx" else None
    model = SentenceTransformer(folder, device="cpu", backend=backend, model_kwargs=model_kwargs)
    embeddings = model.encode(sentences, batch_size=4)
    (Path(folder) / target).write_text("".join(json.dumps(row) + "\n" for row in embeddings.tolist()))
