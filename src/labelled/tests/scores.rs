//! Metrics against scikit-learn and scipy: recorded scores, and where MIRROR_PYTHON has them, new ones.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::*;

/// The largest difference: sums are taken in another order.
const TOLERANCE: f64 = 1e-12;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Case {
    gold: Vec<f64>,
    predicted: Vec<f64>,
    classes: Option<usize>,
    #[serde(default, skip_serializing)]
    scores: Scores,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Scores {
    accuracy: Option<f64>,
    f1: Option<f64>,
    matthews: Option<f64>,
    pearson: Option<f64>,
    spearman: Option<f64>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

impl Case {
    fn score(&self, metric: Metric) -> Option<f64> {
        let whole = |values: &[f64]| values.iter().map(|value| *value as usize).collect::<Vec<_>>();
        let (gold, predicted) = (whole(&self.gold), whole(&self.predicted));
        metric.score(match self.classes {
            Some(classes) => Outcomes::Classes { gold: &gold, predicted: &predicted, classes },
            None => Outcomes::Values { gold: &self.gold, predicted: &self.predicted },
        })
    }

    fn agrees(&self, with: &Scores) {
        for (metric, expected) in [
            (Metric::Accuracy, with.accuracy),
            (Metric::F1, with.f1),
            (Metric::Matthews, with.matthews),
            (Metric::Pearson, with.pearson),
            (Metric::Spearman, with.spearman),
        ] {
            let found = self.score(metric);
            let same = match (found, expected) {
                (Some(found), Some(expected)) => (found - expected).abs() < TOLERANCE,
                (found, expected) => found.is_none() && expected.is_none(),
            };
            assert!(same, "{metric:?}: {found:?}, expected {expected:?} of {self:?}");
        }
    }
}

#[test]
fn metrics_are_those_of_scikit_learn_and_scipy_as_recorded() {
    let cases: Vec<Case> =
        serde_json::from_str(&fs::read_to_string(root().join("fixtures/metrics.json")).unwrap()).unwrap();
    assert!(cases.len() >= 15);
    cases.iter().for_each(|case| case.agrees(&case.scores));
}

/// The interpreter; where there is none, says that the test is skipped, or fails under CI.
fn interpreter() -> Option<PathBuf> {
    let path = std::env::var_os("MIRROR_PYTHON").filter(|path| !path.is_empty()).map(PathBuf::from);
    if path.is_none() {
        assert!(std::env::var_os("CI").is_none(), "MIRROR_PYTHON is not set; run scripts/test");
        let _ = writeln!(std::io::stderr(), "SKIPPED: MIRROR_PYTHON is not set; scripts/test sets it");
    }
    path
}

/// Labels and predictions without a pattern.
fn drawn() -> Vec<Case> {
    let mut state = 1u64;
    let mut below = move |n: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) % n
    };
    let mut cases = Vec::new();
    for count in 2..60 {
        let classes = 2 + below(4);
        let mut of = |n| (0..count).map(|_| below(n) as f64).collect::<Vec<_>>();
        let (gold, predicted) = (of(classes), of(classes));
        cases.push(Case { gold, predicted, classes: Some(classes as usize), scores: Scores::default() });
        let mut values = |n| of(n).into_iter().map(|value| value / 7.0 - 3.0).collect::<Vec<_>>();
        let (gold, predicted) = (values(50), values(9));
        cases.push(Case { gold, predicted, classes: None, scores: Scores::default() });
    }
    cases
}

#[test]
fn metrics_agree_with_scikit_learn_and_scipy_on_drawn_cases() {
    let Some(python) = interpreter() else { return };
    let cases = drawn();
    let mut child = Command::new(python)
        .arg(root().join("python/metrics.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&serde_json::to_vec(&cases).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let scores: Vec<Scores> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(scores.len(), cases.len());
    cases.iter().zip(&scores).for_each(|(case, scores)| case.agrees(scores));
}

#[test]
fn a_metric_of_the_other_kind_and_no_examples_have_no_score() {
    let none = Outcomes::Classes { gold: &[], predicted: &[], classes: 2 };
    let values = Outcomes::Values { gold: &[1.0, 2.0], predicted: &[1.0, f64::NAN] };
    for metric in [Metric::Accuracy, Metric::F1, Metric::Matthews, Metric::Pearson, Metric::Spearman] {
        assert_eq!((metric.score(none), metric.score(values)), (None, None), "{metric:?}");
    }
}
