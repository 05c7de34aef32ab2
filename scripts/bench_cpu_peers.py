"""PyTorch's side of scripts/bench-cpu: reads one request a line (JSON) on standard input, answers with one line.

Each form is the fastest fair one known: sdpa attention, no pooler, gradients set to None, the fused AdamW, sequences
without padding passed without a mask.
"""

import contextlib
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
import transformers
from torch.nn import functional as F

THREADS = int(os.environ["OMP_NUM_THREADS"])
BATCH_OF_CHUNK = 50
PADDED_TO = 50
TEMPERATURE = 0.04


class Peers:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.encoder = self.optimizer = self.batches = self.sentences = None
        self.sentence_transformers, self.sessions, self.tokenizer = {}, {}, None

    # --- the folder that both sides load ---

    def prepare_model(self, source, config):
        """Writes a float32 sentence-transformers folder with mean pooling; random weights where source has none."""
        from sentence_transformers import SentenceTransformer, models

        if config:
            torch.manual_seed(0)
            random = self.folder / "random"
            transformers.BertModel(transformers.BertConfig(**config)).save_pretrained(random)
            transformers.AutoTokenizer.from_pretrained(source).save_pretrained(random)
            source = random
        transformer = models.Transformer(str(source), model_kwargs={"dtype": torch.float32})
        transformer.max_seq_length = min(512, transformer.auto_model.config.max_position_embeddings)
        pooling = models.Pooling(transformer.auto_model.config.hidden_size, "mean")
        SentenceTransformer(modules=[transformer, pooling], device="cpu").save(str(self.folder / "model"))
        return {}

    # --- training ---

    def load_encoder(self):
        if self.encoder is None:
            config = transformers.AutoConfig.from_pretrained(self.folder / "model")
            encoder = transformers.MODEL_MAPPING[type(config)]
            attention = "sdpa" if encoder._supports_sdpa else "eager"
            self.encoder = encoder.from_pretrained(
                self.folder / "model", add_pooling_layer=False, attn_implementation=attention, dtype=torch.float32
            ).train()
            self.optimizer = torch.optim.AdamW(self.encoder.parameters(), lr=2e-5, weight_decay=0.01, fused=True)
        return self.encoder

    def embed(self, ids, mask=None):
        hidden = self.load_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
        if mask is None:
            return hidden.mean(1)
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weights).sum(1) / weights.sum(1)

    def encoder_pass(self, sequences, length, precision="f32"):
        encoder = self.load_encoder()
        ids = torch.randint(0, encoder.config.vocab_size, (sequences, length), generator=torch.Generator().manual_seed(2))
        gradient = torch.full((sequences, encoder.config.hidden_size), 0.01)
        encoder.zero_grad(set_to_none=True)
        began = time.perf_counter()
        with in_precision(precision):
            embeddings = self.embed(ids)
        embeddings.float().backward(gradient)
        return {"seconds": time.perf_counter() - began}

    def step(self, batch, form, precision="f32"):
        encoder = self.load_encoder()
        if self.batches is None:
            self.batches = json.loads((self.folder / "batches.json").read_text())
        sequences = self.batches[batch]
        began = time.perf_counter()
        with in_precision(precision):
            if form == "chunks":
                order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
                chunks = [order[i : i + BATCH_OF_CHUNK] for i in range(0, len(order), BATCH_OF_CHUNK)]
                embeddings = torch.cat([self.embed(*self.pad([sequences[i] for i in chunk])) for chunk in chunks])
                embeddings = embeddings[torch.argsort(torch.tensor(order))]
            else:
                embeddings = self.embed(*self.pad(sequences, PADDED_TO if form == "padded to 50" else None))
        loss = nt_xent(embeddings.float())
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return {"seconds": time.perf_counter() - began, "loss": loss.item()}

    def pad(self, sequences, length=None):
        return pad(sequences, length, self.load_encoder().config.pad_token_id)

    # --- encoding ---

    def load_sentences(self, start, stop):
        if self.sentences is None:
            self.sentences = json.loads((self.folder / "sentences.json").read_text())
        return self.sentences[start:stop]

    def encode_sentence_transformers(self, start, stop, batch_size, save=None, precision="f32"):
        if precision not in self.sentence_transformers:
            from sentence_transformers import SentenceTransformer

            dtype = torch.bfloat16 if precision == "bf16" else torch.float32
            self.sentence_transformers[precision] = SentenceTransformer(
                str(self.folder / "model"), device="cpu", model_kwargs={"dtype": dtype}
            )
        model = self.sentence_transformers[precision]
        sentences = self.load_sentences(start, stop)
        began = time.perf_counter()
        embeddings = model.encode(sentences, batch_size=batch_size, show_progress_bar=False)
        return finish_encoding(began, embeddings, save)

    def encode_onnxruntime(self, start, stop, batch_size, save=None, precision="f32"):
        if precision not in self.sessions:
            self.load_onnx(precision)
        session = self.sessions[precision]
        sentences = self.load_sentences(start, stop)
        began = time.perf_counter()
        ids = [encoding.ids for encoding in self.tokenizer.encode_batch(sentences)]
        order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
        embeddings = np.empty((len(ids), session.get_outputs()[0].shape[1]), np.float32)
        for i in range(0, len(order), batch_size):
            rows = order[i : i + batch_size]
            padded, mask = pad([ids[row] for row in rows])
            inputs = {"input_ids": padded.numpy(), "attention_mask": mask.numpy()}
            embeddings[rows] = session.run(None, inputs)[0]
        return finish_encoding(began, embeddings, save)

    def load_onnx(self, precision):
        import onnxruntime
        from tokenizers import Tokenizer

        path = self.folder / "model.onnx"
        if not path.exists():
            export_onnx(self.folder / "model", path)
        if precision == "int8":
            path = quantize_onnx(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        options.inter_op_num_threads = 1
        providers = ["CPUExecutionProvider"]
        self.sessions[precision] = onnxruntime.InferenceSession(str(path), options, providers=providers)
        self.tokenizer = Tokenizer.from_file(str(self.folder / "model" / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(512)

    # --- the machine ---

    def gemm_rate(self, shape, precision="f32"):
        rows, inputs, outputs = shape
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        a, b = torch.randn(rows, inputs, dtype=dtype), torch.randn(inputs, outputs, dtype=dtype)
        seconds = float("inf")
        for _ in range(10):
            began = time.perf_counter()
            a @ b
            seconds = min(seconds, time.perf_counter() - began)
        return {"flops_per_second": 2 * rows * inputs * outputs / seconds}

    def memory(self):
        self.load_encoder()
        fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return {"peak": int(fields["VmHWM"].split()[0]), "resident": int(fields["VmRSS"].split()[0])}

    def versions(self):
        import onnxruntime
        import sentence_transformers

        modules = [torch, transformers, sentence_transformers, onnxruntime, np]
        return {module.__name__: module.__version__ for module in modules}


def in_precision(precision):
    """Autocast to bf16, or nothing."""
    return torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()


def pad(sequences, length=None, token=0):
    """Token ids and mask, [n, longest or length]."""
    length = length or max(map(len, sequences))
    ids = torch.full((len(sequences), length), token)
    mask = torch.zeros(len(sequences), length, dtype=torch.long)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.tensor(sequence)
        mask[row, : len(sequence)] = 1
    return ids, mask


def nt_xent(embeddings):
    """Embeddings [2N, hidden], the first views before the second ones."""
    n = len(embeddings) // 2
    e = F.normalize(embeddings)
    similarities = (e @ e.T / TEMPERATURE).fill_diagonal_(float("-inf"))
    return F.cross_entropy(similarities, torch.arange(2 * n).roll(n))


def finish_encoding(began, embeddings, save):
    seconds = time.perf_counter() - began
    if save:
        Path(save).write_text(json.dumps(embeddings.tolist()))
    return {"seconds": seconds}


class MeanPooled(torch.nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids, attention_mask):
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weights = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weights).sum(1) / weights.sum(1)


def export_onnx(folder, path):
    encoder = transformers.BertModel.from_pretrained(
        folder, add_pooling_layer=False, attn_implementation="eager", dtype=torch.float32
    ).eval()
    ids, mask = pad([[101, 2023, 2003, 1037, 102], [101, 7592, 102]])
    names = {"input_ids": {0: "n", 1: "length"}, "attention_mask": {0: "n", 1: "length"}, "embeddings": {0: "n"}}
    torch.onnx.export(
        MeanPooled(encoder).eval(),
        (ids, mask),
        str(path),
        input_names=["input_ids", "attention_mask"],
        output_names=["embeddings"],
        dynamic_axes=names,
        opset_version=17,
        dynamo=False,
    )


def quantize_onnx(path):
    """The graph in int8 as sentence-transformers' options for AVX-512 VNNI have it: weights signed, activations dynamic."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantized = path.with_name("model_int8.onnx")
    quantize_dynamic(str(path), str(quantized), weight_type=QuantType.QInt8)
    return quantized


def main():
    # What libraries print must not come between the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    torch.set_num_threads(THREADS)
    torch.manual_seed(42)
    peers = Peers(sys.argv[1])
    for line in sys.stdin:
        request = json.loads(line)
        answer = getattr(peers, request.pop("task"))(**request)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
