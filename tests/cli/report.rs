//! `mirror eval --html`, as a browser shows it; `--mteb`, as MTEB has it; and that all forms say the same.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::models::Kind;
use crate::workspace::Workspace;

/// What a hostile data set would put into a page.
const HOSTILE: &str = "5\t<script>alert(1)</script>\t\"><img src=http://127.0.0.1:9/x onerror=alert(2)>\n\
                       1\t</style><style>*{display:none}</style>\t]]>&amp;<!-- \u{202e} مرحبا\n\
                       3\ta man plays the guitar\t</script></table></details></main>\n\
                       2\ttwo dogs run\tsomeone sings <b>loudly</b>\n\
                       4\tthe green fields\t<link rel=stylesheet href=//127.0.0.1:9/y>\n\
                       0\t' onload='alert(3)\t<svg/onload=alert(4)>\n";

/// The browser: `MIRROR_CHROMIUM`, or Debian's chromium; where there is none, says that the test is skipped, or fails
/// under CI.
fn browser() -> Option<PathBuf> {
    let named = std::env::var_os("MIRROR_CHROMIUM").map(PathBuf::from);
    let found = named.or_else(|| {
        let path = std::env::var_os("PATH")?;
        let programs = ["chromium", "chromium-browser", "google-chrome"];
        std::env::split_paths(&path)
            .flat_map(|folder| programs.map(|program| folder.join(program)))
            .find(|program| program.is_file())
    });
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "no chromium; run scripts/test");
        // Past the test harness, which hides what a passing test prints.
        let _ = writeln!(std::io::stderr(), "SKIPPED: no chromium; scripts/test installs it");
    }
    found
}

/// Opens a page of the workspace and tells what browse.py saw.
fn browse(w: &Workspace, browser: &Path, page: &str) -> Value {
    let python = std::env::var_os("MIRROR_PYTHON").unwrap_or_else(|| "python3".into());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/browse.py");
    let output = Command::new(&python).arg(script).arg(browser).arg(w.path(page)).output();
    let output = output.unwrap_or_else(|e| panic!("{}: {e}", Path::new(&python).display()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Two models, one of them with a log of its training; the built-in pairs' form, and hostile ones.
fn report(w: &Workspace) -> String {
    w.write("hostile.tsv", HOSTILE);
    w.write("pairs.tsv", include_str!("../../data/builtin/pairs.tsv"));
    let trained = w.model(Kind::Bert, "<b>trained&");
    let steps = (1..=900).map(|step| {
        let loss = 3.0 / f64::from(step);
        format!("{}\n", json!({ "step": step, "loss": loss, "descent_loss": loss * 1.5 }))
    });
    let score = |step: u32| format!("{}\n", json!({ "step": step, "set": "dev<i>", "spearman": step / 20 }));
    trained.write("metrics.jsonl", score(0) + &steps.collect::<String>() + &score(900));
    w.run("eval --model builtin --model <b>trained& --set hostile=hostile.tsv --set pairs=pairs.tsv --html r.html --json r.json");
    String::from_utf8(w.read("r.html")).unwrap()
}

#[test]
fn a_page_is_whole_quiet_and_legible_in_light_dark_narrow_and_print() {
    let Some(browser) = browser() else { return };
    let w = Workspace::new();
    let page = report(&w);
    assert!(page.len() < 400_000, "{} bytes", page.len());
    let seen = browse(&w, &browser, "r.html");
    // The page itself, its icon of nothing, and nothing else.
    let requests = seen["requests"].as_array().unwrap();
    let outside =
        |url: &&Value| !matches!(url.as_str(), Some(url) if url.ends_with("/r.html") || url == "data:,");
    assert_eq!(requests.iter().find(outside), None);
    assert_eq!(seen["complaints"], json!([]));
    for (name, view) in seen["views"].as_object().unwrap() {
        assert_eq!((&view["overflow"], &view["wide"]), (&json!(0), &json!([])), "{name}");
        assert_eq!(view["scripts"], 0, "{name}");
        assert!(view["least"]["contrast"].as_f64().unwrap() >= 4.5, "{name}: {}", view["least"]);
        assert!(view["least_mark"].as_f64().unwrap() >= 3.0, "{name}: {}", view["least_mark"]);
        assert!(
            view["texts"].as_u64().unwrap() > 150 && view["marks"].as_u64().unwrap() > 20,
            "{name}: {view}"
        );
        let sections = json!(["scores", "intervals", "scatter", "geometry", "training", "pairs"]);
        assert_eq!(view["sections"], sections, "{name}");
    }
    let pixel = |view: &str| seen["views"][view]["pixel"].clone();
    assert_eq!((pixel("light"), pixel("print")), (json!([255, 255, 255]), json!([255, 255, 255])));
    assert!(pixel("dark").as_array().unwrap().iter().all(|channel| channel.as_u64().unwrap() < 40), "{seen}");
    assert!(seen["pdf"].as_u64().unwrap() > 10_000, "{}", seen["pdf"]);
}

#[test]
fn texts_and_names_cannot_become_markup() {
    let w = Workspace::new();
    let page = report(&w);
    let lower = page.to_lowercase();
    for markup in
        ["<script", "<img", "<link rel=stylesheet", "<style>*", "<svg/", "<b>trained", "dev<i>", "<!-- "]
    {
        assert!(!lower.contains(markup), "{markup}");
    }
    for text in [
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "&quot;&gt;&lt;img src=http",
        "&lt;b&gt;trained&amp;",
        "dev&lt;i&gt;",
    ] {
        assert!(page.contains(text), "{text}");
    }
    assert!(page.contains("default-src 'none'"));
    // Of two attributes of a name, browsers take the first and drop the other.
    assert!(!page.contains("\" class=\""));
}

#[test]
fn every_form_says_the_same_on_any_number_of_threads() {
    let w = Workspace::new();
    w.model(Kind::Roberta, "m");
    w.write("hostile.tsv", HOSTILE);
    let pairs = w.write("pairs.tsv", include_str!("../../data/builtin/pairs.tsv"));
    assert!(pairs.is_file());
    let written = |threads: usize| {
        w.run(&format!(
            "eval --threads {threads} --model builtin --model m --set one=pairs.tsv --set two=hostile.tsv \
             --resamples 500 --html r.html --json r.json --markdown r.md --latex r.tex --mteb cache"
        ));
        ["r.html", "r.json", "r.md", "r.tex", "cache/results/local__m/no_revision_available/one.json"]
            .map(|name| w.read(name))
    };
    let forms = written(1);
    assert_eq!(written(3), forms);

    let reports = w.json("r.json");
    let [html, _, markdown, latex, _] = forms.map(|form| String::from_utf8(form).unwrap());
    let second = &reports[1];
    let (one, difference) = (&second["tasks"]["one"], &second["differences"][0]);
    assert_eq!(difference["against"], "builtin");
    assert_eq!(second["bootstrap"], json!({ "resamples": 500, "confidence": 0.95, "seed": 42 }));
    let numbers = [
        ("score", &one["spearman"], 2),
        ("interval", &one["interval"]["low"], 2),
        ("interval", &one["interval"]["high"], 2),
        ("difference", &difference["tasks"]["one"]["estimate"], 2),
        ("difference", &difference["tasks"]["one"]["low"], 2),
        ("average", &difference["average"]["high"], 2),
        ("alignment", &one["alignment"], 3),
        ("uniformity", &one["uniformity"], 3),
    ];
    for (name, number, decimals) in numbers {
        let number = number.as_f64().unwrap_or_else(|| panic!("{name} of {second}"));
        let digits = format!("{:.decimals$}", number.abs());
        for form in [&html, &markdown, &latex] {
            assert!(form.contains(&digits), "{name} {digits}:\n{form}");
        }
    }
    assert!(one["most_wrong"].as_array().unwrap().len() == 8 && one["pearson"].is_number(), "{one}");

    let result = w.json("cache/results/local__m/no_revision_available/one.json");
    let scores = &result["scores"]["test"][0];
    // What MTEB's TaskResult and ModelMeta have, which forbid or ignore what they do not know.
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(
        keys(&result),
        "dataset_revision task_name mteb_version scores evaluation_time kg_co2_emissions"
    );
    let measures = "pearson spearman cosine_pearson cosine_spearman manhattan_pearson manhattan_spearman \
                    euclidean_pearson euclidean_spearman main_score hf_subset languages";
    assert_eq!(keys(scores), measures);
    let close = |a: &Value, b: f64| (a.as_f64().unwrap() - b).abs() < 1e-12;
    assert!(close(&scores["main_score"], one["spearman"].as_f64().unwrap() / 100.0), "{result}");
    assert!(close(&scores["cosine_pearson"], one["pearson"].as_f64().unwrap() / 100.0), "{result}");
    let meta = w.json("cache/results/local__builtin/no_revision_available/model_meta.json");
    assert_eq!(
        (meta["name"].as_str(), meta["similarity_fn_name"].as_str()),
        (Some("local/builtin"), Some("cosine"))
    );
}

#[test]
fn a_report_asks_before_it_scores() {
    let w = Workspace::new();
    w.refuses_usage("eval --html - --json -", &["only one of", "--html"]);
    w.refuses_usage("eval --html r.html --resamples 2000000", &["number of resamples", "2000000"]);
    w.fails("eval --html absent/r.html", &["absent/r.html", "the folder absent does not exist"]);
    w.write("file", "");
    w.fails("eval --mteb file", &["file is a file", "--mteb"]);
}

#[test]
fn a_broken_log_is_told_and_left_out() {
    let w = Workspace::new();
    w.model(Kind::Bert, "m").write("metrics.jsonl", "{\"step\":1,\"loss\":2}\nnonsense\n");
    w.write("hostile.tsv", HOSTILE);
    let said = w.run("eval --model m --set x=hostile.tsv --resamples 0 --html -");
    assert!(said.stderr.contains("metrics.jsonl, line 2"), "{}", said.stderr);
    assert!(said.stdout.starts_with("<!DOCTYPE html>") && !said.stdout.contains("id=\"training\""));
    assert!(!said.stdout.contains("id=\"intervals\""), "--resamples 0 asks for none");
}
