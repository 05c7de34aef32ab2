"""Holds the losses of words by a folder that mirror pretrain wrote against transformers' AutoModelForMaskedLM.

    python predicts_words.py FOLDER ROWS

Each line of ROWS is JSON: "ids" of a sentence, special tokens included, "targets" for each of its tokens, and the
"losses", -log of each target's probability.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer


def main() -> None:
    folder, rows = map(Path, sys.argv[1:])
    model, info = AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True)
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[problem], (problem, info[problem])
    model.eval()
    assert AutoTokenizer.from_pretrained(folder).mask_token is not None
    worst, count = 0.0, 0
    for line in rows.read_text().splitlines():
        row = json.loads(line)
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([row["ids"]])).logits[0].double()
        losses = -logits.log_softmax(1)[torch.arange(len(row["ids"])), row["targets"]]
        worst = max(worst, float((losses - torch.tensor(row["losses"]).double()).abs().max()))
        count += len(row["ids"])
    assert count > 0 and worst < 1e-4, (count, worst)
    print(f"largest difference {worst:.1e}")


if __name__ == "__main__":
    main()
