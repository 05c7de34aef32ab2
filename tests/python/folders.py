"""Makes folders of sentence-transformers of all kinds from one of transformers, and says how it encodes with them.

    python folders.py MODEL FOLDERS SENTENCES.txt

Writes FOLDERS/NAME for each kind, and FOLDERS/NAME.json: its embeddings of the sentences by encode, encode_query and
encode_document.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Dense, LayerNorm, Normalize, Pooling, Transformer
from torch import nn

PROMPTS = {"query": "two dogs: ", "document": "a man: ", "passage": "someone: "}
LONG = {"long": "while two dogs run over the green fields and someone sings " * 8}


def dense(inputs: int, outputs: int, activation: nn.Module, **options) -> Dense:
    return Dense(inputs, outputs, activation_function=activation, **options)


def layer_norm(width: int) -> LayerNorm:
    module = LayerNorm(width)
    nn.init.normal_(module.norm.weight, 1.0, 0.3)
    nn.init.normal_(module.norm.bias, 0.0, 0.3)
    return module


def kinds() -> dict[str, dict]:
    """Pooling mode, whether it includes the prompt, modules after it, prompts, the default's name, and the rest."""
    return {
        "prompt": {"prompts": PROMPTS, "default": "query"},
        "prompt-of-no-text": {"prompts": PROMPTS, "default": "document", "modules": [Normalize()]},
        "no-default": {"prompts": PROMPTS},
        "excluded": {"prompts": PROMPTS, "default": "query", "include": False},
        "excluded-cls": {"mode": "cls", "prompts": PROMPTS, "default": "passage", "include": False},
        "excluded-all": {"prompts": LONG, "default": "long", "include": False, "longest": 16},
        "excluded-cls-all": {"mode": "cls", "prompts": LONG, "default": "long", "include": False, "longest": 16},
        "labse": {"mode": "cls", "modules": [dense(32, 32, nn.Tanh()), Normalize()]},
        "distiluse": {"modules": [dense(32, 20, nn.Tanh())], "pickled": True},
        "no-bias": {"modules": [dense(32, 48, nn.Identity(), bias=False)]},
        "order": {
            "modules": [Normalize(), layer_norm(32), dense(32, 24, nn.GELU()), dense(24, 8, nn.ReLU()), layer_norm(8)],
            "pickled": True,
        },
        "residual": {
            "modules": [
                dense(32, 32, nn.SiLU(), use_residual=True),
                dense(32, 12, nn.Sigmoid(), use_residual=True),
                Normalize(),
            ]
        },
        "truncated": {"modules": [layer_norm(32), Normalize()], "truncate": 7},
        "all": {
            "modules": [dense(32, 20, nn.Tanh()), Normalize()],
            "prompts": PROMPTS,
            "default": "query",
            "include": False,
            "truncate": 9,
        },
    }


def make(model: str, folder: Path, kind: dict) -> SentenceTransformer:
    transformer = Transformer(model, max_seq_length=kind.get("longest", 48))
    pooling = Pooling(32, pooling_mode=kind.get("mode", "mean"), include_prompt=kind.get("include", True))
    made = SentenceTransformer(
        modules=[transformer, pooling, *kind.get("modules", [])],
        prompts=kind.get("prompts"),
        default_prompt_name=kind.get("default"),
        truncate_dim=kind.get("truncate"),
        device="cpu",
    )
    made.save(str(folder), create_model_card=False)
    # The length is written into the tokenizer's settings, and so it was not always.
    if kind.get("pickled"):
        in_the_old_way(folder, made)
    return SentenceTransformer(str(folder), device="cpu")


def in_the_old_way(folder: Path, made: SentenceTransformer) -> None:
    """Classes in their old package, weights as pickles, the pooling mode as flags."""
    modules = json.loads((folder / "modules.json").read_text())
    for module, entry in zip(made, modules):
        name = entry["type"].rsplit(".", 1)[1]
        entry["type"] = f"sentence_transformers.models.{name}"
        if (folder / entry["path"] / "model.safetensors").exists() and entry["path"]:
            (folder / entry["path"] / "model.safetensors").unlink()
            torch.save(module.state_dict(), folder / entry["path"] / "pytorch_model.bin")
    (folder / "modules.json").write_text(json.dumps(modules))
    flags = {"word_embedding_dimension": 32, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling/config.json").write_text(json.dumps(flags))
    settings = {"max_seq_length": 48, "do_lower_case": False}
    (folder / "sentence_bert_config.json").write_text(json.dumps(settings))


def main() -> None:
    model, folders, sentences = sys.argv[1:]
    sentences = Path(sentences).read_text(encoding="utf-8").splitlines()
    torch.manual_seed(3)
    for name, kind in kinds().items():
        folder = Path(folders) / name
        shutil.rmtree(folder, ignore_errors=True)
        encoder = make(model, folder, kind)
        ways = {"encode": encoder.encode, "query": encoder.encode_query, "document": encoder.encode_document}
        found = {way: encode(sentences, batch_size=4).tolist() for way, encode in ways.items()}
        (Path(folders) / f"{name}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
