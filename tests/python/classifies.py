"""Holds the logits of mirror predict against transformers' AutoModelForSequenceClassification, and those of a graph that
mirror export wrote, run by onnxruntime.

    python classifies.py FOLDER INPUT PREDICTED [EXPORTED]

INPUT has a pair a line with a tab between the texts, or a text a line; PREDICTED is what mirror predict --json says.
"""

import json
import sys
from pathlib import Path

import torch
from onnxruntime import InferenceSession
from transformers import AutoModelForSequenceClassification, AutoTokenizer


def given(inputs, name):
    """A graph of RoBERTa takes types, and its tokenizer gives none: all are 0."""
    return inputs.get(name, torch.zeros_like(inputs["input_ids"])).numpy()


def main() -> None:
    folder, texts, predicted, *exported = map(Path, sys.argv[1:])
    model, info = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[problem], (problem, info[problem])
    model.eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    # RoBERTa's kin count positions from behind the padding's.
    offset = 0 if model.config.model_type in ("bert", "distilbert") else 2
    most = min(tokenizer.model_max_length, model.config.max_position_embeddings - offset)
    rows = [json.loads(line) for line in predicted.read_text().splitlines()]
    lines = texts.read_text().splitlines()
    assert len(rows) == len(lines)
    worst = 0.0
    graphs = [InferenceSession(folder / "onnx/model.onnx") for folder in exported]
    for line, row in zip(lines, rows):
        parts = [[part] for part in line.split("\t")]
        inputs = tokenizer(*parts, truncation=True, max_length=most, return_tensors="pt")
        with torch.no_grad():
            logits = model(**inputs).logits[0]
        for graph in graphs:
            names = [taken.name for taken in graph.get_inputs()]
            found = graph.run(["logits"], {name: given(inputs, name) for name in names})[0][0]
            worst = max(worst, (logits - torch.from_numpy(found)).abs().max().item())
        worst = max(worst, (logits - torch.tensor(row["logits"])).abs().max().item())
        if "label" in row:
            assert model.config.id2label[int(logits.argmax())] == row["label"], (line, row)
            expected = logits.softmax(0).tolist()
            found = [row["probabilities"][model.config.id2label[i]] for i in range(len(expected))]
            assert max(abs(a - b) for a, b in zip(expected, found)) < 1e-4
        else:
            assert model.config.num_labels == 1 and model.config.problem_type == "regression"
    assert worst < 1e-4, worst
    print(f"largest difference {worst:.1e}")


if __name__ == "__main__":
    main()
