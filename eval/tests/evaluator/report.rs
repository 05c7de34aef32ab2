//! Reports and their output forms.

use sts_eval::format::{Format, Json, Latex, Markdown, Table};
use sts_eval::{Benchmark, Convention, Report, SEVEN, ScoredTask};

/// A task on which the model gets ρ = 1, or ρ = −1 or none.
fn task(name: &str, cosines: [f64; 4]) -> ScoredTask {
    let subsets = vec![("left".to_owned(), 0..2), ("right".to_owned(), 2..4)];
    ScoredTask { name: name.to_owned(), gold: vec![1.0, 2.0, 3.0, 4.0], cosines: cosines.to_vec(), subsets }
}

const RIGHT: [f64; 4] = [0.1, 0.2, 0.3, 0.4];
/// ρ = 0.8
const NEARLY: [f64; 4] = [0.2, 0.1, 0.3, 0.4];
const WRONG: [f64; 4] = [0.4, 0.3, 0.2, 0.1];
const CONSTANT: [f64; 4] = [0.5; 4];

fn report(model: &str, tasks: &[ScoredTask], missing: &[Benchmark]) -> Report {
    Report::new(model, Convention::MirrorBert, tasks, missing)
}

fn written(format: &dyn Format, reports: &[Report]) -> String {
    let mut output = Vec::new();
    format.write(reports, &mut output).unwrap();
    String::from_utf8(output).unwrap()
}

#[test]
fn json_has_the_promised_keys_in_their_order() {
    let single = ScoredTask { subsets: vec![("mine".to_owned(), 0..4)], ..task("mine", CONSTANT) };
    let report = report("m", &[task("STS12", NEARLY), single], &[Benchmark::SickR]);
    let compact: serde_json::Value =
        serde_json::from_str(&written(&Json, std::slice::from_ref(&report))).unwrap();
    let expected = r#"{"tasks":{"STS12":{"spearman":80.0,"pairs":4,"subsets":{"left":{"spearman":-100.0,"pairs":2},"right":{"spearman":100.0,"pairs":2}}},"mine":{"spearman":null,"pairs":4,"subsets":{}}},"average":80.0,"averaged":["STS12"],"convention":"mirror-bert","missing":["SICKR"],"model":"m"}"#;
    assert_eq!(serde_json::to_string(&report).unwrap(), expected);
    assert_eq!(compact, serde_json::from_str::<serde_json::Value>(expected).unwrap());
    assert_eq!(serde_json::from_str::<Report>(expected).unwrap(), report, "reports can be read back");
    let two: serde_json::Value = serde_json::from_str(&written(&Json, &[report.clone(), report])).unwrap();
    assert_eq!(two.as_array().unwrap().len(), 2);
}

#[test]
fn the_average_is_over_the_seven_and_users_sets_stand_apart() {
    let mut tasks: Vec<ScoredTask> = SEVEN.iter().map(|benchmark| task(benchmark.key(), RIGHT)).collect();
    tasks[3] = task("STS15", NEARLY);
    tasks.push(task("mine", WRONG));
    let complete = report("m", &tasks, &[]);
    assert!(complete.is_complete());
    assert!((complete.average.unwrap() - 680.0 / 7.0).abs() < 1e-12);
    assert_eq!(complete.averaged, SEVEN.map(Benchmark::key));

    let own = report("m", &[task("mine", WRONG), task("ours", RIGHT)], &SEVEN);
    assert_eq!((own.average, own.averaged.len(), own.is_complete()), (Some(0.0), 2, false));

    tasks[0] = task("STS12", CONSTANT);
    assert_eq!(report("m", &tasks, &[]).average, None, "an undefined score is not averaged away");
    assert_eq!(report("m", &[], &SEVEN).average, None);
}

#[test]
fn a_table_for_the_terminal() {
    let reports = [
        report("before", &[task("STSB", WRONG), task("mine", CONSTANT)], &[Benchmark::SickR]),
        report("after\u{1b}[2J", &[task("STS12", RIGHT), task("STSB", NEARLY)], &[]),
    ];
    let expected = "\
Model       STS12    STS-B     Avg.       mine
before          -  -100.00  -100.00  undefined
after?[2J  100.00    80.00    90.00          -
Avg. is over STSB. No data found for SICKR.
Avg. is over STS12, STSB.
";
    assert_eq!(written(&Table, &reports), expected);
}

#[test]
fn a_complete_report_needs_no_note() {
    let tasks: Vec<ScoredTask> = SEVEN.iter().map(|benchmark| task(benchmark.key(), NEARLY)).collect();
    let expected = "\
Model  STS12  STS13  STS14  STS15  STS16  STS-B  SICK-R   Avg.
m      80.00  80.00  80.00  80.00  80.00  80.00   80.00  80.00
";
    assert_eq!(written(&Table, &[report("m", &tasks, &[])]), expected);
}

#[test]
fn markdown_marks_the_best_and_escapes_names() {
    let reports = [
        report("a|b_c", &[task("STS12", NEARLY), task("my|set", CONSTANT)], &[]),
        report("d", &[task("STS12", RIGHT)], &[]),
        report("e", &[task("STS12", RIGHT)], &[]),
    ];
    let expected = "\
| Model | STS12 | Avg. | my\\|set |
|---|---:|---:|---:|
| a\\|b\\_c | 80.00 | 80.00 | undefined |
| d | **100.00** | **100.00** | – |
| e | **100.00** | **100.00** | – |

Avg. is over STS12.
";
    assert_eq!(written(&Markdown, &reports), expected);
}

#[test]
fn latex_is_a_booktabs_table() {
    let reports = [
        report("BERT_base & 50%", &[task("STSB", WRONG)], &[]),
        report("~\\^{}#$", &[task("STSB", NEARLY)], &[]),
    ];
    let expected = "\
% \\usepackage{booktabs}
% Avg. is over STSB.
\\begin{tabular}{lcc}
\\toprule
Model & STS-B & Avg. \\\\
\\midrule
BERT\\_base \\& 50\\% & $-$100.00 & $-$100.00 \\\\
\\textasciitilde{}\\textbackslash{}\\textasciicircum{}\\{\\}\\#\\$ & \\textbf{80.00} & \\textbf{80.00} \\\\
\\bottomrule
\\end{tabular}
";
    assert_eq!(written(&Latex, &reports), expected);
}
