"""Reads folders that hold a written tokenizer and expected.json with transformers, and compares the ids.

    python tokenizers_written.py FOLDER_OF_FOLDERS
"""

import json
import sys
from pathlib import Path

from transformers import AutoTokenizer


def main(root: Path) -> None:
    folders = sorted(folder for folder in root.iterdir() if folder.is_dir())
    for folder in folders:
        expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
        tokenizer = AutoTokenizer.from_pretrained(folder)
        ids = tokenizer(expected["texts"], truncation=True, max_length=expected["max_length"])["input_ids"]
        for text, ours, theirs in zip(expected["texts"], expected["ids"], ids, strict=True):
            assert ours == theirs, f"{expected['name']}: {text!r}: {ours} {theirs}"
    print(f"{len(folders)} folders agree")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
