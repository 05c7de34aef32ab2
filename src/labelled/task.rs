//! GLUE's tasks with labels for development: where their files are, what stands in them, how they are scored.

use super::{Kind, LabelledError, Metric};

/// A task of GLUE (Wang et al. 2019).
///
/// Classes have the order and the names of the hub's data set, which transformers' examples take over, so that logits
/// mean the same as theirs.
#[derive(Debug, PartialEq, Eq)]
pub struct Task {
    /// Its name, which is also that of its folder.
    pub name: &'static str,
    /// The configuration of the hub's data set.
    pub hub_name: &'static str,
    /// What is asked, in a few words.
    pub about: &'static str,
    /// In the order of a model's logits; none where labels are numbers.
    pub classes: &'static [Class],
    /// The training file's examples.
    pub train_rows: u64,
    /// The sets to be scored on. The first keeps the best checkpoint.
    pub dev_sets: &'static [DevSet],
    /// What GLUE scores it by.
    pub metrics: &'static [Metric],
    /// Which of the metrics keeps the best checkpoint.
    pub keeps_best: Metric,
    pub(super) layout: Layout,
}

/// A class: its name, and how GLUE's files write it.
#[derive(Debug, PartialEq, Eq)]
pub struct Class {
    /// As the hub's data set names it.
    pub name: &'static str,
    /// In GLUE's TSV files.
    pub written: &'static str,
}

/// A file to be scored on.
#[derive(Debug, PartialEq, Eq)]
pub struct DevSet {
    /// The file's name without `.tsv`: `dev`, or MNLI's `dev_matched` and `dev_mismatched`.
    pub name: &'static str,
    /// The part of the hub's data set.
    pub hub_name: &'static str,
    /// Its examples.
    pub rows: u64,
}

/// Which columns of a file hold what.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// The names of all columns, in their order; for CoLA, whose files have no header, what the columns are.
    pub columns: &'static [&'static str],
    /// Whether the first row names the columns.
    pub has_header: bool,
    pub text: &'static str,
    pub text2: Option<&'static str>,
    pub label: &'static str,
    /// The names of the texts in the hub's data set; its labels are called "label".
    pub hub_texts: &'static [&'static str],
    /// Whether rows that lack columns are left out. QQP has such rows, which readers of GLUE pass over, and which its sizes
    /// do not count.
    pub passes_over_short_rows: bool,
}

const fn class(name: &'static str, written: &'static str) -> Class {
    Class { name, written }
}

const fn dev(rows: u64) -> DevSet {
    DevSet { name: "dev", hub_name: "validation", rows }
}

const ENTAILMENT: &[Class] = &[class("entailment", "entailment"), class("not_entailment", "not_entailment")];
const SENTENCES: Layout = Layout {
    columns: &["index", "sentence1", "sentence2", "label"],
    has_header: true,
    text: "sentence1",
    text2: Some("sentence2"),
    label: "label",
    hub_texts: &["sentence1", "sentence2"],
    passes_over_short_rows: false,
};

static TASKS: [Task; 9] = [
    Task {
        name: "MNLI",
        hub_name: "mnli",
        about: "does the first sentence entail the second, or contradict it",
        classes: &[
            class("entailment", "entailment"),
            class("neutral", "neutral"),
            class("contradiction", "contradiction"),
        ],
        train_rows: 392_702,
        dev_sets: &[
            DevSet { name: "dev_matched", hub_name: "validation_matched", rows: 9_815 },
            DevSet { name: "dev_mismatched", hub_name: "validation_mismatched", rows: 9_832 },
        ],
        metrics: &[Metric::Accuracy],
        keeps_best: Metric::Accuracy,
        layout: Layout {
            columns: &[
                "index",
                "promptID",
                "pairID",
                "genre",
                "sentence1_binary_parse",
                "sentence2_binary_parse",
                "sentence1_parse",
                "sentence2_parse",
                "sentence1",
                "sentence2",
                "label1",
                "gold_label",
            ],
            label: "gold_label",
            hub_texts: &["premise", "hypothesis"],
            ..SENTENCES
        },
    },
    Task {
        name: "QQP",
        hub_name: "qqp",
        about: "do two questions ask the same",
        classes: &[class("not_duplicate", "0"), class("duplicate", "1")],
        train_rows: 363_846,
        dev_sets: &[dev(40_430)],
        metrics: &[Metric::Accuracy, Metric::F1],
        keeps_best: Metric::Accuracy,
        layout: Layout {
            columns: &["id", "qid1", "qid2", "question1", "question2", "is_duplicate"],
            has_header: true,
            text: "question1",
            text2: Some("question2"),
            label: "is_duplicate",
            hub_texts: &["question1", "question2"],
            passes_over_short_rows: true,
        },
    },
    Task {
        name: "RTE",
        hub_name: "rte",
        about: "does the first text entail the second",
        classes: ENTAILMENT,
        train_rows: 2_490,
        dev_sets: &[dev(277)],
        metrics: &[Metric::Accuracy],
        keeps_best: Metric::Accuracy,
        layout: SENTENCES,
    },
    Task {
        name: "QNLI",
        hub_name: "qnli",
        about: "does the sentence answer the question",
        classes: ENTAILMENT,
        train_rows: 104_743,
        dev_sets: &[dev(5_463)],
        metrics: &[Metric::Accuracy],
        keeps_best: Metric::Accuracy,
        layout: Layout {
            columns: &["index", "question", "sentence", "label"],
            text: "question",
            text2: Some("sentence"),
            hub_texts: &["question", "sentence"],
            ..SENTENCES
        },
    },
    Task {
        name: "MRPC",
        hub_name: "mrpc",
        about: "do two sentences say the same",
        classes: &[class("not_equivalent", "0"), class("equivalent", "1")],
        train_rows: 3_668,
        dev_sets: &[dev(408)],
        metrics: &[Metric::Accuracy, Metric::F1],
        keeps_best: Metric::Accuracy,
        layout: Layout {
            columns: &["Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"],
            has_header: true,
            text: "#1 String",
            text2: Some("#2 String"),
            label: "Quality",
            hub_texts: &["sentence1", "sentence2"],
            passes_over_short_rows: false,
        },
    },
    Task {
        name: "CoLA",
        hub_name: "cola",
        about: "is the sentence acceptable English",
        classes: &[class("unacceptable", "0"), class("acceptable", "1")],
        train_rows: 8_551,
        dev_sets: &[dev(1_043)],
        metrics: &[Metric::Matthews, Metric::Accuracy],
        keeps_best: Metric::Matthews,
        layout: Layout {
            columns: &["source", "label", "mark", "sentence"],
            has_header: false,
            text: "sentence",
            text2: None,
            label: "label",
            hub_texts: &["sentence"],
            passes_over_short_rows: false,
        },
    },
    Task {
        name: "SST-2",
        hub_name: "sst2",
        about: "is the sentence of a film review favourable",
        classes: &[class("negative", "0"), class("positive", "1")],
        train_rows: 67_349,
        dev_sets: &[dev(872)],
        metrics: &[Metric::Accuracy],
        keeps_best: Metric::Accuracy,
        layout: Layout {
            columns: &["sentence", "label"],
            has_header: true,
            text: "sentence",
            text2: None,
            label: "label",
            hub_texts: &["sentence"],
            passes_over_short_rows: false,
        },
    },
    Task {
        name: "STS-B",
        hub_name: "stsb",
        about: "how similar are two sentences, from 0 to 5",
        classes: &[],
        train_rows: 5_749,
        dev_sets: &[dev(1_500)],
        metrics: &[Metric::Pearson, Metric::Spearman],
        keeps_best: Metric::Pearson,
        layout: Layout {
            columns: &[
                "index",
                "genre",
                "filename",
                "year",
                "old_index",
                "source1",
                "source2",
                "sentence1",
                "sentence2",
                "score",
            ],
            label: "score",
            ..SENTENCES
        },
    },
    Task {
        name: "WNLI",
        hub_name: "wnli",
        about: "does the sentence with its pronoun replaced follow from the first",
        classes: &[class("not_entailment", "0"), class("entailment", "1")],
        train_rows: 635,
        dev_sets: &[dev(71)],
        metrics: &[Metric::Accuracy],
        keeps_best: Metric::Accuracy,
        layout: SENTENCES,
    },
];

impl Task {
    /// All tasks.
    pub fn all() -> &'static [Task] {
        &TASKS
    }

    /// The task of a name, whatever its case and its hyphens: `SST-2` and `sst2` are the same.
    ///
    /// # Errors
    /// An unknown name, with those that are known.
    pub fn named(name: &str) -> Result<&'static Task, LabelledError> {
        let plain = |name: &str| name.replace(['-', '_'], "").to_lowercase();
        let found = TASKS.iter().find(|task| plain(task.name) == plain(name));
        found.ok_or_else(|| LabelledError::unknown_task(name))
    }

    /// What its labels are.
    pub fn kind(&self) -> Kind {
        match self.classes {
            [] => Kind::Regression,
            classes => {
                Kind::Classification { classes: classes.iter().map(|class| class.name.to_owned()).collect() }
            }
        }
    }

    /// Its files, each with the part of the hub's data set that it is and the number of its examples: the training file,
    /// and those to be scored on.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let dev = self.dev_sets.iter().map(|set| (set.name, set.hub_name, set.rows));
        std::iter::once(("train", "train", self.train_rows)).chain(dev)
    }

    /// Whether its examples are pairs of texts.
    pub fn has_pairs(&self) -> bool {
        self.layout.text2.is_some()
    }
}
