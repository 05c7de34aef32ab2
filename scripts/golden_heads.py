"""Golden values of training steps with labels, recorded with PyTorch in f64.

The encoder and the head are those of transformers' ForSequenceClassification, for BERT and RoBERTa; dropout masks, losses,
perturbations and the order of things are written out here, in plain PyTorch. Masks are mirror's: a value is kept or
dropped by a hash of the place where it is used (`Key`), so that passes of a step share them.

Shapes: N texts or pairs, S tokens (padded), H hidden, C classes.
"""

import json

import numpy
import torch
from safetensors.torch import load_file
from torch.func import functional_call
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    BertConfig,
    BertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)
from transformers.masking_utils import eager_mask
from transformers.utils import logging

logging.disable_progress_bar()

ARCHITECTURES = {
    "bert": (BertConfig, BertForSequenceClassification),
    "roberta": (RobertaConfig, RobertaForSequenceClassification),
}
OBJECTIVES = ["classification", "regression"]
REGULARIZERS = ["none", "sam", "delta-sam", "r3f", "r-drop", "delta-sam+r3f"]
CLASSES = 3
SPECIAL = 5  # ids below are not drawn as words


# Masks: mirror's hash of where a value is used.

BITS = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
SITES = {"embeddings": 1, "attention": 2, "attention output": 3, "feed-forward output": 4, "redraw": 12, "head": 13}


def mix64(x):
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & BITS
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & BITS
    return x ^ (x >> 31)


class Key:
    """A place; at() is one within it."""

    def __init__(self, value):
        self.value = value

    @staticmethod
    def of_seed(seed):
        return Key(mix64((seed + GOLDEN) & BITS))

    def at(self, *parts):
        value = self.value
        for part in parts:
            value = mix64(value ^ ((part * GOLDEN + GOLDEN) & BITS))
        return Key(value)

    def factors(self, p, channels):
        """[channels]: 0 for a dropped value, 1 / (1 - p), rounded to f32, for a kept one."""
        low, high = numpy.uint32(self.value & 0xFFFFFFFF), numpy.uint32(self.value >> 32)
        with numpy.errstate(over="ignore"):
            x = numpy.arange(channels, dtype=numpy.uint32) * numpy.uint32(0x9E3779B9) ^ low
            x ^= x >> 16
            x = x * numpy.uint32(0x7FEB352D) ^ high
            x ^= x >> 15
            x = x * numpy.uint32(0x846CA68B)
            x ^= x >> 16
        scale = float(numpy.float32(1 / (1 - p)))
        return torch.from_numpy(numpy.where(x >= round(p * 2**32), scale, 0.0))


class Masks:
    """The factors of one pass: functions of the pass's key, the text and the place. None where nothing is dropped."""

    def __init__(self, key, constants):
        self.key = key
        self.hidden, self.attention = constants["hidden_dropout"], constants["attention_dropout"]

    def rows(self, layer, site, shape):
        """[N, S, H]"""
        texts, tokens, width = shape
        of_row = lambda text, token: self.key.at(0, text, layer, SITES[site], token).factors(self.hidden, width)
        return torch.stack([torch.stack([of_row(text, t) for t in range(tokens)]) for text in range(texts)])

    def probabilities(self, layer, shape):
        """[N, heads, S, S]"""
        texts, heads, queries, keys = shape

        def of_row(text, head, query):
            return self.key.at(0, text, layer, SITES["attention"], head, query).factors(self.attention, keys)

        return torch.stack(
            [
                torch.stack([torch.stack([of_row(text, h, q) for q in range(queries)]) for h in range(heads)])
                for text in range(texts)
            ]
        )

    def head(self, place, shape):
        """[N, H]: what goes into layer `place` of the head."""
        texts, width = shape
        return torch.stack([self.key.at(0, text, place, SITES["head"], 0).factors(self.hidden, width) for text in range(texts)])


class Dropout(torch.nn.Module):
    """In place of a Dropout of transformers: multiplies by the factors of whichever pass is under way."""

    def __init__(self, layer, site):
        super().__init__()
        self.layer, self.site = layer, site
        self.masks, self.kept = None, {}

    def forward(self, x):
        if self.masks is None:
            return x
        # The five steps share their masks.
        key = (self.masks.key.value, tuple(x.shape))
        if key not in self.kept:
            self.kept[key] = self.masks.rows(self.layer, self.site, x.shape)
        return x * self.kept[key]


def attention(module, query, key, value, attention_mask, scaling=None, **_):
    """As transformers' eager attention, with our masks."""
    scores = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = scores.softmax(-1)
    if module.golden_masks is not None:
        kept = (module.golden_masks.key.value, tuple(weights.shape))
        if kept not in module.golden_kept:
            module.golden_kept[kept] = module.golden_masks.probabilities(module.golden_layer, weights.shape)
        weights = weights * module.golden_kept[kept]
    return (weights @ value).transpose(1, 2).contiguous(), weights


AttentionInterface.register("golden", attention)
AttentionMaskInterface.register("golden", eager_mask)


# What a folder holds before anything is computed.


def hyperparameters(architecture, objective):
    return {
        "kind": architecture,
        "objective": objective,
        "rho": 0.05,
        "beta": {"bert": 3.0, "roberta": 5.0}[architecture],
        "r3f_lambda": 1.0,
        "r3f_noise_range": 0.05,
        "r_drop_alpha": 1.0,
        "hidden_dropout": 0.1,
        "attention_dropout": 0.1,
        "dropout_seed": 42,
        "dropout_step": 1,
        "lr": 1e-3,
        "weight_decay": 0.01,
        "adam_betas": [0.9, 0.999],
        "adam_eps": 1e-8,
    }


def tiny_config(options):
    own = {"type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0}
    if options.architecture == "roberta":
        own = {"type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 1}
    config_class, _ = ARCHITECTURES[options.architecture]
    constants = hyperparameters(options.architecture, options.objective)
    return config_class(
        vocab_size=options.vocab_size,
        hidden_size=options.hidden_size,
        num_hidden_layers=options.layers,
        num_attention_heads=options.heads,
        intermediate_size=options.intermediate_size,
        max_position_embeddings=options.width + 4,
        initializer_range=0.2,
        hidden_dropout_prob=constants["hidden_dropout"],
        attention_probs_dropout_prob=constants["attention_dropout"],
        num_labels=CLASSES if options.objective == "classification" else 1,
        **own,
    )


def random_inputs(config, weights, options, noise_range, generator):
    texts, width = options.sentences, options.width
    lengths = torch.randint(4, width + 1, (texts,), generator=generator)
    lengths[0] = width
    mask = (torch.arange(width) < lengths[:, None]).long()
    ids = torch.randint(SPECIAL, config.vocab_size, (texts, width), generator=generator)
    inputs = {"input_ids": torch.where(mask == 1, ids, config.pad_token_id), "attention_mask": mask}
    # Where the second text of a pair begins; RoBERTa is not told.
    second = torch.stack([torch.randint(2, int(length), (1,), generator=generator) for length in lengths])
    types = (torch.arange(width) >= second).long() * mask
    inputs["token_type_ids"] = types if config.type_vocab_size > 1 else torch.zeros_like(types)
    if options.objective == "classification":
        inputs["labels"] = torch.randint(0, CLASSES, (texts,), generator=generator)
    else:
        inputs["labels"] = 5 * torch.rand((texts,), generator=generator, dtype=torch.float64)
    shape = (texts, width, config.hidden_size)
    inputs["noise"] = (2 * torch.rand(shape, generator=generator) - 1) * noise_range
    for name, weight in weights.items():
        inputs[f"direction.{name}"] = torch.randn(weight.shape, generator=generator)
    return inputs


# The reference.


class Reference:
    """A folder's model and inputs, in f64."""

    classes = ARCHITECTURES

    def __init__(self, folder, constants):
        config_json = json.loads((folder / "config.json").read_text())
        config_class, model_class = self.classes[config_json["model_type"]]
        self.config = config_class.from_dict(config_json)
        self.config._attn_implementation = "golden"
        self.model = model_class(self.config).double().eval()
        self.names = [name for name, _ in self.model.named_parameters()]
        stored = load_file(folder / "model.safetensors")
        self.weights = {name: stored[name].double() for name in self.names}
        inputs = load_file(folder / "inputs.safetensors")
        self.inputs = {name: x.double() if x.is_floating_point() else x for name, x in inputs.items()}
        self.direction = {name: self.inputs[f"direction.{name}"] for name in self.names}
        self.noise = self.inputs["noise"]
        key = Key.of_seed(constants["dropout_seed"]).at(constants["dropout_step"])
        self.clean = Masks(key, constants)
        self.redrawn = Masks(key.at(SITES["redraw"], 1), constants)
        self.place_masks()
        self.check_eager(folder, model_class)

    def encoder(self):
        return getattr(self.model, self.config.model_type)

    def place_masks(self):
        encoder = self.encoder()
        encoder.embeddings.dropout = Dropout(0, "embeddings")
        self.dropouts, self.attentions = [encoder.embeddings.dropout], []
        for number, layer in enumerate(encoder.encoder.layer):
            own = layer.attention.self
            own.golden_layer, own.golden_masks, own.golden_kept = number, None, {}
            layer.attention.output.dropout = Dropout(number, "attention output")
            layer.output.dropout = Dropout(number, "feed-forward output")
            self.attentions.append(own)
            self.dropouts += [layer.attention.output.dropout, layer.output.dropout]

    def check_eager(self, folder, model_class):
        """Without masks, what is written out here is transformers' own model."""
        own = model_class.from_pretrained(folder, attn_implementation="eager").double().eval()
        given = {name: self.inputs[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
        with torch.no_grad():
            error = float((own(**given).logits - self.logits(self.weights, None)).abs().max())
        assert error < 1e-6, f"our head differs from transformers' by {error}"

    def position_ids(self):
        """[N, S]. RoBERTa counts the tokens that are not padding, and cannot do so where it is given embeddings."""
        ids = self.inputs["input_ids"]
        if self.config.model_type == "bert":
            return torch.arange(ids.shape[1]).expand_as(ids)
        real = (ids != self.config.pad_token_id).long()
        return real.cumsum(1) * real + self.config.pad_token_id

    def logits(self, weights, masks, noise=None):
        """[N, C], under the masks of a pass, or none."""
        return self.head(weights, self.states(weights, masks, noise)[:, 0], masks)

    def states(self, weights, masks, noise=None):
        """[N, S, H]: the last hidden states."""
        for dropout in self.dropouts:
            dropout.masks = masks
        for own in self.attentions:
            own.golden_masks = masks
        kind = self.config.model_type
        encoder = {name.removeprefix(f"{kind}."): w for name, w in weights.items() if name.startswith(f"{kind}.")}
        ids = self.inputs["input_ids"]
        tokens = {"input_ids": ids}
        if noise is not None:
            words = encoder["embeddings.word_embeddings.weight"]
            tokens = {"inputs_embeds": torch.nn.functional.embedding(ids, words) + noise}
        given = {name: self.inputs[name] for name in ("attention_mask", "token_type_ids")}
        given["position_ids"] = self.position_ids()
        return functional_call(self.encoder(), encoder, kwargs=tokens | given).last_hidden_state

    def head(self, weights, first, masks):
        """BERT: dense and tanh of the pooler, dropout, linear. RoBERTa: dropout, dense, tanh, dropout, linear."""
        dropped = lambda x, place: x if masks is None else x * masks.head(place, x.shape)
        linear = lambda x, name: x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
        if self.config.model_type == "bert":
            return linear(dropped(linear(first, "bert.pooler.dense").tanh(), 1), "classifier")
        hidden = linear(dropped(first, 0), "classifier.dense").tanh()
        return linear(dropped(hidden, 1), "classifier.out_proj")


class Objective:
    """Loss per instance [N] at any weights."""

    def __init__(self, reference, constants, regularizer):
        self.reference, self.constants, self.regularizer = reference, constants, regularizer
        self.classifies = constants["objective"] == "classification"

    def instances(self):
        return len(self.reference.inputs["labels"])

    def predicted(self, weights, masks, noise=None):
        """Log-probabilities [N, C], or values [N]."""
        logits = self.reference.logits(weights, masks, noise)
        return logits.log_softmax(1) if self.classifies else logits[:, 0]

    def divergence(self, p, q):
        """[N]: KL(P||Q) + KL(Q||P), or the squared difference."""
        return ((p.exp() - q.exp()) * (p - q)).sum(1) if self.classifies else (p - q).square()

    def losses(self, weights):
        labels = self.reference.inputs["labels"]
        clean = self.predicted(weights, self.reference.clean)
        losses = -clean[torch.arange(len(labels)), labels] if self.classifies else (clean - labels).square()
        return losses + self.divergences(clean, weights)

    def divergences(self, clean, weights):
        """[N]: what the loss terms add."""
        added = torch.zeros(self.instances(), dtype=torch.float64)
        if "r3f" in self.regularizer:
            noisy = self.predicted(weights, self.reference.clean, self.reference.noise)
            added = added + self.constants["r3f_lambda"] * self.divergence(clean, noisy)
        if "r-drop" in self.regularizer:
            redrawn = self.predicted(weights, self.reference.redrawn)
            added = added + self.constants["r_drop_alpha"] / 2 * self.divergence(clean, redrawn)
        return added

    def gradient(self, weights, instance_weights):
        """(losses [N], gradient of their sum weighted by instance_weights [N])"""
        leaves = {name: w.detach().requires_grad_() for name, w in weights.items()}
        losses = self.losses(leaves)
        gradients = torch.autograd.grad(instance_weights @ losses, list(leaves.values()))
        return losses.detach(), dict(zip(leaves, gradients))


def record(folder, constants, case, reference_class=Reference, objective_class=Objective, regularizers=REGULARIZERS):
    """All expected values of a folder, from its own model and inputs: (expected.json, expected.safetensors). `case` takes a
    reference, the constants and an objective through five steps."""
    reference = reference_class(folder, constants)
    expected = constants | {"parameters": reference.names, "cases": {}}
    with torch.no_grad():
        logits = reference.logits(reference.weights, None)
    tensors = {"logits": logits.float().contiguous()}
    for regularizer in regularizers:
        objective = objective_class(reference, constants, regularizer)
        expected["cases"][regularizer], own = case(reference, constants, objective, regularizer)
        tensors.update({f"{regularizer}/{key}": tensor for key, tensor in own.items()})
    return expected, tensors
