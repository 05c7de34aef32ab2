//! Pairs of texts against transformers' AutoTokenizer (tests/python/pairs.py).

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;

use super::peers::{Case, cases};
use super::*;

/// Both texts are cut, one, and none; of an odd number of tokens too.
const LENGTHS: [usize; 5] = [5, 12, 13, 24, 300];

/// The interpreter that MIRROR_PYTHON names; where it is not set, the test is skipped, or fails under CI.
fn python() -> Option<PathBuf> {
    let path = std::env::var_os("MIRROR_PYTHON").filter(|path| !path.is_empty()).map(PathBuf::from);
    if path.is_none() {
        assert!(std::env::var_os("CI").is_none(), "MIRROR_PYTHON is not set; run scripts/test");
        let _ = writeln!(std::io::stderr(), "SKIPPED: MIRROR_PYTHON is not set; scripts/test sets it");
    }
    path
}

type Row = (Vec<u32>, Option<Vec<u32>>);

fn asked_of_transformers(python: &Path, cases: &[Case], pairs: &[(&String, &String)]) -> Vec<Row> {
    let folders: Vec<&Path> = cases.iter().map(|case| case.dir.path()).collect();
    let asked = json!({"folders": folders, "pairs": pairs, "lengths": LENGTHS});
    let folder = tempfile::tempdir().unwrap();
    let answer = folder.path().join("rows.json");
    let mut child = Command::new(python)
        .arg(manifest().join("tests/python/pairs.py"))
        .arg(&answer)
        .env("HF_HUB_OFFLINE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(asked.to_string().as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    serde_json::from_slice(&std::fs::read(answer).unwrap()).unwrap()
}

#[test]
fn pairs_are_those_of_transformers() {
    let Some(python) = python() else { return };
    for kind in KINDS {
        let (texts, cases) = cases(kind);
        // sentence-transformers lower-cases before the tokenizer, which AutoTokenizer knows nothing of.
        let cases: Vec<Case> = cases.into_iter().filter(|case| case.name != "lower first").collect();
        let count = texts.len();
        let pairs: Vec<_> = (0..count).map(|i| (&texts[i], &texts[(7 * i + 3) % count])).collect();
        let mut rows = asked_of_transformers(&python, &cases, &pairs).into_iter();
        let mut typed = 0;
        for case in &cases {
            let tokenizer = Tokenizer::from_folder(case.dir.path()).unwrap();
            for (first, second) in &pairs {
                for length in LENGTHS {
                    let (ids, types) = rows.next().unwrap();
                    let ours = tokenizer.encode_pair(first, Some(second), length).unwrap();
                    let said = format!("{kind}, {}, {length} tokens: {first:?} {second:?}", case.name);
                    assert_eq!(ours.ids, ids, "{said}");
                    // Where a model takes types, they are ours.
                    if kind == "tokenizer-bert"
                        && let Some(types) = types
                    {
                        assert_eq!(ours.types, types, "{said}");
                        typed += usize::from(types.contains(&1));
                    }
                    let whole = tokenizer.encode_pair(first, Some(second), usize::MAX).unwrap();
                    assert_eq!(ours.is_cut, whole.ids.len() > length, "{said}");
                }
            }
        }
        assert!(rows.next().is_none());
        assert!(kind != "tokenizer-bert" || typed > 1000, "{typed} pairs with types");
    }
}

#[test]
fn a_text_by_itself_is_what_it_is_elsewhere() {
    for kind in KINDS {
        let (texts, _) = cases(kind);
        for text in &texts {
            for length in [4, 11, 300] {
                let tokens = small(kind).encode_pair(text, None, length).unwrap();
                assert_eq!(tokens.ids, small(kind).encode(text, length).unwrap(), "{kind}: {text:?}");
                assert!(tokens.types.iter().all(|&of_token| of_token == 0));
            }
        }
        let error = small(kind).encode_pair("a", Some("b"), 2).unwrap_err().to_string();
        assert!(error.contains("leaves no room"), "{error}");
    }
}
