"""Writes FOLDER/pytorch_model.bin from FOLDER/model.safetensors, and removes that: the same values as torch.save writes
tensors that are views, parameters, of other types, shared, or beside what is none.

    python pickles.py FOLDER (zip | legacy | state_dict | model | shards)

state_dict and model: within what a trainer saves; shards: in two files, with an index.
"""

import json
import sys
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import load_file


def disguised(index: int, tensor: torch.Tensor) -> torch.Tensor:
    kind = index % 5
    if kind == 0:
        return tensor
    if kind == 1 and tensor.dim() == 2:
        return tensor.t().contiguous().t()
    if kind == 2:
        return torch.nn.Parameter(tensor)
    if kind == 3:
        # A part of something larger.
        larger = torch.full((tensor.shape[0] + 3, *tensor.shape[1:]), 7.0)
        larger[2:-1] = tensor
        return larger[2:-1]
    # Every second column, or value, of something wider.
    return tensor.repeat_interleave(2, dim=-1)[..., ::2]


def shard(folder: Path, state: dict) -> None:
    names = list(state)
    weight_map = {}
    for number, part in enumerate((names[:11], names[11:]), 1):
        file = f"pytorch_model-{number:05}-of-00002.bin"
        torch.save({name: state[name] for name in part}, folder / file)
        weight_map |= {name: file for name in part}
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))


def main(folder: Path, form: str) -> None:
    weights = load_file(folder / "model.safetensors")
    state = OrderedDict((name, disguised(i, tensor)) for i, (name, tensor) in enumerate(weights.items()))
    for name, tensor in state.items():
        assert torch.equal(tensor, weights[name]), name
    state["step"] = 7
    state["options"] = {"nested": [1, 2.5, None, ("a", True)]}
    state["position_ids"] = torch.arange(32).unsqueeze(0)
    state["tied"] = state["embeddings.word_embeddings.weight"]
    state._metadata = {"": {"version": 1}}
    if form == "shards":
        shard(folder, state)
    elif form in ("state_dict", "model"):
        module = OrderedDict((f"module.{name}", value) for name, value in state.items())
        optimizer = {"state": {0: {"step": 3, "exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}
        torch.save({"epoch": 3, form: module, "optimizer": optimizer}, folder / "pytorch_model.bin")
    else:
        torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=form == "zip")
    (folder / "model.safetensors").unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
