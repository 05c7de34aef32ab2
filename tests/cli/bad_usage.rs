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
        ("--weight-decay", "-0.1 nan inf"),
        ("--clip-norm", "0 -1 nan"),
        ("--temperature", "0 -0.04 nan inf"),
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
        ("train --device tpu", vec!["tpu", "auto, cpu, cuda and cuda:N"]),
        ("encode --device cuda:x", vec!["cuda:x", "auto, cpu, cuda and cuda:N"]),
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
