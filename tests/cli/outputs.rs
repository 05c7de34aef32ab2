//! Files that commands write: never what they read, and what somebody else wrote only when told. docs/faults.md has the
//! table of which test is about which flag.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use crate::models::Kind;
use crate::workspace::{NO_GPU, Workspace, contents, jsonl, npy};

const PAIRS: &str = "5\ta man plays\ta man plays\n2\ta man plays\ttwo dogs\n0\tthe guitar\tgreen fields\n";

fn workspace() -> Workspace {
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    w.corpus("corpus.txt");
    w.write("pairs.tsv", PAIRS);
    w
}

/// Names by which a file can be reached, all in one folder.
fn other_names(w: &Workspace, name: &str, ending: &str) -> Vec<String> {
    fs::create_dir_all(w.path("links/below")).unwrap();
    std::os::unix::fs::symlink(w.path(name), w.path(&format!("links/soft{ending}"))).unwrap();
    std::os::unix::fs::symlink(format!("soft{ending}"), w.path(&format!("links/soft-soft{ending}"))).unwrap();
    fs::hard_link(w.path(name), w.path(&format!("links/hard{ending}"))).unwrap();
    vec![
        name.to_owned(),
        format!("./{name}"),
        format!("links/../{name}"),
        w.path(name).display().to_string(),
        format!("links/soft{ending}"),
        format!("links/soft-soft{ending}"),
        format!("links/hard{ending}"),
    ]
}

#[test]
fn encode_never_writes_what_it_reads() {
    let w = workspace();
    w.write("text.jsonl", "{\"text\": \"a man plays\"}\n");
    for name in other_names(&w, "text.jsonl", ".jsonl") {
        for overwrite in ["", " --overwrite"] {
            w.refuses_usage(
                &format!("encode --model m --input text.jsonl --output {name}{overwrite}"),
                &["--output", "is what --input reads"],
            );
        }
    }
    w.write("sample.jsonl", "{\"text\": \"a man plays\"}\n");
    w.refuses_usage(
        "encode --model m --input corpus.txt --embedding-type int8 --calibration sample.jsonl --output sample.jsonl \
         --overwrite",
        &["--output", "is what --calibration reads"],
    );
    // A file of the model, by a name that an output may have.
    std::os::unix::fs::symlink(w.path("m/vocab.txt"), w.path("vocabulary.jsonl")).unwrap();
    w.refuses_usage(
        "encode --model m --input corpus.txt --output vocabulary.jsonl --overwrite",
        &["is what --model reads"],
    );
}

#[test]
fn streams_that_are_what_is_read_are_refused() {
    let w = workspace();
    fs::copy(w.path("pairs.tsv"), w.path("m/links.txt")).unwrap();
    fs::copy(w.path("corpus.txt"), w.path("sample.txt")).unwrap();
    let commands: [(&str, &str, &str); 8] = [
        ("encode --model m", "corpus.txt", "standard input"),
        ("encode --model m --input corpus.txt", "corpus.txt", "--input"),
        (
            "encode --model m --input corpus.txt --embedding-type int8 --calibration sample.txt",
            "sample.txt",
            "--calibration",
        ),
        ("encode --model m --input /dev/stdin", "corpus.txt", "--input"),
        ("search --model m --input corpus.txt dogs", "corpus.txt", "--input"),
        ("eval --model m --set p=pairs.tsv", "pairs.tsv", "--set"),
        ("eval --model m --corpus corpus.txt", "corpus.txt", "--corpus"),
        ("sharpness --model m --corpus corpus.txt", "corpus.txt", "--corpus"),
    ];
    let train = "train --model m --corpus corpus.txt --batch-size 8 --no-eval --output out";
    for (arguments, file, reader) in commands.into_iter().chain([
        (train, "corpus.txt", "--corpus"),
        ("export --model m --no-verify --output out", "m/vocab.txt", "--model"),
    ]) {
        let before = contents(&w.path(""));
        for stderr in [false, true] {
            let appended = || File::options().append(true).open(w.path(file)).unwrap();
            let mut command = Command::new(env!("CARGO_BIN_EXE_mirror"));
            command
                .args(arguments.split(' '))
                .current_dir(w.path(""))
                .stdin(File::open(w.path(file)).unwrap());
            command.stdout(Stdio::null()).stderr(Stdio::piped()).env("HF_HUB_OFFLINE", "1");
            command.env(NO_GPU.0, NO_GPU.1);
            if stderr {
                command.stderr(appended())
            } else {
                command.stdout(appended())
            };
            let ended = command.output().unwrap();
            assert_eq!(ended.status.code(), Some(2), "{arguments}");
            if stderr {
                // Where the sentence itself went.
                fs::write(w.path(file), before[&w.path(file)].as_ref().unwrap()).unwrap();
            } else {
                let told = String::from_utf8(ended.stderr).unwrap();
                let says = format!("the file of standard output is what {reader} reads");
                assert!(told.contains(&says), "{arguments}: {told}");
            }
            assert!(contents(&w.path("")) == before, "{arguments}");
        }
    }
}

#[test]
fn encode_replaces_its_own_files_and_no_others() {
    let w = workspace();
    for (ending, others) in [
        (
            "npy",
            vec![
                &b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }"[..],
                b"mine",
            ],
        ),
        ("jsonl", vec![&b"{\"text\": \"a\"}\n"[..], b"mine", b"[1.0]\n[1.0, 2.0]\n", b"[\"a\"]\n"]),
    ] {
        let name = format!("rows.{ending}");
        let encode = format!("encode --model m --input corpus.txt --output {name}");
        for other in others {
            w.write(&name, other);
            w.fails(&encode, &[&name, "exists and is not", "--overwrite"]);
        }
        w.run(&format!("{encode} --overwrite"));
        let first = w.read(&name);
        w.run(&encode);
        assert!(w.read(&name) == first);
        // Of any type, one in the place of another; but for arrays cut short.
        for embedding_type in ["f16", "int8", "uint8", "binary", "ubinary", "f32"] {
            w.run(&format!("{encode} --embedding-type {embedding_type}"));
            if ending == "npy" {
                let whole = w.read(&name);
                w.write(&name, &whole[..whole.len() - 1]);
                w.fails(&encode, &[&name, "exists and is not", "--overwrite"]);
                w.write(&name, whole);
            }
        }
        w.write(&name, "");
        w.run(&encode);
        assert!(w.read(&name) == first);
        fs::remove_file(w.path(&name)).unwrap();
        fs::create_dir(w.path(&name)).unwrap();
        w.fails(&encode, &[&name, "is a folder; --output takes a file"]);
    }
}

/// A link stays, and what it leads to is written; devices and pipes are written to as they are.
#[test]
fn links_devices_and_pipes_stay_what_they_are() {
    let w = workspace();
    w.run("encode --model m --input corpus.txt --output rows.npy");
    let rows = npy(&w.read("rows.npy"));
    fs::create_dir(w.path("there")).unwrap();
    std::os::unix::fs::symlink("there/new.npy", w.path("link.npy")).unwrap();
    for _ in 0..2 {
        w.run("encode --model m --input corpus.txt --output link.npy");
        assert!(w.path("link.npy").is_symlink());
        assert_eq!(npy(&w.read("there/new.npy")), rows);
    }
    w.write("mine.txt", "mine");
    std::os::unix::fs::symlink("mine.txt", w.path("to-mine.npy")).unwrap();
    w.fails(
        "encode --model m --input corpus.txt --output to-mine.npy",
        &["to-mine.npy", "exists and is not"],
    );
    std::os::unix::fs::symlink("circle.npy", w.path("circle.npy")).unwrap();
    let refused = w.mirror("encode --model m --input corpus.txt --output circle.npy").output().unwrap();
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.starts_with("error: cannot write to circle.npy") && told.lines().count() == 1, "{told}");
    fs::remove_file(w.path("circle.npy")).unwrap();
    std::os::unix::fs::symlink("/dev/null", w.path("null.npy")).unwrap();
    w.run("encode --model m --input corpus.txt --output null.npy");
    assert!(w.path("null.npy").is_symlink() && !fs::metadata("/dev/null").unwrap().is_file());
    let shown = w.run("eval --model m --set p=pairs.tsv --json /dev/stdout --resamples 0").stdout;
    assert!(shown.contains("\"spearman\""), "{shown}");
    assert!(fs::symlink_metadata("/dev/stdout").unwrap().is_symlink());

    for name in ["pipe.jsonl", "pipe.npy"] {
        assert!(Command::new("mkfifo").arg(w.path(name)).status().unwrap().success());
    }
    let refused = w.mirror("encode --model m --input corpus.txt --output pipe.npy").output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("pipe.npy is a pipe"));
    let pipe = w.path("pipe.jsonl");
    let reader = std::thread::spawn(move || fs::read_to_string(pipe).unwrap());
    w.run("encode --model m --input corpus.txt --output pipe.jsonl");
    assert_eq!(jsonl(&reader.join().unwrap()).len(), 40);
}

const FORMS: [(&str, &str); 4] = [("json", "json"), ("markdown", "md"), ("latex", "tex"), ("html", "html")];

#[test]
fn eval_never_writes_what_it_reads() {
    let w = workspace();
    let sts = "sts/STS/STSBenchmark/sts-dev.csv";
    w.write(sts, "main\tcaptions\t2012\t1\t5\ta man\ta man\nmain\tx\t2012\t2\t1\ttwo dogs\tthe guitar\n");
    for name in other_names(&w, "pairs.tsv", "") {
        for (form, _) in FORMS {
            w.refuses_usage(
                &format!("eval --model m --set p=pairs.tsv --{form} {name} --overwrite"),
                &[&format!("--{form}"), "is what --set reads"],
            );
        }
    }
    // Also what would be read if it were there.
    for file in [
        "config.json",
        "model.safetensors",
        "vocab.txt",
        "tokenizer.json",
        "modules.json",
        "added_tokens.json",
    ] {
        let arguments = format!("eval --model m --set p=pairs.tsv --json m/{file} --overwrite");
        w.refuses_usage(&arguments, &["is what --model reads"]);
    }
    w.refuses_usage(
        &format!("eval --model m --data sts --markdown {sts} --overwrite"),
        &["is what --data reads"],
    );
    w.write("words/SimLex-999.txt", "cold\twarm\t1.5\nbig\tlarge\t9.25\n");
    w.refuses_usage(
        "eval --model m --words words --latex words/SimLex-999.txt --overwrite",
        &["is what --words reads"],
    );
    for form in ["json", "markdown"] {
        let arguments = format!("eval --model m --corpus corpus.txt --{form} corpus.txt --overwrite");
        w.refuses_usage(&arguments, &["is what --corpus reads"]);
    }
    for what in ["--set p=pairs.tsv", "--corpus pairs.tsv"] {
        w.refuses_usage(
            &format!("eval --model m {what} --embedding-type int8 --calibration corpus.txt --json corpus.txt --overwrite"),
            &["is what --calibration reads"],
        );
    }
}

#[test]
fn eval_replaces_its_own_reports_and_no_others() {
    let w = workspace();
    let eval = "eval --model m --set p=pairs.tsv --resamples 0";
    for (form, ending) in FORMS {
        let name = format!("report.{ending}");
        let asked = format!("{eval} --{form} {name}");
        for other in ["mine", "{\"mine\": 1}", "[]", "<!DOCTYPE html><html>", "| Model | mine |\n|---|---|\n"]
        {
            w.write(&name, other);
            w.fails(&asked, &[&name, "exists and is not a report of mirror eval", "--overwrite"]);
        }
        w.run(&format!("{asked} --overwrite"));
        let first = w.read(&name);
        w.run(&asked);
        assert!(w.read(&name) == first, "{form}");
        // Both kinds of report are reports.
        if matches!(form, "json" | "markdown") {
            let corpus = format!("eval --model m --corpus corpus.txt --{form} {name}");
            w.run(&corpus);
            w.run(&corpus);
            w.write(&name, "mine");
            w.fails(&corpus, &["exists and is not a report"]);
        }
        fs::remove_file(w.path(&name)).unwrap();
        fs::create_dir(w.path(&name)).unwrap();
        w.fails(&asked, &["is a folder", &format!("--{form} takes a file")]);
    }
    w.refuses_usage(
        &format!("{eval} --json both --html ./both"),
        &["--html", "the same file as that of --json"],
    );
}

#[test]
fn eval_keeps_results_of_others_beside_its_own() {
    let w = workspace();
    let eval = "eval --model m --set p=pairs.tsv --resamples 0 --mteb results-here";
    w.run(eval);
    w.run(eval);
    let result = "results-here/results/local__m/no_revision_available/p.json";
    let theirs = String::from_utf8(w.read(result)).unwrap();
    w.write(result, theirs.replace("\"mteb_version\": null", "\"mteb_version\": \"2.1\""));
    w.fails(eval, &["p.json", "exists and is not a result of mirror eval --mteb"]);
    w.run(&format!("{eval} --overwrite"));
    w.write("file", "x");
    w.fails("eval --model m --set p=pairs.tsv --mteb file", &["file is a file", "--mteb"]);
}

#[test]
fn sharpness_never_writes_what_it_reads_and_replaces_its_own() {
    let w = workspace();
    let measure =
        "sharpness --model m --corpus corpus.txt --batch-size 8 --batches 1 --directions 1 --instances 2";
    std::os::unix::fs::symlink("corpus.txt", w.path("corpus.svg")).unwrap();
    for output in ["--json corpus.txt", "--json ./corpus.txt --overwrite", "--output corpus.svg --overwrite"]
    {
        w.refuses_usage(&format!("{measure} {output}"), &["is what --corpus reads"]);
    }
    w.refuses_usage(&format!("{measure} --json m/config.json --overwrite"), &["is what --model reads"]);
    w.refuses_usage(
        &format!("{measure} --output a.svg --json a.svg"),
        &["the same file as that of --output"],
    );
    for (flag, name) in [("--json", "numbers.json"), ("--output", "drawing.svg")] {
        w.write(name, "<svg>mine</svg>");
        w.fails(&format!("{measure} {flag} {name}"), &[name, "exists and is not", "--overwrite"]);
        w.run(&format!("{measure} {flag} {name} --overwrite"));
        w.run(&format!("{measure} {flag} {name}"));
        fs::remove_file(w.path(name)).unwrap();
        fs::create_dir(w.path(name)).unwrap();
        w.fails(&format!("{measure} {flag} {name}"), &["is a folder", &format!("{flag} takes a file")]);
    }
}
