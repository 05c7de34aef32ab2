//! Command lines that ask for what cannot be: one sentence, exit code 2, nothing left behind.

use mirror::regularization::names;

use crate::models::Kind;
use crate::workspace::Workspace;

#[test]
fn values_that_make_no_sense_are_refused_by_flag() {
    let w = Workspace::new();
    for (flag, values) in [
        ("--batch-size", "0 1 -3 many"),
        ("--epochs", "0 -1 1.5"),
        ("--max-steps", "0 -1"),
        ("--learning-rate", "0 -0.1 nan inf fast"),
        ("--schedule", "step LINEAR"),
        ("--decay-power", "0 -1 nan"),
        ("--warmup", "-1 1.5 100% soon"),
        ("--adam-betas", "0.9 1,0.5 0.9,x 0.9,0.9,0.9"),
        ("--adam-eps", "0 -1 nan"),
        ("--early-stop", "0 -1 3"),
        ("--weight-decay", "-0.1 nan inf"),
        ("--clip-norm", "0 -1 nan"),
        ("--temperature", "0 -0.04 nan inf"),
        ("--matryoshka", "0 -4 x , 4,4 8,4 4,,8 4;8 4.5"),
        ("--max-length", "0 2 -5"),
        ("--mask-span", "-1 few"),
        ("--dropout", "1 -0.1 nan 1.5"),
        ("--drophead", "1 -0.1 nan"),
        ("--seed", "-1 x"),
        ("--threads", "0 -2"),
        ("--eval-every", "-1"),
        ("--holdout", "1 -3 few"),
        ("--rho", "-0.05 nan inf x"),
        ("--beta", "-3 nan inf"),
        ("--asam-eta", "-1 nan"),
        ("--perturb-every", "0 -1"),
        ("--r3f-lambda", "-1 nan"),
        ("--r3f-eps", "0 -1 nan inf"),
        ("--r-drop-alpha", "-1 nan"),
        ("--freelb-lambda", "-1 nan"),
        ("--freelb-steps", "0 -1"),
        ("--freelb-step-size", "0 -1 nan"),
        ("--freelb-init", "-1 nan"),
        ("--freelb-max-norm", "0 nan"),
        ("--smart-lambda", "-1 nan"),
        ("--smart-eps", "0 -1 nan"),
        ("--smart-mu", "-1 nan"),
        ("--smart-decay", "1 -0.5 nan"),
    ] {
        for value in values.split(' ') {
            w.refuses_usage(&format!("train {flag} {value}"), &[flag]);
        }
    }
}

#[test]
fn unknown_values_are_refused_with_the_known_ones() {
    let w = Workspace::new();
    let regularizers = format!("none, {}", names().collect::<Vec<_>>().join(", "));
    for (arguments, says) in [
        ("train --reg flat", vec!["\"flat\"", &regularizers]),
        ("train --reg sam,delta-sam", vec!["sam and delta-sam", "at most one"]),
        ("train --reg r3f,r3f", vec!["r3f twice"]),
        ("train --reg none,r3f", vec!["none", "leave it out"]),
        ("train --reg ,", vec!["does not know"]),
        ("train --pooling max", vec!["\"max\"", "mean, cls, mean-padded and first-last-avg"]),
        ("encode --pooling max", vec!["\"max\"", "mean, cls, mean-padded and first-last-avg"]),
        ("eval --pooling max", vec!["\"max\"", "mean, cls, mean-padded and first-last-avg"]),
        ("train --r3f-noise pink", vec!["pink", "uniform", "normal"]),
        ("train --restrict-perturbation most", vec!["most", "all"]),
        ("train --device tpu", vec!["tpu", "auto, cpu, cuda or cuda:N"]),
        ("encode --device cuda:x", vec!["cuda:x", "auto, cpu, cuda or cuda:N"]),
        ("eval --convention strict", vec!["strict", "mirror-bert", "simcse"]),
        ("encode --output o.txt", vec!["o.txt", ".npy or .jsonl"]),
        ("encode --threads 0", vec!["--threads", "above 0"]),
        ("train --bach-size 3", vec!["--bach-size", "--batch-size"]),
        ("trian", vec!["trian", "train"]),
        ("train extra", vec!["extra"]),
        ("encode --model", vec!["--model"]),
    ] {
        w.refuses_usage(arguments, &says);
    }
}

#[test]
fn models_that_are_none() {
    let w = Workspace::new();
    w.corpus("corpus.txt");
    for command in ["encode", "eval", "train --corpus corpus.txt --batch-size 8"] {
        w.refuses_usage(
            &format!("{command} --model no/such/folder/here"),
            &["no/such/folder/here", "builtin"],
        );
        w.fails(&format!("{command} --model someone/something"), &["someone/something"]);
    }
    w.refuses_usage("train --model someone/something", &["--corpus FILE is needed"]);
}

#[test]
fn a_length_beyond_the_positions() {
    let w = Workspace::new();
    w.corpus("corpus.txt");
    w.model(Kind::Bert, "b");
    w.model(Kind::Roberta, "r");
    for (model, most) in [("b", 64), ("r", 62)] {
        let says = [format!("--max-length is {}", most + 1), format!("{most} tokens")];
        let says: Vec<&str> = says.iter().map(String::as_str).collect();
        let train =
            format!("train --model {model} --corpus corpus.txt --batch-size 8 --no-eval --max-length");
        w.fails(&format!("{train} {}", most + 1), &says);
        w.fails(&format!("encode --model {model} --max-length {}", most + 1), &says);
        w.fails(&format!("eval --model {model} --max-length {}", most + 1), &says);
        w.run(&format!("{train} {most} --max-steps 1"));
    }
}

#[test]
fn words_without_a_flag_name_the_flag_that_was_meant() {
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    for file in ["a.txt", "b.txt", "c.txt", "p.tsv", "my file.txt"] {
        w.write(file, "a man\n");
    }
    for (arguments, says) in [
        ("train a.txt", "unexpected argument 'a.txt'; did you mean --corpus a.txt?"),
        ("train absent.txt", "did you mean --corpus absent.txt?"),
        (
            "train a.txt b.txt c.txt",
            "unexpected argument 'a.txt'; did you mean --corpus a.txt --corpus b.txt --corpus c.txt?",
        ),
        ("train --corpus a.txt b.txt", "unexpected argument 'b.txt'; did you mean --corpus b.txt?"),
        ("train --model m a.txt --seed 1", "did you mean --corpus a.txt?"),
        ("train m a.txt", "did you mean --model m --corpus a.txt?"),
        ("train my.toml", "did you mean --config my.toml?"),
        ("train --input a.txt", "unexpected argument '--input'; did you mean --corpus?"),
        ("train --file=a.txt", "unexpected argument '--file'; did you mean --corpus?"),
        ("encode a.txt", "did you mean --input a.txt?"),
        ("encode a.txt out.npy", "did you mean --input a.txt --output out.npy?"),
        ("encode a.txt b.txt", "did you mean --input a.txt --input b.txt?"),
        ("encode --corpus a.txt", "unexpected argument '--corpus'; did you mean --input?"),
        ("eval m/", "did you mean --model m/?"),
        ("eval builtin m", "did you mean --model builtin --model m?"),
        ("eval p.tsv", "did you mean --set mine=p.tsv?"),
        ("eval a.txt", "did you mean --corpus a.txt?"),
        ("sharpness a.txt", "did you mean --corpus a.txt?"),
        ("export m", "did you mean --model m?"),
        ("search a.txt", "--input FILE is needed, the text to search; did you mean --input a.txt?"),
        ("search query", "--input FILE is needed: the text to search"),
        (
            "search --input a.txt b.txt c.txt",
            "the query b.txt is a file; did you mean --queries b.txt, or --input b.txt?",
        ),
        ("train --corpus - --corpus -", "--corpus - is given twice"),
        ("train --corpus a.txt --column text", "--column fits .csv, .tsv and .parquet files, and"),
        ("eval --corpus p.tsv --field text", "--field fits .jsonl files, and p.tsv is TSV; use --column"),
        ("encode --input a.txt --field text", "if its lines are JSON, call the file .jsonl"),
        ("encode --input p.tsv --column 1 --column 2", "--column is given 2 times; the text is in one"),
        (
            "train --pairs --corpus p.tsv --column 1",
            "--column is given 1 time; with --pairs it is given twice",
        ),
        ("train --corpus absent*.txt", "absent*.txt: no file matches"),
        ("train --min-chars 5", "say how --corpus is read; give it too"),
        ("eval --dedup exact", "say how --corpus is read; give it too"),
        ("sharpness --split-sentences", "say how --corpus is read; give it too"),
        (
            "train --corpus=~/a.txt",
            "--corpus ~/a.txt: the shell leaves ~ as it is inside a word or quotes; write $HOME/a.txt",
        ),
        ("eval --set mine=~/p.tsv", "write $HOME/p.tsv"),
        ("train --reg delta_sam", "\"delta_sam\" (did you mean delta-sam?)"),
        ("train --reg r3f+sam", "did you mean r3f,sam?"),
        ("encod", "'encode'"),
        ("corpus.txt", "'corpus.txt'; the commands are train, pretrain, finetune, predict, eval"),
        ("--corpus a.txt", "--corpus stands before a command; the commands are train"),
        ("train --seed x", "not a whole number"),
        ("train --config m", "m is a folder; --config takes a file, such as m/train.toml"),
    ] {
        w.refuses_usage(arguments, &[says]);
    }
    let output = w.mirror("encode").arg("my file.txt").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("did you mean --input 'my file.txt'?"), "{stderr}");
}

#[test]
fn nothing_is_given_twice() {
    let w = Workspace::new();
    w.write("p.tsv", "1\ta\tb\n");
    for (arguments, says) in [
        ("train --data a --data b", "--data is given twice, as a and b; give it once"),
        ("train --data=a --seed 1 --data a", "--data is given twice, as a and a"),
        ("train --lr 1e-3 --learning-rate 2e-3", "--learning-rate is given twice, as 1e-3 and 2e-3"),
        ("train --overwrite --overwrite", "--overwrite is given twice; give it once"),
        ("train --config a.toml --config b.toml", "--config is given twice, as a.toml and b.toml"),
        ("encode --model a --model b", "--model is given twice, as a and b"),
        ("encode --input - --input -", "--input - is given twice"),
        ("eval --data a --data b", "--data is given twice, as a and b"),
        ("search --queries a --queries b --input c", "--queries is given twice, as a and b"),
        ("export --output a --output b", "--output is given twice, as a and b"),
        ("sharpness --rho 1 --rho 2 --rho=3", "--rho is given 3 times, as 1, 2 and 3"),
        ("data fetch --output a --output b", "--output is given twice, as a and b"),
        ("encode --normalize --no-normalize", "'--normalize' cannot be used with '--no-normalize'"),
        ("export --output o --no-normalize --normalize", "'--normalize'"),
        ("train --no-eval --eval", "'--no-eval'"),
        ("train --pairs --no-pairs", "'--pairs'"),
        ("eval --model builtin --model builtin", "--model names \"builtin\" twice"),
        ("eval --model m --model m/", "--model names \"m/\" twice"),
        ("search --input a --model m --model m query", "--model names \"m\" twice"),
        (
            "eval --set a=p.tsv --set a=q.tsv",
            "--set names a twice, as p.tsv and q.tsv; give each a name of its own",
        ),
        ("eval --set a=p.tsv --set b=./p.tsv", "--set names the file ./p.tsv twice, as a and b"),
    ] {
        w.refuses_usage(arguments, &[says]);
    }
}

#[cfg(unix)]
#[test]
fn names_that_are_not_utf8_work_or_are_named() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    let name = OsStr::from_bytes(b"caf\xe9.txt");
    std::fs::write(w.path("").join(name), "a man plays\ntwo dogs run\n").unwrap();
    for (arguments, flag, says) in [
        (
            "train --model m --no-eval --batch-size 2",
            "--corpus",
            "caf\u{FFFD}.txt: this path is not UTF-8, and train.toml",
        ),
        ("train --model m --no-eval", "--output", "this path is not UTF-8"),
        ("train --model m --no-eval", "--log-dir", "caf\u{FFFD}.txt: this path is not UTF-8"),
        ("encode", "--model", "the argument caf\u{FFFD}.txt is not UTF-8"),
    ] {
        let output = w.mirror(arguments).arg(flag).arg(name).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
        assert!(stderr.contains(says), "{stderr}");
    }
    for arguments in ["encode --model m --input", "eval --model m --corpus", "search --model m query --input"]
    {
        w.mirror(arguments).arg(name).assert().success();
    }
}
