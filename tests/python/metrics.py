"""Scores predictions by scikit-learn and scipy: JSON in, JSON out.

    metrics.py < cases.json          a list of {"gold", "predicted", "classes"} (classes: their number; null for numbers)
                                     becomes a list of {"accuracy", "f1", "matthews"} or {"pearson", "spearman"};
                                     null where a score is undefined
    metrics.py --record              writes tests/fixtures/metrics.json, cases with their scores
"""

import json
import math
import random
import sys
import warnings
from pathlib import Path

from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

FIXTURE = Path(__file__).resolve().parent.parent / "fixtures" / "metrics.json"


def scores(case):
    gold, predicted, classes = case["gold"], case["predicted"], case["classes"]
    if classes is None:
        correlations = {"pearson": pearsonr(gold, predicted).statistic, "spearman": spearmanr(gold, predicted).statistic}
        return {name: None if math.isnan(value) else float(value) for name, value in correlations.items()}
    f1 = {"average": "binary"} if classes == 2 else {"average": "macro"}
    return {
        "accuracy": float(accuracy_score(gold, predicted)),
        "f1": float(f1_score(gold, predicted, zero_division=0, **f1)),
        "matthews": float(matthews_corrcoef(gold, predicted)),
    }


def cases():
    draw = random.Random(16)
    of_classes = [
        (2, [1, 0, 1, 1, 0], [1, 1, 0, 1, 0]),
        (2, [0, 0, 0], [0, 0, 0]),  # no positive at all
        (2, [1, 1, 1], [1, 1, 1]),
        (2, [0, 1, 0, 1], [0, 0, 0, 0]),  # one prediction
        (3, [0, 1, 0, 1], [1, 0, 1, 1]),  # a class that does not occur
        (3, [0, 1, 2, 2], [0, 2, 2, 1]),
        (2, [1], [0]),
    ]
    for classes, count in [(2, 50), (3, 50), (5, 200)]:
        gold = [draw.randrange(classes) for _ in range(count)]
        predicted = [value if draw.random() < 0.6 else draw.randrange(classes) for value in gold]
        of_classes.append((classes, gold, predicted))
    found = [{"gold": gold, "predicted": predicted, "classes": classes} for classes, gold, predicted in of_classes]
    gold = [round(draw.uniform(0, 5), 1) for _ in range(80)]
    noisy = [value + draw.gauss(0, 1) for value in gold]
    of_values = [
        (gold, noisy),
        (gold, [round(value) for value in noisy]),
        (gold, [-value for value in gold]),
        ([1.0, 2.0, 3.0], [5.0, 5.0, 5.0]),
        ([1e-9, 2e-9, 4e-9], [1e12, 3e12, 2e12]),
    ]
    return found + [{"gold": gold, "predicted": predicted, "classes": None} for gold, predicted in of_values]


warnings.simplefilter("ignore")  # Of undefined scores, which are looked at.
if "--record" in sys.argv[1:]:
    lines = [json.dumps({**case, "scores": scores(case)}) for case in cases()]
    FIXTURE.write_text("[\n" + ",\n".join(lines) + "\n]\n")
else:
    json.dump([scores(case) for case in json.load(sys.stdin)], sys.stdout)
