"""Makes the numbers beside this file with numpy and scipy, by readers and an encoder written apart from the crate's.

Usage: python make.py path/to/downstream

correlations.json   lists with and without ties, their ranks, Spearman's and Pearson's coefficients, and a paired
                    percentile bootstrap of Spearman's (scipy.stats.bootstrap)
details.json        alignment, uniformity, places and correlations by distances of small embeddings (scipy)
bag_of_words.json   scores of the hashed bag of words of ../synthetic.rs on the STS data sets
"""

import json
import sys
from pathlib import Path

import numpy as np
from scipy import stats
from scipy.spatial import distance

HERE = Path(__file__).parent
YEARS = {
    "STS12": "MSRpar MSRvid SMTeuroparl surprise.OnWN surprise.SMTnews",
    "STS13": "FNWN headlines OnWN",
    "STS14": "deft-forum deft-news headlines images OnWN tweet-news",
    "STS15": "answers-forums answers-students belief headlines images",
    "STS16": "answer-answer headlines plagiarism postediting question-question",
}


def lines(path):
    rows = path.read_bytes().decode("utf-8").split("\n")
    return [row.removesuffix("\r") for row in (rows[:-1] if rows[-1] == "" else rows)]


def year(folder, subsets):
    task = {}
    for name in subsets.split():
        pairs = [row.split("\t")[:2] for row in lines(folder / f"STS.input.{name}.txt")]
        gold = lines(folder / f"STS.gs.{name}.txt")
        assert len(pairs) == len(gold)
        task[name] = [(float(g), a, b) for g, (a, b) in zip(gold, pairs) if g.strip()]
    return task


def sts_b(path):
    task = {}
    for row in lines(path):
        genre, _, _, _, score, a, b = row.split("\t")[:7]
        task.setdefault(genre, []).append((float(score), a, b))
    return task


def sick(folder, splits):
    task = {}
    for split in splits:
        name = "SICK_test_annotated.txt" if split == "test" else f"SICK_{split}.txt"
        rows = [row.split("\t") for row in lines(folder / name)[1:]]
        task[split] = [(float(row[3]), row[1], row[2]) for row in rows]
    return task


def embed(sentence):
    vector = np.zeros(256)
    for token in sentence.encode().split(b" "):
        if token:
            h = 0xCBF29CE484222325
            for byte in token:
                h = ((h ^ byte) * 0x100000001B3) % 2**64
            vector[h % 256] += -1 if h >> 63 else 1
    return vector


def cosine(a, b):
    a, b = embed(a), embed(b)
    squares = float(a @ a) * float(b @ b)
    return float(a @ b) / np.sqrt(squares) if squares else 0.0


def score(task):
    gold = {name: [pair[0] for pair in pairs] for name, pairs in task.items()}
    cosines = {name: [cosine(a, b) for _, a, b in pairs] for name, pairs in task.items()}
    flat = lambda parts: [value for part in parts.values() for value in part]
    spearman = lambda x, y: 100 * float(stats.spearmanr(x, y).statistic)
    return {
        "spearman": spearman(flat(gold), flat(cosines)),
        "pearson": 100 * float(stats.pearsonr(flat(gold), flat(cosines)).statistic),
        "pairs": len(flat(gold)),
        "subsets": {
            name: {"spearman": spearman(gold[name], cosines[name]), "pairs": len(gold[name])} for name in task
        },
    }


def bag_of_words(downstream):
    tasks = {key: year(downstream / f"STS/{key}-en-test", subsets) for key, subsets in YEARS.items()}
    tasks["STSB"] = sts_b(downstream / "STS/STSBenchmark/sts-test.csv")
    scores = {key: score(task) for key, task in tasks.items()}
    mirror_bert = score(sick(downstream / "SICK", ["test"]))
    simcse = score(sick(downstream / "SICK", ["train", "trial", "test"]))
    average = lambda sick_r: np.mean([s["spearman"] for s in scores.values()] + [sick_r["spearman"]])
    return {
        "tasks": scores,
        "SICKR": {"mirror-bert": mirror_bert, "simcse": simcse},
        "average": {"mirror-bert": average(mirror_bert), "simcse": average(simcse)},
        "STSB-dev": score(sts_b(downstream / "STS/STSBenchmark/sts-dev.csv")),
    }


def correlations():
    rng = np.random.default_rng(0)
    noisy = rng.normal(size=25)
    cases = {
        "no ties": (noisy, noisy + rng.normal(size=25)),
        "ties on one side": (rng.integers(0, 6, 40).astype(float), rng.normal(size=40)),
        "ties on both sides": (rng.integers(0, 4, 60) / 3, rng.integers(0, 5, 60) / 7),
        "two pairs": ([1.0, 2.0], [5.0, -5.0]),
        "signed zeros": ([0.0, -0.0, 1.0, 2.0], [3.0, 1.0, 1.0, 2.0]),
        "one outlier": ([1.0, 2.0, 3.0, 1e12], [1.0, 3.0, 2.0, 4.0]),
        "almost constant": ([1.0, 1.0, 1.0, 1.0 + 2**-20], [0.0, 0.5, 1.0, 0.25]),
    }
    return [
        {
            "case": name,
            "x": list(map(float, x)),
            "y": list(map(float, y)),
            "x_ranks": stats.rankdata(x).tolist(),
            "spearman": float(stats.spearmanr(x, y).statistic),
            "pearson": float(stats.pearsonr(x, y).statistic),
        }
        for name, (x, y) in cases.items()
    ]


def bootstrap():
    rng = np.random.default_rng(1)
    gold = rng.integers(0, 26, 80) / 5
    first = np.round(gold + rng.normal(scale=2.0, size=80), 4)
    second = np.round(gold + rng.normal(scale=0.7, size=80), 4)
    rho = lambda x, y: stats.spearmanr(x, y).statistic
    options = dict(paired=True, vectorized=False, method="percentile", n_resamples=20000, rng=3)
    difference = lambda g, a, b: rho(g, b) - rho(g, a)
    interval = lambda data, statistic: [
        100 * float(bound) for bound in stats.bootstrap(data, statistic, **options).confidence_interval
    ]
    return {
        "gold": gold.tolist(),
        "first": first.tolist(),
        "second": second.tolist(),
        "first_interval": interval((gold, first), rho),
        "difference_interval": interval((gold, first, second), difference),
    }


def details():
    """Pairs i and i + 1 of some embeddings, one of which is zero."""
    rng = np.random.default_rng(2)
    embeddings = np.round(rng.normal(size=(24, 5)), 3).astype(np.float32).astype(float)
    embeddings[7] = 0
    gold = np.array([5, 4.2, 0.4, 4, 3.8, 5, 1.6, 4.6, 2, 4.8, 0, 4.4])
    first, second = embeddings[::2], embeddings[1::2]
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit = embeddings / np.where(norms == 0, 1, norms)
    cosines = (unit[::2] * unit[1::2]).sum(1)
    squares = ((unit[::2] - unit[1::2]) ** 2).sum(1)
    places = lambda x: 100 * (stats.rankdata(x) - 0.5) / len(x)
    by = lambda x: {"pearson": stats.pearsonr(gold, x).statistic, "spearman": stats.spearmanr(gold, x).statistic}
    gaps = np.abs(stats.rankdata(cosines) - stats.rankdata(gold))
    return {
        "embeddings": embeddings.tolist(),
        "gold": gold.tolist(),
        "alignment": squares[gold > 4].mean(),
        "positive_pairs": int((gold > 4).sum()),
        "uniformity": np.log(np.exp(-2 * distance.pdist(unit, "sqeuclidean")).mean()),
        "pearson": 100 * stats.pearsonr(gold, cosines).statistic,
        "euclidean": by(-np.linalg.norm(first - second, axis=1)),
        "manhattan": by(-np.abs(first - second).sum(1)),
        "gold_places": places(gold).tolist(),
        "cosine_places": places(cosines).tolist(),
        "most_wrong": np.argsort(-gaps, kind="stable")[:8].tolist(),
    }


def write(name, content):
    (HERE / name).write_text(json.dumps(content, indent=1) + "\n")


write("correlations.json", {"correlations": correlations(), "bootstrap": bootstrap()})
write("details.json", details())
write("bag_of_words.json", bag_of_words(Path(sys.argv[1])))
