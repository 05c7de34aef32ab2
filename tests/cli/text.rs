//! Text as people have it: every command reads it in the same way, or says what it is and what to do.

use serde_json::Value;

use crate::models::{Kind, sentences};
use crate::workspace::{Workspace, npy};

/// Files that are no text of sentences, and what is said of each.
const REFUSED: [(&str, &[u8], &str); 15] = [
    ("c.txt.bz2", b"BZh91AY&SY\0\0", "c.txt.bz2 is compressed (bzip2); unpack it first: bzcat"),
    ("c.xz", b"\xfd7zXZ\0\0", "c.xz is compressed (xz)"),
    (
        "c.xlsx",
        b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\0\0\0docProps/app.xml",
        "c.xlsx is an Office document, not text",
    ),
    ("c.npy", b"\x93NUMPY\x01\0v\0{'descr': '<f4'}\n", "c.npy is a NumPy array"),
    ("c.zip", b"PK\x03\x04\x14\0\0\0", "c.zip is a zip archive"),
    ("c.pdf", b"%PDF-1.7\n%\xe2\xe3\n", "c.pdf is a PDF document"),
    (
        "mark.txt",
        b"\xff\xfea\0\n\0b\0\n\0",
        "mark.txt is UTF-16, not UTF-8; convert it: iconv -f UTF-16 -t UTF-8",
    ),
    (
        "wide.txt",
        b"a\0 \0m\0a\0n\0\n\0b\0\n\0",
        "wide.txt is UTF-16LE, not UTF-8; convert it: iconv -f UTF-16LE",
    ),
    ("nul.txt", b"fine\nno\0\0t\n", "nul.txt, line 2: the line holds NUL bytes"),
    (
        "latin.txt",
        b"fine\nun caf\xe9 noir\n",
        "latin.txt, line 2: byte 7 of the line is not valid UTF-8; if the file is Latin-1",
    ),
    ("mac.txt", b"one\rtwo\rthree\r", "mac.txt ends its lines with carriage returns alone"),
    ("mixed.txt", b"one\rtwo\rthree\rfour\n", "mixed.txt ends its lines with carriage returns alone"),
    ("rows.txt", b"{\"text\": \"a\"}\n{\"text\": \"b\"}\n", "rows.txt holds a JSON value a line"),
    ("table.txt", b"id,text\n0,\"a, b\"\n1,c\n", "table.txt is a table of 2 columns"),
    ("c.html", b"<!doctype html>\n<p>a\n", "c.html is HTML"),
];

#[test]
fn every_command_refuses_what_is_no_text_of_sentences() {
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    w.write("fine.txt", "a man plays\ntwo dogs run\n");
    for (file, bytes, says) in REFUSED {
        w.write(file, bytes);
        for command in [
            "train --model m --batch-size 2 --no-eval --corpus",
            "eval --model m --corpus",
            "sharpness --model m --batch-size 2 --corpus",
            "encode --model m --output o.npy --input",
            "search --model m query --input",
            "search --model m --input fine.txt --queries",
        ] {
            // Where the program makes a path absolute, the name is the end of it.
            w.fails(&format!("{command} {file}"), &[says]);
        }
        let output = w.mirror("encode --model m --output o.npy").write_stdin(bytes).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1), "{file}: {stderr}");
        assert!(stderr.starts_with("error: standard input"), "{file}: {stderr}");
    }
}

/// A text with everything in it that some program takes for the end of a line.
const ODD: &str = "\u{FEFF}first line\none\rtwo\nsep\u{2028}ara\u{2029}ted\nnel\u{85}here\r\n\n \t\nform\u{c}feed\u{b}\nfs\u{1c}gs\u{1d}rs\u{1e}us\u{1f}\r\n\u{200B}\n\u{FEFF}mark\nlast\r";

#[test]
fn lines_end_where_they_should_and_nowhere_else() {
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    w.write("odd.txt", ODD);
    let said = w.run("encode --model m --input odd.txt --output odd.npy");
    assert_eq!(said.stderr, "odd.txt: 2 lines hold a lone carriage return, which does not end a line here\n");
    assert_eq!(npy(&w.read("odd.npy")).len(), 11);
    let said = w.run_with("encode --model m --output piped.npy", ODD);
    assert!(said.stderr.starts_with("standard input: 2 lines hold"), "{}", said.stderr);
    assert_eq!(w.read("piped.npy"), w.read("odd.npy"));
    let said = w.run("train --model m --corpus odd.txt --batch-size 8 --no-eval --output out");
    for says in ["odd.txt: 3 blank lines left out", "odd.txt: 2 lines hold a lone carriage return"] {
        assert!(said.stderr.contains(says), "{says:?} in {}", said.stderr);
    }
    assert!(said.stdout.contains("trained 1 step in"), "{}", said.stdout);
}

/// What Python's code for a reader of embeddings makes of a text: README's, docs/text.md's and scripts/encode-ray.py's.
const READ: &str = r#"
import ast, io, json, sys
from collections.abc import Iterator

def snippet(path):
    text = open(path, encoding="utf-8").read()
    start = text.index('with open("sentences.txt"')
    code = text[start:text.index("for line in file]", start)] + "for line in file]"
    scope = {}
    exec(code, scope)
    return scope["lines"]

def ray(path):
    script = open(path, encoding="utf-8").read()
    found = [node for node in ast.parse(script).body if isinstance(node, ast.FunctionDef) and node.name == "lines"]
    scope = {"io": io, "Iterator": Iterator}
    exec(ast.unparse(found[0]), scope)
    return list(scope["lines"](open("sentences.txt", "rb")))

root = sys.argv[1]
print(json.dumps([snippet(root + "/README.md"), snippet(root + "/docs/text.md"), ray(root + "/scripts/encode-ray.py")]))
"#;

#[test]
fn python_recipes_cut_lines_as_mirror_encode_does() {
    let Some(python) = crate::python::installed("MIRROR_PYTHON") else { return };
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    for text in [ODD, "a\n", "a\r\n\r\n\nb", "\u{FEFF}", "\u{FEFF}\n", "a\r\r\nb\n\n"] {
        w.write("sentences.txt", text);
        let output = std::process::Command::new(&python)
            .args(["-c", READ, env!("CARGO_MANIFEST_DIR")])
            .current_dir(w.path(""))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found: Vec<Vec<String>> = serde_json::from_slice(&output.stdout).unwrap();
        w.run("encode --model m --input sentences.txt --output embeddings.npy");
        let rows = npy(&w.read("embeddings.npy")).len();
        for lines in &found {
            assert_eq!(lines.len(), rows, "{text:?}: {lines:?}");
        }
        if rows == 0 || text.trim_start_matches('\u{FEFF}').trim().is_empty() {
            continue;
        }
        // The texts of the lines that are not blank, by their numbers.
        let hits = w.run("search --model m --input sentences.txt --top 100 --json query").stdout;
        let hits: Value = serde_json::from_str(&hits).unwrap();
        let hits = hits[0]["models"][0]["hits"].as_array().unwrap();
        assert!(!hits.is_empty());
        for (hit, lines) in hits.iter().flat_map(|hit| found.iter().map(move |lines| (hit, lines))) {
            let line = hit["line"].as_u64().unwrap() as usize;
            assert_eq!(hit["text"].as_str().unwrap(), lines[line - 1], "{text:?}");
        }
    }
}

#[test]
fn sentences_without_a_mask_are_counted_and_equal_views_warned_of() {
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    let long = sentences(30).into_iter().filter(|line| line.chars().count() >= 30).take(12);
    let short = (0..8).map(|i| format!("{i} dogs"));
    w.write("mixed.txt", long.chain(short).collect::<Vec<_>>().join("\n"));
    w.write("short.txt", (0..20).map(|i| format!("狗{i}\n")).collect::<String>());
    w.write("pairs.tsv", "a man\ta man\na dog\tan animal\nrain\train\n");
    for (flags, says) in [
        (
            "--corpus mixed.txt",
            "mixed.txt: 8 of 20 sentences are too short for a mask (fewer than 30 characters); their two views differ by dropout alone",
        ),
        (
            "--corpus mixed.txt --dropout 0",
            "warning: mixed.txt: 8 of 20 sentences are too short for a mask (fewer than 30 characters), and with --dropout 0 their two views are equal",
        ),
        (
            "--corpus mixed.txt --dropout 0 --drophead 0.1",
            "8 of 20 sentences are too short for a mask (fewer than 30 characters); their two views differ",
        ),
        ("--corpus short.txt", "short.txt: all 20 sentences are too short for a mask"),
        ("--corpus short.txt --dropout 0", "warning: short.txt: all 20 sentences"),
        (
            "--corpus mixed.txt --mask-span 0 --dropout 0",
            "warning: mixed.txt: all 20 sentences are not masked (--mask-span 0), and",
        ),
        ("--corpus mixed.txt --mask-span 0", ""),
        ("--corpus pairs.tsv --pairs", "pairs.tsv: 2 of 3 pairs have the same text twice; their two views"),
        (
            "--corpus pairs.tsv --pairs --dropout 0",
            "warning: pairs.tsv: 2 of 3 pairs have the same text twice, and",
        ),
    ] {
        let said = w.run(&format!(
            "train --model m --batch-size 2 --max-steps 1 --no-eval --output out --overwrite {flags}"
        ));
        let remarks: String = said.stderr.lines().filter(|line| line.contains("views")).collect();
        // The corpus is named by its whole path.
        let found =
            says.is_empty() == remarks.is_empty() && remarks.contains(says.trim_start_matches("warning: "));
        assert!(
            found && remarks.starts_with("warning: ") == says.starts_with("warning: "),
            "{flags}: {says:?} in {remarks:?}"
        );
    }
    let said = w.run("eval --model m --corpus mixed.txt");
    assert!(said.stderr.contains("8 of the 20 sentences drawn are too short for a mask"), "{}", said.stderr);
}

#[test]
fn pairs_are_read_or_refused_by_line() {
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    let train = "train --model m --pairs --batch-size 2 --no-eval --corpus";
    for (file, text, says) in [
        ("p.tsv", "sentence1\tsentence2\na\tb\nc\td\n", "begins with the header"),
        ("p.tsv", "4.5\ta man\n0.5\ta dog\n", "has numbers in column 1"),
        ("p.tsv", "4.5\ta man\tsomeone\n", "p.tsv, line 1: found more than two columns"),
        (
            "p.txt",
            "a man,someone\na dog,an animal\n",
            "p.txt, line 1: found one column (commas separate none)",
        ),
        ("p.tsv", "a\tb\nc\t\n", "p.tsv, line 2: found an empty second column"),
        ("p.txt", "{\"a\": \"x\", \"b\": \"y\"}\n", "holds a JSON value a line"),
        ("p.tsv", "\u{200B}\tb\n", "p.tsv, line 1: found an empty first column"),
    ] {
        w.write(file, text);
        w.fails(&format!("{train} {file}"), &[says]);
    }
    // A mark, other endings, blank lines and no last ending: the same two pairs.
    w.write("a.tsv", "a man\tsomeone\na dog\tan animal\n");
    w.write("b.tsv", "\u{FEFF}a man\tsomeone\r\n\r\na dog\tan animal");
    for (input, output) in [("a.tsv", "a"), ("b.tsv", "b")] {
        w.run(&format!("{train} {input} --output {output}"));
    }
    assert_eq!(w.read("a/model.safetensors"), w.read("b/model.safetensors"));
}

#[test]
fn scores_that_cannot_be_ranked_are_said() {
    let w = Workspace::new();
    for (text, says) in [
        (
            "3\ta\tb\n3\tc\td\n",
            "warning: mine: its rank correlation is undefined, since all its 2 scores are the same",
        ),
        ("3\ta\tb\n", "warning: mine: its rank correlation is undefined, since it has one pair"),
        ("3\ta\tb\n\tc\td\n4\te\tf\n", "mine: 1 pair without a score left out"),
    ] {
        w.write("p.tsv", text);
        let said = w.run("eval --set mine=p.tsv");
        assert_eq!(said.stderr.trim_end(), says);
    }
}
