"""Writes tests/fixtures/pickle-bert: one tiny BERT as the pytorch_model.bin of a model with a head, with the old
names that early checkpoints have, and as a plain model.safetensors. Needs torch and transformers.

    python scripts/pickle-fixture.py
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertModel

FOLDER = Path(__file__).parent.parent / "tests/fixtures/pickle-bert"


def main() -> None:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=600,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=32,
        initializer_range=0.3,
    )
    model = BertModel(config, add_pooling_layer=False).half()
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    old = {}
    for name, tensor in state.items():
        name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        old[f"bert.{name}"] = tensor
    # Buffers and heads that the encoder has no use for.
    old["bert.embeddings.position_ids"] = torch.arange(32).unsqueeze(0)
    old["cls.predictions.bias"] = torch.zeros(600).half()
    FOLDER.mkdir(parents=True, exist_ok=True)
    torch.save(old, FOLDER / "pytorch_model.bin")
    save_file(state, FOLDER / "model.safetensors")
    model.config.save_pretrained(FOLDER)


if __name__ == "__main__":
    main()
