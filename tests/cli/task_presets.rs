//! `mirror finetune --preset`: the settings that a run gets, and where they come from.

use crate::models::Kind;
use crate::workspace::Workspace;

/// The lines that `--show` prints.
fn shown(w: &Workspace, arguments: &str) -> Vec<String> {
    w.run(&format!("finetune {arguments} --show")).stdout.lines().map(str::to_owned).collect()
}

#[test]
fn settings_of_a_task_are_shown_with_where_they_come_from() {
    let w = Workspace::new();
    let lines = shown(&w, "--task rte --preset paper --reg delta-sam --batch-size 8");
    for line in [
        "max-steps = 2036 # --preset paper",
        "learning-rate = 0.00002 # --preset paper",
        "warmup = \"122\" # --preset paper",
        "schedule = \"polynomial\" # --preset paper",
        "adam-betas = [0.9, 0.98] # --preset paper",
        "rho = 0.05 # --preset paper",
        "beta = 70.0 # --preset paper",
        "batch-size = 8 # command line",
        "reg = \"delta-sam\" # command line",
        "weight-decay = 0.01",
    ] {
        assert!(lines.iter().any(|shown| shown == line), "{line:?} is not in {lines:#?}");
    }
    let of_roberta = shown(&w, "--task RTE --preset paper-roberta");
    assert!(of_roberta.contains(&"beta = 5.0 # --preset paper-roberta".to_owned()), "{of_roberta:#?}");
    assert!(shown(&w, "--task RTE").contains(&"batch-size = 32".to_owned()));
}

#[test]
fn a_run_takes_and_saves_a_presets_settings_and_not_its_name() {
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    let rows: String = (0..20)
        .map(|row| format!("{row}\ta dog runs\ta dog moves\t{}\n", ["entailment", "not_entailment"][row % 2]))
        .collect();
    for part in ["train", "dev"] {
        w.write(&format!("glue/RTE/{part}.tsv"), format!("index\tsentence1\tsentence2\tlabel\n{rows}"));
    }
    w.run("finetune --task RTE --data glue --model m --preset paper --max-length 32 --max-steps 2 --warmup 0 --output out");
    let saved = String::from_utf8(w.read("out/train.toml")).unwrap();
    for line in ["batch-size = 16", "max-steps = 2", "adam-betas = [0.9, 0.98]", "schedule = \"polynomial\""]
    {
        assert!(saved.lines().any(|saved| saved == line), "{line:?} is not in {saved}");
    }
    assert!(!saved.contains("preset") && !saved.contains("show"), "{saved}");
}

#[test]
fn presets_that_do_not_fit_are_refused() {
    let w = Workspace::new();
    w.refuses_usage(
        "finetune --task WNLI --preset paper",
        &["--preset paper has no settings for WNLI", "MRPC"],
    );
    w.refuses_usage("finetune --task RTE --preset papre", &["there is no preset", "did you mean paper?"]);
    w.refuses_usage("finetune --train a.csv --dev b.csv --preset paper", &["--preset"]);
    w.refuses_usage("finetune --resume out --preset paper", &["--preset"]);
}
