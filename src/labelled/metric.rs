//! Scores of predictions, as scikit-learn and scipy define them.

use serde::{Deserialize, Serialize};
use sts_eval::correlation::{pearson, spearman};

/// How predictions are scored. For all of them more is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// The share of examples whose class is right, from 0 to 1.
    Accuracy,
    /// The harmonic mean of precision and recall, from 0 to 1: of two classes that of the second one (class 1), of more
    /// the mean over the classes that occur.
    F1,
    /// Matthews' correlation of classes, from −1 to 1; 0 where all predictions or all labels are the same.
    Matthews,
    /// Pearson's correlation of values, from −1 to 1.
    Pearson,
    /// Spearman's correlation of values' ranks, from −1 to 1.
    Spearman,
}

/// Labels and predictions of the same examples.
#[derive(Clone, Copy, Debug)]
pub enum Outcomes<'a> {
    /// Classes below `classes`.
    Classes {
        /// The labels.
        gold: &'a [usize],
        /// What a model says.
        predicted: &'a [usize],
        /// How many classes there are.
        classes: usize,
    },
    /// Numbers.
    Values {
        /// The labels.
        gold: &'a [f64],
        /// What a model says.
        predicted: &'a [f64],
    },
}

impl Metric {
    /// The name that logs and tables have.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Accuracy => "accuracy",
            Metric::F1 => "f1",
            Metric::Matthews => "matthews",
            Metric::Pearson => "pearson",
            Metric::Spearman => "spearman",
        }
    }

    /// The score, in the metric's own range. `None` where it is undefined: without examples, for correlations also of a
    /// side whose values are all equal or not finite, and for a metric of classes on numbers or the other way round.
    ///
    /// # Panics
    /// If there are not as many predictions as labels, or a class is not below their number.
    pub fn score(self, outcomes: Outcomes) -> Option<f64> {
        match outcomes {
            Outcomes::Classes { gold, predicted, classes } => {
                let confusion = Confusion::new(gold, predicted, classes);
                let is_empty = gold.is_empty();
                match self {
                    _ if is_empty => None,
                    Metric::Accuracy => Some(confusion.accuracy()),
                    Metric::F1 => Some(confusion.f1()),
                    Metric::Matthews => Some(confusion.matthews()),
                    Metric::Pearson | Metric::Spearman => None,
                }
            }
            Outcomes::Values { gold, predicted } => {
                assert_eq!(
                    gold.len(),
                    predicted.len(),
                    "predictions for other examples than those with labels"
                );
                match self {
                    Metric::Pearson => pearson(gold, predicted),
                    Metric::Spearman => spearman(gold, predicted),
                    Metric::Accuracy | Metric::F1 | Metric::Matthews => None,
                }
            }
        }
    }
}

/// How often each class was predicted for each class.
struct Confusion {
    /// `counts[gold][predicted]`.
    counts: Vec<Vec<f64>>,
    total: f64,
}

impl Confusion {
    fn new(gold: &[usize], predicted: &[usize], classes: usize) -> Self {
        assert_eq!(gold.len(), predicted.len(), "predictions for other examples than those with labels");
        let mut counts = vec![vec![0.0; classes]; classes];
        for (&gold, &predicted) in gold.iter().zip(predicted) {
            counts[gold][predicted] += 1.0;
        }
        Confusion { counts, total: gold.len() as f64 }
    }

    fn right(&self) -> f64 {
        (0..self.counts.len()).map(|class| self.counts[class][class]).sum()
    }

    /// How many examples have a class.
    fn with_label(&self, class: usize) -> f64 {
        self.counts[class].iter().sum()
    }

    /// How many examples are said to have a class.
    fn predicted(&self, class: usize) -> f64 {
        self.counts.iter().map(|row| row[class]).sum()
    }

    fn accuracy(&self) -> f64 {
        self.right() / self.total
    }

    /// F1 of one class: 2·TP / (2·TP + FP + FN); 0 for a class that does not occur.
    fn f1_of(&self, class: usize) -> f64 {
        let both = self.with_label(class) + self.predicted(class);
        if both == 0.0 { 0.0 } else { 2.0 * self.counts[class][class] / both }
    }

    fn f1(&self) -> f64 {
        if self.counts.len() == 2 {
            return self.f1_of(1);
        }
        let occurs = |&class: &usize| self.with_label(class) + self.predicted(class) > 0.0;
        let classes: Vec<usize> = (0..self.counts.len()).filter(occurs).collect();
        classes.iter().map(|&class| self.f1_of(class)).sum::<f64>() / classes.len() as f64
    }

    /// Gorodkin's correlation of any number of classes, which for two is Matthews'.
    fn matthews(&self) -> f64 {
        let (mut products, mut gold, mut predicted) = (0.0, 0.0, 0.0);
        for class in 0..self.counts.len() {
            let (with_label, said) = (self.with_label(class), self.predicted(class));
            products += with_label * said;
            gold += with_label * with_label;
            predicted += said * said;
        }
        let square = self.total * self.total;
        let covariance = self.right() * self.total - products;
        let norm = (square - gold).sqrt() * (square - predicted).sqrt();
        if norm == 0.0 { 0.0 } else { covariance / norm }
    }
}
