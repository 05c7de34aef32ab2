#!/usr/bin/env python3
"""Makes the fixtures of tests/model_folder/tokenizer/: small BERT, MPNet, RoBERTa and XLM-RoBERTa tokenizers, and the ids that
transformers' AutoTokenizer gives for odd strings under many settings of a folder.

    pip install transformers sentence-transformers torch
    python scripts/tokenizer-fixtures.py CORPUS.txt tests/fixtures [random strings per case, default 0] [kind, default all]

Each case is a list of files to copy, files to write, a maximum length, and rows of text and ids. With random strings
the fixtures are large: write them elsewhere and point MIRROR_TOKENIZER_FIXTURES at them.
"""

import json
import os
import random
import shutil
import sys
import tempfile

os.environ["TOKENIZERS_PARALLELISM"] = "false"

from tokenizers import AddedToken, BertWordPieceTokenizer, ByteLevelBPETokenizer, Tokenizer
from tokenizers import decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, BertConfig, BertModel, MPNetTokenizer

ODD = [
    "", " ", "   ", "\t", "\n", "a", " a", "a ", "  leading and trailing  ", "A man is playing a guitar.",
    "tab\there and newline\nthere\r\nand\x0bvertical\x0cform\x85next", "é combining e\u0301 vs é precomposed",
    "Ünïcödé FAÇADE naïve İstanbul ẞ ŉ ﬁ", "北京是中国的首都。", "ひらがなカタカナ 한국어", "مرحبا بالعالم", "हिन्दी ไทย",
    "👩\u200d🚀 launches 🚀 at 5:00", "zero\u200bwidth and nbsp\xa0space\u3000ideographic\u2028line",
    "\x00null\x07bell\x1fsep\ufffdreplacement\ufeffbom", "word " * 60, "A" * 99, "A" * 100, "A" * 101, "1" * 300,
    "don't can't won't I'm we've you'll he'd U.S.A. 3.14 $1,000,000.00", "https://example.org/a?b=c&d=%20e",
    "  many    blanks   between     words  ", " " * 40 + "x", "x" + " " * 40, "a\u00ad soft-hyphen", "e\u0301\u0302\u0303\u0304",
    "\U0001d54a\U0001d555 math", "½ ² ① Ⅷ", "--__--!!??..;;", "‘curly’ “quotes” — dash … ellipsis", "\u202eright to left",
    "{cls} injected {sep} tokens", "{mask}", "left {mask} right", "left{mask}right", "  {mask}  ", "{mask}{mask} {mask}",
    "{lowmask} is not a mask", "{pad} {unk}", "a {mask} , b", "\t{mask}\n", "new[token]here wörld WÖRLD extra <x>y",
]
NAMES = {
    "bert": dict(cls="[CLS]", sep="[SEP]", mask="[MASK]", lowmask="[mask]", pad="[PAD]", unk="[UNK]"),
    "mpnet": dict(cls="<s>", sep="</s>", mask="<mask>", lowmask="<MASK>", pad="<pad>", unk="[UNK]"),
    "roberta": dict(cls="<s>", sep="</s>", mask="<mask>", lowmask="<MASK>", pad="<pad>", unk="<unk>"),
    "unigram": dict(cls="<s>", sep="</s>", mask="<mask>", lowmask="<MASK>", pad="<pad>", unk="<unk>"),
}
ALPHABET = (
    list("aeiou ston rh  ABC.,'\"!?-12") + ["\t", "\n", "\r", "\u0301", "\u00e9", "\u200b", "\u00a0", "\u3000", "北", "ひ",
    "한", "م", "👩", "\u200d", "🚀", "\x00", "\x1c", "\x85", "ß", "İ", "ﬁ", "\ufffd", "\u2028", "{mask}", "{sep}", " {mask} ", "'s", "##"]
)


def texts(kind, rng, count):
    rows = list(ODD) + ["".join(rng.choices(ALPHABET, k=rng.randint(1, 60))) for _ in range(count)]
    rows += ["".join(chr(rng.choice([rng.randint(0, 0x2FF), rng.randint(0, 0xD7FF), rng.randint(0xE000, 0x2FFFF)])) for _ in range(8))
             for _ in range(count)]
    for name, token in NAMES[kind].items():
        rows = [row.replace("{" + name + "}", token) for row in rows]
    return rows


def train(kind, corpus, folder):
    with open(corpus, encoding="utf-8") as lines:
        lines = [line.rstrip("\n") for line in lines][:4000]
    os.makedirs(folder, exist_ok=True)
    if kind == "unigram":
        return train_unigram(lines, os.path.join(folder, "tokenizer.json"))
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] if kind == "bert" else ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    word_piece = kind in ("bert", "mpnet")
    if kind == "mpnet":
        special.append("[UNK]")  # That of its class; it keeps RoBERTa's besides.
    tokenizer = BertWordPieceTokenizer(lowercase=False) if word_piece else ByteLevelBPETokenizer()
    if word_piece:
        lines += [line.lower() for line in lines] + ["é ü ö 北 京 wörld"] * 5
    tokenizer.train_from_iterator(lines, vocab_size=600, special_tokens=special)
    tokenizer.save_model(folder)
    if kind == "bert":
        # Read back, it frames sentences with [CLS] and [SEP]. RoBERTa's stays without, as trained: its class adds them.
        tokenizer = BertWordPieceTokenizer(os.path.join(folder, "vocab.txt"), lowercase=False)
    if kind == "mpnet":
        return MPNetTokenizer(os.path.join(folder, "vocab.txt"))._tokenizer.save(os.path.join(folder, "tokenizer.json"), pretty=False)
    tokenizer.save(os.path.join(folder, "tokenizer.json"), pretty=False)


def train_unigram(lines, file):
    """As XLM-RoBERTa's tokenizer.json, but without its normalizer: a class keeps no other than the precompiled one."""
    special = ["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True, normalized=False, special=True)]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")])
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.train_from_iterator(lines, trainers.UnigramTrainer(vocab_size=400, special_tokens=special, unk_token="<unk>"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    tokenizer.save(file, pretty=False)


def unigram_cases():
    files = ["tokenizer.json"]
    for kind, name in [("xlm-roberta", "XLMRobertaTokenizer"), ("camembert", "CamembertTokenizer")]:
        config = {"config.json": {"model_type": kind, "vocab_size": 600}}
        yield f"{kind}, no config", files, config
        for prefix in [True, False]:
            yield f"{kind} {prefix}", files, config | {"tokenizer_config.json": {
                "tokenizer_class": name + "Fast", "add_prefix_space": prefix}}
    xlmr = {"model_type": "xlm-roberta", "vocab_size": 600}
    bert = {"model_type": "bert", "vocab_size": 600, "tokenizer_class": "XLMRobertaTokenizer"}
    yield "named in config.json", files, {"config.json": bert, "tokenizer_config.json": {"model_max_length": 512}}
    yield "as it is", files, {"config.json": bert, "tokenizer_config.json": {
        "tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": False, "mask_token": "<mask>", "pad_token": "<pad>"}}
    yield "left", files, {"config.json": xlmr, "tokenizer_config.json": {"truncation_side": "left"}}
    yield "extra tokens", files, {"config.json": xlmr, "tokenizer_config.json": {
        "word_token": "word", "extra_special_tokens": ["the"], "additional_special_tokens": ["guitar"]}}
    yield "added_tokens_decoder", files, {"config.json": xlmr, "tokenizer_config.json": {"added_tokens_decoder": {
        "4": {"content": "<mask>", "lstrip": False, "rstrip": True, "normalized": False, "single_word": False, "special": True}}}}


def bert_cases():
    bert = {"model_type": "bert", "vocab_size": 600}
    yield "vocab", ["vocab.txt"], {"config.json": bert}
    for lower in [True, False]:
        for strip in [None, True, False]:
            for chinese in [True, False]:
                config = {"do_lower_case": lower, "strip_accents": strip, "tokenize_chinese_chars": chinese,
                          "tokenizer_class": "BertTokenizer"}
                yield f"vocab {lower} {strip} {chinese}", ["vocab.txt"], {"tokenizer_config.json": config}
    for lower in [True, False]:
        config = {"do_lower_case": lower, "tokenizer_class": "BertTokenizerFast"}
        yield f"json {lower}", ["tokenizer.json"], {"config.json": bert, "tokenizer_config.json": config}
    yield "json, no config", ["tokenizer.json"], {"config.json": bert}
    yield "json as it is", ["tokenizer.json"], {"tokenizer_config.json": {
        "tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": True, "cls_token": "[CLS]", "sep_token": "[SEP]",
        "pad_token": "[PAD]", "mask_token": "[MASK]", "unk_token": "[UNK]"}}
    yield "added_tokens.json", ["vocab.txt"], {"config.json": bert, "added_tokens.json": {"[token]": 600, "wörld": 601},
                                               "special_tokens_map.json": {"additional_special_tokens": ["[token]"]}}
    yield "added_tokens_decoder", ["vocab.txt", "tokenizer.json"], {"tokenizer_config.json": {
        "tokenizer_class": "BertTokenizer", "do_lower_case": False, "mask_token": "[MASK]", "added_tokens_decoder": {
            "4": {"content": "[MASK]", "lstrip": True, "rstrip": True, "normalized": False, "single_word": False, "special": True},
            "600": {"content": "<x>", "lstrip": False, "rstrip": False, "normalized": True, "single_word": True, "special": False}}}}
    yield "extra tokens", ["vocab.txt"], {"config.json": bert, "tokenizer_config.json": {
        "additional_special_tokens": ["<x>", "[token]"], "tokenizer_class": "BertTokenizer"}}
    yield "left", ["vocab.txt"], {"config.json": bert, "tokenizer_config.json": {"truncation_side": "left"}}
    yield "lower first", ["vocab.txt"], {"config.json": bert, "tokenizer_config.json": {"do_lower_case": False},
                                         "sentence_bert_config.json": {"max_seq_length": 20, "do_lower_case": True}}


def mpnet_cases():
    mpnet = {"model_type": "mpnet", "vocab_size": 600}
    mask = {"__type": "AddedToken", "content": "<mask>", "lstrip": True, "normalized": False, "rstrip": False, "single_word": False}
    for file in ["vocab.txt", "tokenizer.json"]:
        yield f"{file}, no config", [file], {"config.json": mpnet}
        for lower in [True, False]:
            config = {"do_lower_case": lower, "tokenizer_class": "MPNetTokenizer", "mask_token": "<mask>", "model_max_length": 512}
            yield f"{file} {lower}", [file], {"config.json": mpnet, "tokenizer_config.json": config}
        # As all-mpnet-base-v2 has it.
        yield f"{file}, special_tokens_map.json", [file], {
            "config.json": mpnet, "special_tokens_map.json": {"mask_token": mask | {"normalized": True}, "unk_token": "[UNK]"},
            "tokenizer_config.json": {"tokenizer_class": "MPNetTokenizerFast", "strip_accents": None, "tokenize_chinese_chars": False}}
        yield f"{file}, accents", [file], {"config.json": mpnet, "tokenizer_config.json": {
            "tokenizer_class": "MPNetTokenizer", "strip_accents": False, "mask_token": mask}}
        yield f"{file}, added", [file], {"config.json": mpnet, "tokenizer_config.json": {
            "tokenizer_class": "MPNetTokenizer", "mask_token": "<mask>", "added_tokens_decoder": {
                "4": {"content": "<mask>", "lstrip": False, "rstrip": True, "normalized": False, "single_word": False, "special": True},
                "600": {"content": "<x>", "lstrip": False, "rstrip": False, "normalized": True, "single_word": True, "special": False}}}}
    yield "left", ["vocab.txt"], {"config.json": mpnet, "tokenizer_config.json": {"truncation_side": "left"}}


def roberta_cases():
    roberta = {"model_type": "roberta", "vocab_size": 600}
    mask = {"__type": "AddedToken", "content": "<mask>", "lstrip": True, "normalized": False, "rstrip": False, "single_word": False}
    files = ["vocab.json", "merges.txt"]
    for prefix in [False, True]:
        config = {"add_prefix_space": prefix, "mask_token": mask, "tokenizer_class": "RobertaTokenizer"}
        yield f"vocab {prefix}", files, {"config.json": roberta, "tokenizer_config.json": config}
        yield f"json {prefix}", ["tokenizer.json"], {"config.json": roberta, "tokenizer_config.json": config}
    yield "special_tokens_map.json", files, {"config.json": roberta, "special_tokens_map.json": {"mask_token": {
        "content": "<mask>", "lstrip": True, "normalized": True, "rstrip": False, "single_word": False}}}
    yield "added_tokens.json", files, {"config.json": roberta, "tokenizer_config.json": {"mask_token": mask},
                                       "added_tokens.json": {"[token]": 600}}
    yield "left", files, {"config.json": roberta, "tokenizer_config.json": {"truncation_side": "left", "mask_token": mask}}


def load(folder, files):
    """The tokenizer that sentence-transformers would use; AutoTokenizer where it has nothing to add."""
    if "sentence_bert_config.json" not in files:
        return AutoTokenizer.from_pretrained(folder)
    from sentence_transformers.sentence_transformer.modules import Transformer

    shape = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    BertModel(BertConfig(vocab_size=600, **shape)).save_pretrained(folder)
    return Transformer(folder, do_lower_case=files["sentence_bert_config.json"]["do_lower_case"]).tokenizer


def main(corpus, out, count=0, only=None):
    rng = random.Random(0)
    for kind, cases in [("bert", bert_cases()), ("mpnet", mpnet_cases()), ("roberta", roberta_cases()), ("unigram", unigram_cases())]:
        if only not in (None, kind):
            continue
        base = os.path.join(out, f"tokenizer-{kind}")
        train(kind, corpus, base)
        rows = texts(kind, rng, count)
        expected = []
        for name, copied, files in cases:
            with tempfile.TemporaryDirectory() as folder:
                for file in copied:
                    shutil.copy(os.path.join(base, file), folder)
                for file, value in files.items():
                    with open(os.path.join(folder, file), "w", encoding="utf-8") as handle:
                        json.dump(value, handle)
                tokenizer = load(folder, files)
                for max_length in [20, 512]:
                    ids = tokenizer(rows, truncation=True, max_length=max_length)["input_ids"]
                    expected.append({"name": name, "copy": copied, "write": files, "max_length": max_length, "input_ids": ids})
        # Most settings agree on most strings, so rows are kept once.
        distinct = {}
        for case in expected:
            case["input_ids"] = [distinct.setdefault(tuple(ids), len(distinct)) for ids in case["input_ids"]]
        with open(os.path.join(base, "expected.json"), "w", encoding="utf-8") as handle:
            json.dump({"texts": rows, "ids": list(distinct), "cases": expected}, handle, separators=(",", ":"))
            handle.write("\n")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4, 5):
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:4]), *sys.argv[4:])
