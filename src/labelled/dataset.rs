//! Examples and what their labels are.

use sha2::{Digest, Sha256};

use super::Metric;
use crate::output::sums::hex;

/// One text, or a pair of texts, and its label.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// The text, as the file has it.
    pub text: String,
    /// The second text of a pair.
    pub text2: Option<String>,
    /// What a model should predict.
    pub label: Label,
}

/// What a model should predict of an example, or does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Label {
    /// A class, by its place among [`Kind::Classification`]'s.
    Class(usize),
    /// A number, always finite.
    Value(f64),
}

/// What the labels of a data set are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One of several classes. Each label is a [`Label::Class`] below their number.
    Classification {
        /// Their names, in the order of a model's logits.
        classes: Vec<String>,
    },
    /// A number. Each label is a [`Label::Value`].
    Regression,
}

impl Kind {
    /// How many numbers a model gives for an example: one for each class, or one.
    pub fn outputs(&self) -> usize {
        match self {
            Kind::Classification { classes } => classes.len(),
            Kind::Regression => 1,
        }
    }

    /// What a data set without metrics of its own is scored by; the first keeps the best checkpoint.
    pub fn metrics(&self) -> &'static [Metric] {
        match self {
            Kind::Classification { .. } => &[Metric::Accuracy, Metric::F1, Metric::Matthews],
            Kind::Regression => &[Metric::Pearson, Metric::Spearman],
        }
    }
}

/// The examples of a file, in its order.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// What messages call it: the file's path.
    pub name: String,
    /// At least one.
    pub examples: Vec<Example>,
    /// What their labels are.
    pub kind: Kind,
    /// What a reader of the results should know of the file.
    pub remarks: Vec<String>,
}

impl Dataset {
    /// SHA-256 of the examples and the classes, in lower-case hexadecimal digits. The same examples in the same order
    /// give the same sum, whatever the form of the file that they were read from.
    pub fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        if let Kind::Classification { classes } = &self.kind {
            classes.iter().for_each(|class| add(&mut hash, class));
        }
        for example in &self.examples {
            add(&mut hash, &example.text);
            hash.update([u8::from(example.text2.is_some())]);
            example.text2.iter().for_each(|text| add(&mut hash, text));
            match example.label {
                Label::Class(class) => hash.update((class as u64).to_le_bytes()),
                Label::Value(value) => hash.update(value.to_le_bytes()),
            }
        }
        hex(&hash.finalize())
    }

    /// How many examples have each class, in the classes' order; empty where labels are numbers.
    pub fn class_counts(&self) -> Vec<usize> {
        let Kind::Classification { classes } = &self.kind else { return Vec::new() };
        let mut counts = vec![0; classes.len()];
        for example in &self.examples {
            if let Label::Class(class) = example.label {
                counts[class] += 1;
            }
        }
        counts
    }

    /// Whether examples are pairs of texts.
    pub fn has_pairs(&self) -> bool {
        self.examples.iter().any(|example| example.text2.is_some())
    }
}

/// A text with its length before it, so that texts that are divided otherwise give other bytes.
fn add(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_le_bytes());
    hash.update(text.as_bytes());
}
