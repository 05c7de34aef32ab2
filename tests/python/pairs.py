"""What transformers' AutoTokenizer makes of pairs of texts.

    python pairs.py FILE < {"folders": [...], "pairs": [[first, second], ...], "lengths": [...]}

Writes FILE with one row for each folder, pair and length, in this order: [ids, types or null where the model is given none].
"""

import json
import sys

from transformers import AutoTokenizer


def main() -> None:
    asked = json.load(sys.stdin)
    rows = []
    for folder in asked["folders"]:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        for first, second in asked["pairs"]:
            for length in asked["lengths"]:
                # In a batch, as for training: by itself, a pair whose second text is empty counts as no pair.
                found = tokenizer([first], [second], truncation=True, max_length=length)
                types = found.get("token_type_ids")
                rows.append([found["input_ids"][0], types and types[0]])
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        json.dump(rows, file)


if __name__ == "__main__":
    main()
