//! Tables of ways of training over seeds.

use sts_eval::seeds::{AVERAGE, SeedForm, SeedRow, SeedRun, SeedTable};
use sts_eval::{Bootstrap, ScoredTask};

const PAIRS: usize = 60;

/// A task whose cosines follow the gold scores but for `noise`, which depends on `seed`.
fn task(name: &str, noise: f64, seed: u64) -> ScoredTask {
    let gold: Vec<f64> = (0..PAIRS).map(|i| (i % 13) as f64).collect();
    let cosine = |(i, gold): (usize, &f64)| {
        let hash =
            (i as u64 + 1).wrapping_mul(seed.wrapping_mul(2) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        gold / 13.0 + noise * (hash as f64 / (1u64 << 24) as f64 - 0.5)
    };
    let cosines = gold.iter().enumerate().map(cosine).collect();
    ScoredTask { name: name.to_owned(), gold, cosines, subsets: vec![(String::new(), 0..PAIRS)] }
}

fn row(name: &str, noise: f64, seeds: &[u64], against: Option<&str>) -> SeedRow {
    let run = |&seed: &u64| SeedRun {
        seed,
        scored: vec![task("STS12", noise, seed), task("STSB", noise, seed + 100)],
    };
    SeedRow {
        name: name.to_owned(),
        settings: "rho 0.05".to_owned(),
        against: against.map(str::to_owned),
        runs: seeds.iter().map(run).collect(),
    }
}

fn table(rows: &[SeedRow]) -> SeedTable {
    let bootstrap = Bootstrap { resamples: 500, ..Bootstrap::default() };
    SeedTable::new(rows, &bootstrap, vec!["A note.".to_owned()]).unwrap()
}

fn written(form: SeedForm, table: &SeedTable) -> String {
    let mut bytes = Vec::new();
    form.write(table, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn means_deviations_and_differences_are_those_of_the_runs() {
    let seeds = [1, 2, 3, 4, 5];
    let rows = [
        row("plain", 1.5, &seeds, None),
        row("better", 0.3, &seeds[1..], Some("plain")),
        row("same", 1.5, &seeds, Some("plain")),
    ];
    let table = table(&rows);
    assert_eq!(table.columns(), ["STS12", "STSB", AVERAGE]);
    let of = |row: usize, run: usize| {
        let tasks = &rows[row].runs[run].scored;
        tasks.iter().map(|task| task.spearman().unwrap() * 50.0).sum::<f64>()
    };
    let plain: Vec<f64> = (0..5).map(|run| of(0, run)).collect();
    let mean = plain.iter().sum::<f64>() / 5.0;
    let deviation = (plain.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 4.0).sqrt();
    let own = &table.rows[0].scores[AVERAGE];
    assert!((own.mean.unwrap() - mean).abs() < 1e-9 && (own.deviation.unwrap() - deviation).abs() < 1e-9);
    assert!(table.rows[0].difference.is_none());

    // Over the seeds that both have.
    let difference = table.rows[1].difference.as_ref().unwrap();
    assert_eq!(difference.seeds, [2, 3, 4, 5]);
    let better = difference.scores[AVERAGE].unwrap();
    let expected = (0..4).map(|run| of(1, run) - of(0, run + 1)).sum::<f64>() / 4.0;
    assert!((better.interval().estimate - expected).abs() < 1e-9);
    assert!(better.interval().low > 0.0 && better.is_significant(&table.bootstrap), "{better:?}");
    assert!((better.p_holm - 2.0 * better.difference.p_value).abs() < 1e-12, "two rows are tested");
    let same = table.rows[2].difference.as_ref().unwrap().scores[AVERAGE].unwrap();
    assert!(same.interval().estimate == 0.0 && !same.is_significant(&table.bootstrap), "{same:?}");
}

#[test]
fn every_form_has_the_rows_and_escapes_their_names() {
    let table = table(&[row("plain", 1.5, &[1, 2], None), row("<b>|&_\u{1b}", 0.5, &[1, 2], Some("plain"))]);
    let text = written(SeedForm::Table, &table);
    assert!(text.starts_with("Row ") && text.contains("A note.") && !text.contains('\u{1b}'), "{text}");
    let markdown = written(SeedForm::Markdown, &table);
    assert!(markdown.contains("| \\<b>\\|&\\_") && markdown.contains(" ± "), "{markdown}");
    let latex = written(SeedForm::Latex, &table);
    assert!(latex.contains("\\&\\_") && latex.contains("$\\pm$"), "{latex}");
    assert!(!latex.lines().any(|line| !line.starts_with('%') && line.contains('±')), "{latex}");
    let html = written(SeedForm::Html, &table);
    assert!(html.contains("&lt;b&gt;") && html.contains("seed 2"), "{html}");
    assert!(!html.contains("<b>") && !html.contains("http://") && !html.contains("https://"), "{html}");
    let json = written(SeedForm::Json, &table);
    assert_eq!(serde_json::from_str::<SeedTable>(&json).unwrap().rows.len(), 2);
}

#[test]
fn one_seed_has_no_deviation_and_other_pairs_are_refused() {
    let alone = table(&[row("plain", 1.5, &[1], None), row("better", 0.5, &[1], Some("plain"))]);
    assert_eq!(alone.rows[0].scores[AVERAGE].deviation, None);
    assert!(alone.rows[1].difference.is_some());
    let mut other = row("other", 0.5, &[1], Some("plain"));
    other.runs[0].scored[0].gold[0] += 1.0;
    let rows = [row("plain", 1.5, &[1], None), other];
    assert!(SeedTable::new(&rows, &Bootstrap::default(), Vec::new()).is_err());
    assert!(written(SeedForm::Table, &table(&[])).contains("Row"));
}
