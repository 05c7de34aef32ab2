"""Makes a tiny random encoder of each architecture with transformers, and says what PyTorch computes with it in f64.

    python architectures.py FOLDERS

Writes FOLDERS/NAME for each, as save_pretrained does, and in it expected.safetensors:

    ids        [n, width], -1 behind a sentence's end
    types      [n, width], token types, 0 for all but pairs
    direction  [n, hidden]
    mean, cls  [n, hidden] embeddings
    gradient.X of each trained tensor X: that of sum(mean · direction)
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import (
    BertConfig,
    BertModel,
    CamembertConfig,
    CamembertModel,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertModel,
    MPNetConfig,
    MPNetForMaskedLM,
    MPNetModel,
    RobertaConfig,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

COMMON = dict(vocab_size=600, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, initializer_range=0.2)
USUAL = COMMON | dict(intermediate_size=48, max_position_embeddings=200, layer_norm_eps=1e-5)
DISTIL = COMMON | dict(hidden_dim=48, max_position_embeddings=200)
KINDS = {
    "bert": BertModel(BertConfig(**USUAL)),
    "bert-of-pairs": BertModel(BertConfig(**USUAL)),
    "roberta": RobertaModel(RobertaConfig(**USUAL, type_vocab_size=1)),
    "xlm-roberta": XLMRobertaModel(XLMRobertaConfig(**USUAL, type_vocab_size=1)),
    "camembert": CamembertModel(CamembertConfig(**USUAL, type_vocab_size=1)),
    "mpnet": MPNetModel(MPNetConfig(**USUAL)),
    "mpnet-of-more-buckets": MPNetModel(
        MPNetConfig(**USUAL, relative_attention_num_buckets=40, hidden_act="gelu_new", pad_token_id=3)
    ),
    "mpnet-with-a-head": MPNetForMaskedLM(MPNetConfig(**USUAL)),
    "distilbert": DistilBertModel(DistilBertConfig(**DISTIL)),
    "distilbert-with-a-head": DistilBertForMaskedLM(DistilBertConfig(**DISTIL, activation="relu")),
}
# Beyond the distance from which MPNet's buckets are one.
LENGTHS = [150, 3, 40, 9, 17]


def main() -> None:
    for number, (name, model) in enumerate(KINDS.items()):
        generator = torch.Generator().manual_seed(number)
        for parameter in model.parameters():
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
        folder = Path(sys.argv[1]) / name
        model.save_pretrained(folder)
        encoder = model.base_model.double().eval()
        encoder.config._attn_implementation = "eager"
        save_file(expected(encoder, generator, name == "bert-of-pairs"), folder / "expected.safetensors")


def expected(encoder: torch.nn.Module, generator: torch.Generator, pairs: bool) -> dict[str, torch.Tensor]:
    pad = encoder.config.pad_token_id
    mask = (torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]).long()
    # No padding within the text: PyTorch gives the padding's row no gradient.
    ids = torch.randint(5, 600, mask.shape, generator=generator)
    # A pair's second text begins somewhere; that of the shortest is empty.
    begin = torch.tensor([length * 2 // 5 if length > 3 else length for length in LENGTHS])
    types = (torch.arange(max(LENGTHS)) >= begin[:, None]).long() * mask * int(pairs)
    given = {"token_type_ids": types} if pairs else {}
    states = encoder(input_ids=torch.where(mask == 1, ids, pad), attention_mask=mask, **given).last_hidden_state
    mean = (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
    direction = torch.randn(mean.shape, generator=generator, dtype=torch.float64)
    names, parameters = zip(*((n, p) for n, p in encoder.named_parameters() if not n.startswith("pooler.")))
    gradients = torch.autograd.grad((mean * direction).sum(), parameters)
    found = {f"gradient.{name}": gradient for name, gradient in zip(names, gradients, strict=True)}
    found |= {"ids": torch.where(mask == 1, ids, -1), "types": types}
    found |= {"direction": direction, "mean": mean, "cls": states[:, 0]}
    return {name: tensor.detach().contiguous() for name, tensor in found.items()}


if __name__ == "__main__":
    main()
