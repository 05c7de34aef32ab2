"""Golden values of masked language modelling, recorded with PyTorch in f64.

The encoder is that of transformers' ForMaskedLM, for BERT and RoBERTa; the head (dense, GELU, LayerNorm, a decoder tied to
the word embeddings), the losses and the order of things are written out here, under mirror's own dropout masks as in
golden_heads.py.

Shapes: N sentences, S tokens (padded), H hidden, V words, R masked tokens of all sentences.
"""

import golden_heads
import torch
from transformers import BertConfig, BertForMaskedLM, RobertaConfig, RobertaForMaskedLM

ARCHITECTURES = {
    "bert": (BertConfig, BertForMaskedLM),
    "roberta": (RobertaConfig, RobertaForMaskedLM),
}
OBJECTIVE = "mlm"
REGULARIZERS = ["none", "delta-sam", "r-drop", "delta-sam+r3f"]
MASK_ID = 4
UNMASKED = -100  # in place of a label, as transformers has it


def random_inputs(config, weights, options, noise_range, generator):
    sentences, width = options.sentences, options.width
    lengths = torch.randint(4, width + 1, (sentences,), generator=generator)
    lengths[0] = width
    mask = (torch.arange(width) < lengths[:, None]).long()
    words = torch.randint(golden_heads.SPECIAL, config.vocab_size, (sentences, width), generator=generator)
    chosen = (torch.rand((sentences, width), generator=generator) < 0.3) & (mask == 1)
    # Of every sentence one at least, and of the first one every token but the first.
    chosen[:, 1] = True
    chosen[0, 1:] = True
    ids = torch.where(chosen & (torch.rand((sentences, width), generator=generator) < 0.8), MASK_ID, words)
    inputs = {
        "input_ids": torch.where(mask == 1, ids, config.pad_token_id),
        "attention_mask": mask,
        "token_type_ids": torch.zeros_like(mask),
        "labels": torch.where(chosen, words, UNMASKED),
    }
    shape = (sentences, width, config.hidden_size)
    inputs["noise"] = (2 * torch.rand(shape, generator=generator) - 1) * noise_range
    for name, weight in weights.items():
        inputs[f"direction.{name}"] = torch.randn(weight.shape, generator=generator)
    return inputs


class Reference(golden_heads.Reference):
    """A folder's model and inputs, in f64."""

    classes = ARCHITECTURES

    def chosen(self):
        """[N, S]"""
        return self.inputs["labels"] != UNMASKED

    def check_eager(self, folder, model_class):
        """Without masks, what is written out here is transformers' own model, its loss included."""
        own = model_class.from_pretrained(folder, attn_implementation="eager").double().eval()
        given = {name: self.inputs[name] for name in ("input_ids", "attention_mask", "token_type_ids", "labels")}
        with torch.no_grad():
            theirs = own(**given)
            ours = self.logits(self.weights, None)
            losses = Objective(self, {}, "none").of_sentences(-ours.log_softmax(1)[torch.arange(len(ours)), self.targets()])
        error = float((theirs.logits[self.chosen()] - ours).abs().max())
        assert error < 1e-6, f"our head differs from transformers' by {error}"
        assert abs(float(theirs.loss - losses.mean())) < 1e-9, "our loss differs from transformers'"

    def targets(self):
        """[R]"""
        return self.inputs["labels"][self.chosen()]

    def logits(self, weights, masks, noise=None):
        """[R, V], sentence by sentence."""
        states = self.states(weights, masks, noise)[self.chosen()]
        dense, norm, bias = {
            "bert": ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.bias"),
            "roberta": ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias"),
        }[self.config.model_type]
        x = states @ weights[f"{dense}.weight"].T + weights[f"{dense}.bias"]
        x = x * (1 + torch.erf(x / 2**0.5)) / 2
        x = x - x.mean(1, keepdim=True)
        x = x / (x.square().mean(1, keepdim=True) + self.config.layer_norm_eps).sqrt()
        x = x * weights[f"{norm}.weight"] + weights[f"{norm}.bias"]
        words = weights[f"{self.config.model_type}.embeddings.word_embeddings.weight"]
        return x @ words.T + weights[bias]


class Objective(golden_heads.Objective):
    """Loss per sentence [N]: N/R times the sum of its masked tokens' losses."""

    def __init__(self, reference, constants, regularizer):
        self.reference, self.constants, self.regularizer = reference, constants, regularizer

    def of_sentences(self, values):
        """[R] to [N]"""
        sentences = self.reference.chosen().nonzero()[:, 0]
        sums = torch.zeros(self.instances(), dtype=values.dtype).index_add(0, sentences, values)
        return sums * self.instances() / len(values)

    def predicted(self, weights, masks, noise=None):
        """[R, V]"""
        return self.reference.logits(weights, masks, noise).log_softmax(1)

    def divergence(self, p, q):
        return self.of_sentences(((p.exp() - q.exp()) * (p - q)).sum(1))

    def losses(self, weights):
        clean = self.predicted(weights, self.reference.clean)
        losses = self.of_sentences(-clean[torch.arange(len(clean)), self.reference.targets()])
        return losses + self.divergences(clean, weights)


def record(folder, constants, case):
    """As golden_heads.record."""
    return golden_heads.record(folder, constants, case, Reference, Objective, REGULARIZERS)
