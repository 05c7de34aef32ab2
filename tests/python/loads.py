"""Loads a folder that `mirror train` wrote with sentence-transformers and with transformers, and compares their
embeddings with those of `mirror encode`.

    python loads.py FOLDER SENTENCES.txt EMBEDDINGS.jsonl

Prints the largest difference of each; exits non-zero where one is above 1e-4 or a weight is not float32.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoTokenizer

TOLERANCE = 1e-4


def by_sentence_transformers(folder: str, sentences: list[str]) -> np.ndarray:
    model = SentenceTransformer(folder, device="cpu")
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    return model.encode(sentences, batch_size=4)


def by_transformers(folder: str, sentences: list[str]) -> np.ndarray:
    model, loading = AutoModel.from_pretrained(folder, output_loading_info=True)
    assert all(key.startswith("pooler.") for key in loading["missing_keys"]), loading["missing_keys"]
    assert not loading["unexpected_keys"], loading["unexpected_keys"]
    assert model.dtype == torch.float32, model.dtype
    tokenizer = AutoTokenizer.from_pretrained(folder)
    longest = json.loads((Path(folder) / "sentence_bert_config.json").read_text())["max_seq_length"]
    inputs = tokenizer(sentences, padding=True, truncation=True, max_length=longest, return_tensors="pt")
    with torch.no_grad():
        hidden_states = model.eval()(**inputs).last_hidden_state
    if json.loads((Path(folder) / "1_Pooling/config.json").read_text())["pooling_mode_cls_token"]:
        embeddings = hidden_states[:, 0]
    else:
        mask = inputs["attention_mask"].unsqueeze(-1).float()
        embeddings = (hidden_states * mask).sum(1) / mask.sum(1)
    modules = json.loads((Path(folder) / "modules.json").read_text())
    if any(module["type"].endswith("Normalize") for module in modules):
        embeddings = torch.nn.functional.normalize(embeddings)
    return embeddings.numpy()


def main() -> None:
    folder, sentences, embeddings = sys.argv[1:]
    sentences = Path(sentences).read_text(encoding="utf-8").splitlines()
    ours = np.array([json.loads(line) for line in Path(embeddings).read_text().splitlines()], dtype=np.float32)
    for load in (by_sentence_transformers, by_transformers):
        theirs = load(folder, sentences)
        assert theirs.shape == ours.shape, (theirs.shape, ours.shape)
        difference = float(np.abs(theirs - ours).max())
        print(f"{load.__name__}: largest difference {difference:.1e}")
        assert difference < TOLERANCE, difference


if __name__ == "__main__":
    main()
