"""Golden values of one training step (and five), recorded with PyTorch in f64.

The encoder is transformers' own, without its pooler (with labels, golden_heads.py, with a head); the losses, the perturbations and the
order of things are written out here once more, in plain PyTorch, so that they share no code with what they test.
Start it by scripts/make-golden.

Shapes: B sentences, S tokens (padded), H hidden, N = B instances, 2B embeddings (view 1, then view 2).
"""

import argparse
import json
import math
import os
import sys
import tempfile
from pathlib import Path

import golden_heads
import golden_words
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch.func import functional_call
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    MPNetConfig,
    MPNetModel,
    RobertaConfig,
    RobertaModel,
)

ARCHITECTURES = {
    "bert": (BertConfig, BertModel),
    "roberta": (RobertaConfig, RobertaModel),
    "mpnet": (MPNetConfig, MPNetModel),
    "distilbert": (DistilBertConfig, DistilBertModel),
}
BETA = {"bert": 3.0, "roberta": 5.0, "mpnet": 5.0, "distilbert": 3.0}
KEY_BIASES = (".key.bias", ".attn.k.bias", ".k_lin.bias")
REGULARIZERS = ["none", "sam", "delta-sam", "r3f", "sam+r3f", "delta-sam+r3f"]
POOLINGS = ["mean", "cls"]
STEPS = 5
MASK_ID = 4
TOLERANCE = 1e-6


class Complaint(Exception):
    """A sentence for the user."""


# What a folder holds before anything is computed: config, weights, inputs.


def hyperparameters(architecture):
    return {
        "kind": architecture,
        "tau": 0.05,
        "rho": 0.05,
        "beta": BETA[architecture],
        "r3f_lambda": 1.0,
        "r3f_noise_range": 0.05,
        "lr": 1e-3,
        "weight_decay": 0.01,
        "adam_betas": [0.9, 0.999],
        "adam_eps": 1e-8,
    }


def tiny_config(options):
    config_class, _ = ARCHITECTURES[options.architecture]
    shape = dict(
        vocab_size=options.vocab_size,
        hidden_size=options.hidden_size,
        num_hidden_layers=options.layers,
        num_attention_heads=options.heads,
        max_position_embeddings=64,
        initializer_range=0.2,
    )
    if options.architecture == "distilbert":
        return config_class(**shape, hidden_dim=options.intermediate_size, dropout=0.0, attention_dropout=0.0)
    own = {"type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0}
    if options.architecture == "roberta":
        own = {"type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 1}
    if options.architecture == "mpnet":
        own = {"layer_norm_eps": 1e-5, "pad_token_id": 1}
    if options.type_vocab_size is not None:
        own["type_vocab_size"] = options.type_vocab_size
    return config_class(
        **shape,
        intermediate_size=options.intermediate_size,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        **own,
    )


def bare_model(architecture, config):
    """transformers' encoder without a pooler, which DistilBERT's never has."""
    _, model_class = ARCHITECTURES[architecture]
    return model_class(config) if architecture == "distilbert" else model_class(config, add_pooling_layer=False)


def random_weights(model, std, generator):
    """Every tensor random, the biases, LayerNorms and rows of the padding token included: at their usual 0 and 1 a
    forgotten or exchanged one would not show."""
    weights = {}
    for name, parameter in model.named_parameters():
        mean = 1.0 if name.endswith(("LayerNorm.weight", "layer_norm.weight")) else 0.0
        weights[name] = mean + std * torch.randn(parameter.shape, generator=generator)
    return weights


def random_inputs(config, weights, sentences, width, noise_range, generator):
    lengths = torch.randint(3, width + 1, (sentences,), generator=generator)
    lengths[0] = width
    attention_mask = (torch.arange(width) < lengths[:, None]).long()
    ids = torch.randint(MASK_ID + 1, config.vocab_size, (sentences, width), generator=generator)
    input_ids_1 = torch.where(attention_mask == 1, ids, config.pad_token_id)
    # View 2 has one token masked; never the first, which is what `cls` pools.
    input_ids_2 = input_ids_1.clone()
    for row, length in enumerate(lengths.tolist()):
        input_ids_2[row, int(torch.randint(1, length, (1,), generator=generator))] = MASK_ID
    noise_shape = (sentences, width, config.hidden_size)
    inputs = {"input_ids_1": input_ids_1, "input_ids_2": input_ids_2, "attention_mask": attention_mask}
    for view in (1, 2):
        inputs[f"noise_{view}"] = (2 * torch.rand(noise_shape, generator=generator) - 1) * noise_range
    for name, weight in weights.items():
        inputs[f"direction.{name}"] = torch.randn(weight.shape, generator=generator)
    return inputs


# The reference: encoder, losses, perturbations.


class Reference:
    """A folder's model and inputs, in f64."""

    def __init__(self, folder):
        config_json = json.loads((folder / "config.json").read_text())
        architecture = config_json.get("model_type")
        if architecture not in ARCHITECTURES:
            raise Complaint(f"{folder}/config.json: model_type is {architecture}; known are {', '.join(ARCHITECTURES)}")
        config_class, _ = ARCHITECTURES[architecture]
        self.config = config_class.from_dict(config_json)
        self.config._attn_implementation = "eager"
        self.model = bare_model(architecture, self.config).double().eval()
        self.names = [name for name, _ in self.model.named_parameters()]
        stored = load_file(folder / "model.safetensors")
        self.weights = {name: stored[name].double() for name in self.names}
        inputs = load_file(folder / "inputs.safetensors")
        self.attention_mask = inputs["attention_mask"]
        self.input_ids = [inputs["input_ids_1"], inputs["input_ids_2"]]
        self.noise = [inputs["noise_1"].double(), inputs["noise_2"].double()]
        self.direction = {name: inputs[f"direction.{name}"].double() for name in self.names}

    def position_ids(self, input_ids):
        """[B, S]. RoBERTa counts the tokens that are not padding, from pad_token_id + 1, and cannot do so when it is
        given embeddings for ids: so they are always passed. MPNet does the same, with padding of id 1 built in."""
        if self.config.model_type in ("bert", "distilbert"):
            return torch.arange(input_ids.shape[1]).expand_as(input_ids)
        padding = 1 if self.config.model_type == "mpnet" else self.config.pad_token_id
        real = (input_ids != padding).long()
        return real.cumsum(1) * real + padding

    def hidden_states(self, weights, view, noise=None):
        """[B, S, H]"""
        input_ids = self.input_ids[view]
        tokens = {"input_ids": input_ids}
        if noise is not None:
            embedded = torch.nn.functional.embedding(input_ids, weights["embeddings.word_embeddings.weight"])
            tokens = {"inputs_embeds": embedded + noise}
        mask = {"attention_mask": self.attention_mask, "position_ids": self.position_ids(input_ids)}
        return functional_call(self.model, weights, kwargs=tokens | mask).last_hidden_state

    def pooled(self, hidden_states, pooling):
        """[B, H]"""
        if pooling == "cls":
            return hidden_states[:, 0]
        if pooling == "mean-padded":
            return hidden_states.mean(1)
        mask = self.attention_mask[:, :, None].double()
        return (hidden_states * mask).sum(1) / mask.sum(1)

    def embeddings(self, weights, pooling, noise=(None, None)):
        """[2B, H], view 1 then view 2"""
        return torch.cat([self.pooled(self.hidden_states(weights, v, noise[v]), pooling) for v in (0, 1)])


def log_softmax_over_others(embeddings, tau):
    """[2B, 2B]: the log of each anchor's distribution over the other embeddings; -inf on the diagonal."""
    unit = embeddings / embeddings.norm(dim=1, keepdim=True)
    similarities = unit @ unit.T / tau
    return similarities.masked_fill(torch.eye(len(unit), dtype=torch.bool), -math.inf).log_softmax(1)


def per_instance(of_anchors):
    """[2B] -> [B]: the mean over an instance's two anchors."""
    return of_anchors.view(2, -1).mean(0)


def nt_xent(log_p):
    anchors = torch.arange(len(log_p))
    return per_instance(-log_p[anchors, anchors.roll(len(log_p) // 2)])


def symmetric_kl(log_p, log_q):
    """KL(P||Q) + KL(Q||P) of each anchor, by instance. The diagonals are left out: there, both are log 0."""
    others = ~torch.eye(len(log_p), dtype=torch.bool)
    p, q = (x[others].view(len(log_p), -1) for x in (log_p, log_q))
    return per_instance(((p.exp() - q.exp()) * (p - q)).sum(1))


def norm(tree):
    return math.sqrt(sum(float(x.square().sum()) for x in tree.values()))


class Objective:
    """Loss per instance [N] at any weights."""

    def __init__(self, reference, constants, pooling, with_r3f):
        self.reference, self.constants = reference, constants
        self.pooling, self.with_r3f = pooling, with_r3f

    def instances(self):
        return len(self.reference.attention_mask)

    def losses(self, weights):
        tau = self.constants["tau"]
        log_p = log_softmax_over_others(self.reference.embeddings(weights, self.pooling), tau)
        losses = nt_xent(log_p)
        if self.with_r3f:
            noisy = self.reference.embeddings(weights, self.pooling, self.reference.noise)
            log_q = log_softmax_over_others(noisy, tau)
            losses = losses + self.constants["r3f_lambda"] * symmetric_kl(log_p, log_q)
        return losses

    def gradient(self, weights, instance_weights):
        """(losses [N], gradient of their sum weighted by instance_weights [N])"""
        leaves = {name: w.detach().requires_grad_() for name, w in weights.items()}
        losses = self.losses(leaves)
        gradients = torch.autograd.grad(instance_weights @ losses, list(leaves.values()))
        return losses.detach(), dict(zip(leaves, gradients))


def moved(weights, direction, scale):
    return {name: w + scale * direction[name] for name, w in weights.items()}


def guarded_weights(a, beta):
    """g, r and g' of delta-SAM (Eq. 4-6) from a [N]."""
    n = len(a)
    uniform = torch.full_like(a, 1 / n)
    if not a.any():
        return uniform, 0.0, uniform
    g = a.abs() / a.abs().sum()
    a_s = (g * a).sum()
    r = float(beta * a.mean().abs() / a_s.abs())
    return g, r, (g - 1 / n) * r + 1 / n if math.isfinite(r) else uniform


def step(objective, weights, perturbation):
    """One descent: (numbers, epsilon or None, gradient to descend with). The numbers are as in expected.json."""
    reference, constants = objective.reference, objective.constants
    n = objective.instances()
    uniform = torch.full((n,), 1 / n, dtype=torch.float64)
    numbers = {}
    if perturbation == "none":
        losses, gradient = objective.gradient(weights, uniform)
        return {"instance_losses": losses.tolist(), "loss": float(losses.mean())}, None, gradient

    instance_weights = uniform
    if perturbation == "delta-sam":
        with torch.no_grad():
            there = moved(weights, reference.direction, constants["rho"] / norm(reference.direction))
            a = objective.losses(there) - objective.losses(weights)
        g, r, instance_weights = guarded_weights(a, constants["beta"])
        numbers = {"a": a.tolist(), "g": g.tolist(), "g_prime": instance_weights.tolist(), "r": r}
    losses, ascent = objective.gradient(weights, instance_weights)
    epsilon = {name: x * (constants["rho"] / norm(ascent)) for name, x in ascent.items()}
    there_losses, gradient = objective.gradient(moved(weights, epsilon, 1.0), uniform)
    numbers |= {
        "ascent_grad_norm": norm(ascent),
        "instance_losses": losses.tolist(),
        "loss": float(there_losses.mean()),
    }
    return numbers, epsilon, gradient


def case(reference, constants, objective, regularizer):
    """Five steps with the same batch, masks, direction and noise: (numbers, tensors by name)."""
    perturbation = next((p for p in ("delta-sam", "sam") if regularizer.startswith(p)), "none")
    weights = {name: w.clone().requires_grad_() for name, w in reference.weights.items()}
    optimizer = torch.optim.AdamW(
        weights.values(),
        lr=constants["lr"],
        betas=tuple(constants["adam_betas"]),
        eps=constants["adam_eps"],
        weight_decay=constants["weight_decay"],
    )
    numbers, tensors, losses = {}, {}, []

    def keep(kind, tree):
        tensors.update({f"{kind}/{name}": x.detach().float().contiguous() for name, x in tree.items()})

    for count in range(1, STEPS + 1):
        of_step, epsilon, gradient = step(objective, {k: w.detach() for k, w in weights.items()}, perturbation)
        if count == 1:
            numbers = of_step
            keep("grad", gradient)
            if epsilon is not None:
                keep("epsilon", epsilon)
        losses.append(of_step["loss"])
        for name, weight in weights.items():
            weight.grad = gradient[name]
        optimizer.step()
        if count in (1, STEPS):
            # The optimizer keeps writing into these: float() alone copies, since they are f64.
            keep(f"weights_after_{count}", weights)
    return numbers | {"losses_5_steps": losses}, tensors


def record(folder, constants):
    """As golden_heads.record, which it calls where there are labels."""
    if constants.get("objective") == golden_words.OBJECTIVE:
        return golden_words.record(folder, constants, case)
    if "objective" in constants:
        return golden_heads.record(folder, constants, case)
    return record_contrastive(folder, constants)


def record_contrastive(folder, constants):
    """All expected values of a folder, from its own model and inputs: (expected.json, expected.safetensors)."""
    reference = Reference(folder)
    expected = constants | {"parameters": reference.names, "cases": {}}
    tensors = {}
    with torch.no_grad():
        hidden_states = reference.hidden_states(reference.weights, 0)
        for pooling in [*POOLINGS, "mean-padded"]:
            tensors[f"embeddings/{pooling}"] = reference.pooled(hidden_states, pooling).float().contiguous()
    for pooling in POOLINGS:
        for regularizer in REGULARIZERS:
            name = f"{pooling}/{regularizer}"
            objective = Objective(reference, constants, pooling, "r3f" in regularizer)
            expected["cases"][name], own = case(reference, constants, objective, regularizer)
            tensors.update({f"{name}/{key}": tensor for key, tensor in own.items()})
    return expected, tensors


# The two chores: make a folder, check a folder.


def start(options, generator):
    """What a folder holds before anything is computed: (config, constants, weights, inputs)."""
    if options.objective != "contrastive":
        own = golden_words if options.objective == golden_words.OBJECTIVE else golden_heads
        config = golden_heads.tiny_config(options)
        constants = golden_heads.hyperparameters(options.architecture, options.objective)
        model = own.ARCHITECTURES[options.architecture][1](config)
        weights = random_weights(model, config.initializer_range, generator)
        noise_range = constants["r3f_noise_range"]
        return config, constants, weights, own.random_inputs(config, weights, options, noise_range, generator)
    config = tiny_config(options)
    constants = hyperparameters(options.architecture)
    weights = random_weights(bare_model(options.architecture, config), config.initializer_range, generator)
    inputs = random_inputs(
        config, weights, options.sentences, options.width, constants["r3f_noise_range"], generator
    )
    return config, constants, weights, inputs


def make(options):
    if options.folder.exists():
        raise Complaint(f"{options.folder} exists already; name a new folder, or remove it first")
    generator = torch.Generator().manual_seed(options.seed)
    config, constants, weights, inputs = start(options, generator)
    options.folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.folder.parent) as unfinished:
        # Put together beside its place and moved there at the end, so that no half a folder is left behind.
        folder = Path(unfinished) / "golden"
        folder.mkdir()
        (folder / "config.json").write_text(config.to_json_string(use_diff=False))
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        save_file(inputs, folder / "inputs.safetensors")
        expected, tensors = record(folder, constants)
        (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
        save_file(tensors, folder / "expected.safetensors")
        os.replace(folder, options.folder)
    print(f"{options.folder}: {len(expected['cases'])} cases, {len(tensors)} tensors")


def relative_error(ours, expected):
    """The largest difference, as a share of the expected values' largest."""
    if ours.shape != expected.shape:
        return math.inf
    error = float((ours.double() - expected.double()).abs().max() / expected.double().abs().max())
    return error if math.isfinite(error) else math.inf


def number_errors(ours, expected):
    for name in sorted(ours["cases"].keys() | expected["cases"].keys()):
        mine, theirs = ours["cases"].get(name, {}), expected["cases"].get(name, {})
        for key in sorted(mine.keys() | theirs.keys()):
            if key not in mine or key not in theirs:
                yield key, math.inf, f"{name} {key}"
                continue
            x, y = (torch.tensor(z[key], dtype=torch.float64).flatten() for z in (mine, theirs))
            yield key, relative_error(x, y), f"{name} {key}"


def tensor_errors(ours, expected):
    for name in sorted(ours.keys() | expected.keys()):
        # embeddings/POOLING, logits, [POOLING/]REGULARIZER/KIND/TENSOR
        kind = name.split("/")[0] if name.startswith(("embeddings/", "logits")) else name.split("/")[-2]
        if name not in ours or name not in expected:
            yield kind, math.inf, name
        elif name.endswith(KEY_BIASES):
            # Its true gradient is 0 (softmax does not see it), so what is recorded is rounding noise; AdamW
            # makes steps of it, which change nothing.
            if kind in ("grad", "epsilon"):
                noise = max(float(x.abs().max()) for x in (ours[name], expected[name]))
                yield "key.bias (absolute)", noise, name
        else:
            yield kind, relative_error(ours[name], expected[name]), name


def check(folder):
    expected = json.loads((folder / "expected.json").read_text())
    has_labels = "objective" in expected
    names = golden_heads.hyperparameters("bert", "regression") if has_labels else hyperparameters("bert")
    constants = {key: expected[key] for key in names}
    ours, tensors = record(folder, constants)
    if ours["parameters"] != expected["parameters"]:
        raise Complaint(f"{folder}/expected.json: `parameters` are not those of the model, or in another order")
    worst = {}
    recorded = load_file(folder / "expected.safetensors")
    for kind, error, name in [*number_errors(ours, expected), *tensor_errors(tensors, recorded)]:
        worst[kind] = max(worst.get(kind, (0.0, name)), (error, name))
    for kind, (error, name) in worst.items():
        print(f"{kind:22} {error:.1e}  {name}")
    largest = max(error for error, _ in worst.values())
    print(f"{folder}: largest error {largest:.1e}")
    if largest > TOLERANCE:
        raise Complaint(f"{folder}: recorded values differ by {largest:.1e}, more than {TOLERANCE}")


def parse(arguments):
    parser = argparse.ArgumentParser(prog="make-golden", description="Records a tiny model's training steps.")
    parser.add_argument("folder", type=Path, help="folder to make, or to check")
    parser.add_argument("--check", action="store_true", help="recompute the folder's values and print the errors")
    parser.add_argument("--architecture", choices=ARCHITECTURES, default="bert")
    parser.add_argument(
        "--objective",
        choices=["contrastive", *golden_heads.OBJECTIVES, golden_words.OBJECTIVE],
        default="contrastive",
        help="what is learned; labels and masked words, of bert or roberta, and by dropout",
    )
    parser.add_argument("--seed", type=int, default=1)
    shape = parser.add_argument_group("shape of the tiny model and its batch")
    shape.add_argument("--vocab-size", type=int, default=120)
    shape.add_argument("--type-vocab-size", type=int, help="default: 2 for bert, 1 for roberta; the others have none")
    shape.add_argument("--hidden-size", type=int, default=32)
    shape.add_argument("--layers", type=int, default=2)
    shape.add_argument("--heads", type=int, default=4)
    shape.add_argument("--intermediate-size", type=int, default=64)
    shape.add_argument("--sentences", type=int, default=6)
    shape.add_argument("--width", type=int, default=12, help="tokens of the longest sentence")
    options = parser.parse_args(arguments)
    if options.objective != "contrastive" and options.architecture not in golden_heads.ARCHITECTURES:
        parser.error(f"--objective {options.objective} is recorded of {' and '.join(golden_heads.ARCHITECTURES)} alone")
    if options.hidden_size % options.heads:
        parser.error(f"--hidden-size {options.hidden_size} is not divisible by --heads {options.heads}")
    if not 3 <= options.width <= 62:
        parser.error(f"--width {options.width} is not from 3 to 62 (64 positions, of which RoBERTa and MPNet leave out two)")
    if options.vocab_size <= MASK_ID + 1 or options.sentences < 2:
        parser.error(f"--vocab-size has to be over {MASK_ID + 1} and --sentences over 1")
    return options


def main():
    options = parse(sys.argv[1:])
    torch.set_num_threads(1)
    try:
        if options.check:
            check(options.folder)
        else:
            make(options)
    except Complaint as complaint:
        sys.exit(f"make-golden: {complaint}")
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        sys.exit(f"make-golden: {options.folder} cannot be read or written: {error!r}")


if __name__ == "__main__":
    main()
