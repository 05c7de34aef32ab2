//! `mirror train`: the main job with nothing prepared, its folder, its settings.

use serde_json::Value;

use crate::models::{Kind, sentences};
use crate::workspace::{Workspace, difference, jsonl};

/// Settings of a run of two steps on a tiny model.
pub const TINY: &str = "--corpus corpus.txt --batch-size 16 --max-steps 2 --lr 1e-3 --no-eval";

#[test]
fn trains_in_an_empty_folder_and_the_score_goes_up() {
    let w = Workspace::new();
    let said = w.run("train --threads 2");
    let scores: Vec<f64> =
        w.metrics("mirror-out").iter().filter_map(|line| line.get("spearman")?.as_f64()).collect();
    assert_eq!(scores.len(), 2, "{}", said.stderr);
    assert!(scores[1] > scores[0] + 3.0, "{scores:?}");
    for score in scores {
        assert!(said.stdout.contains(&format!("{score:.2}")), "{}", said.stdout);
    }
    assert!(said.stdout.contains("written to"), "{}", said.stdout);
    assert!(said.stderr.contains("step 1/50"), "plain lines where there is no terminal: {}", said.stderr);
    for file in [
        "1_Pooling/config.json",
        "README.md",
        "config.json",
        "metrics.jsonl",
        "model.safetensors",
        "modules.json",
        "sentence_bert_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "train.toml",
        "vocab.txt",
    ] {
        assert!(w.path("mirror-out").join(file).is_file(), "{file} is missing");
    }
    let config = w.json("mirror-out/config.json");
    assert_eq!((&config["dtype"], &config["model_type"]), (&"float32".into(), &"bert".into()));
    let card = String::from_utf8(w.read("mirror-out/README.md")).unwrap();
    assert!(
        card.contains("built-in pairs") && card.contains("library_name: sentence-transformers"),
        "{card}"
    );

    // The next run takes the next name, and what was trained is what scores.
    w.run("train --max-steps 1 --no-eval");
    assert!(w.path("mirror-out-2/model.safetensors").is_file());
    w.run("eval --model mirror-out --json scores.json");
    let scored = w.json("scores.json")["tasks"]["built-in pairs"]["spearman"].as_f64().unwrap();
    let last = w.metrics("mirror-out").last().unwrap()["spearman"].as_f64().unwrap();
    assert!((scored - last).abs() < 1e-3, "{scored} {last}");
}

#[test]
fn every_step_and_score_is_in_the_metrics() {
    let w = Workspace::new();
    w.run("train --max-steps 4 --batch-size 16 --eval-every 2 --reg delta-sam,r3f --output out");
    let metrics = w.metrics("out");
    let steps: Vec<u64> = metrics.iter().filter(|m| m.get("loss").is_some()).map(step_of).collect();
    let scored: Vec<u64> = metrics.iter().filter(|m| m.get("spearman").is_some()).map(step_of).collect();
    assert_eq!((steps, scored), (vec![1, 2, 3, 4], vec![0, 2, 4]));
    for line in &metrics {
        if line.get("spearman").is_some() {
            assert_eq!(line["set"], "built-in pairs");
        } else {
            for number in ["loss", "descent_loss", "gradient_norm", "r3f", "a_mean", "effective_instances"] {
                assert!(line[number].as_f64().unwrap().is_finite(), "{number}: {line}");
            }
        }
    }
}

fn step_of(line: &Value) -> u64 {
    line["step"].as_u64().unwrap()
}

#[test]
fn help_names_every_flag() {
    let w = Workspace::new();
    for command in ["train", "eval", "encode", "search"] {
        let help = w.run(&format!("{command} --help")).stdout;
        for flag in ["--model", "--pooling", "--max-length", "--threads", "--device", "Examples:"] {
            assert!(help.contains(flag), "{command}: {flag}");
        }
    }
    let help = w.run("train --help").stdout;
    for flag in [
        "--corpus",
        "--output",
        "--overwrite",
        "--batch-size",
        "--epochs",
        "--max-steps",
        "--learning-rate",
        "--weight-decay",
        "--temperature",
        "--matryoshka",
        "--mask-span",
        "--dropout",
        "--drophead",
        "--seed",
        "--eval-every",
        "--no-eval",
        "--holdout",
        "--data",
        "--config",
        "--reg",
        "--pairs",
        "--preset",
        "--show",
        "--log-dir",
        "--rho",
        "--beta",
        "--r3f-eps",
    ] {
        assert!(help.contains(flag), "{flag}");
    }
    for default in
        ["[default: 200]", "[default: 0.00002]", "[default: 0.04]", "[default: 50]", "[default: 42]"]
    {
        assert!(help.contains(default), "{default}\n{help}");
    }
    assert!(w.run("--help").stdout.contains("encode") && w.run("--version").stdout.contains("mirror "));
}

/// What a run with --matryoshka says of itself, and what it refuses before a folder is there.
#[test]
fn matryoshka_is_saved_told_and_held_against_the_model() {
    let w = Workspace::new();
    w.corpus("corpus.txt");
    w.model(Kind::Bert, "m");
    let train = format!("train --model m {TINY}");
    let says = ["--matryoshka lists 48", "have 32 values"];
    w.refuses_usage(&format!("{train} --matryoshka 16,48 --output out"), &says);
    w.run(&format!("{train} --matryoshka 8,16 --output out"));
    let card = String::from_utf8(w.read("out/README.md")).unwrap();
    assert!(
        card.contains("| Matryoshka dimensions | 8, 16, 32 |") && card.contains("truncate_dim=8"),
        "{card}"
    );
    let saved = String::from_utf8(w.read("out/train.toml")).unwrap();
    assert!(saved.contains("matryoshka = \"8,16\""), "{saved}");
    // The saved settings, the flag and an array in a file are the same run.
    w.run("train --config out/train.toml --output again");
    w.write("mine.toml", "matryoshka = [8, 16]\n");
    w.run(&format!("{train} --config mine.toml --output from-array"));
    for folder in ["again", "from-array"] {
        assert!(
            w.read(&format!("{folder}/model.safetensors")) == w.read("out/model.safetensors"),
            "{folder}"
        );
    }
    for (value, said) in [("[16, 8]", "8 comes after 16"), ("[]", "it is empty"), ("1.5", "expected widths")]
    {
        w.write("mine.toml", format!("matryoshka = {value}\n"));
        w.refuses_usage(&format!("{train} --config mine.toml --output other"), &["mine.toml, line 1", said]);
    }
    w.refuses_usage("train --resume out --matryoshka 8", &["--matryoshka \"8\" contradicts", "8,16"]);
    // A run without it has no such row of widths.
    w.run(&format!("{train} --output plain"));
    let card = String::from_utf8(w.read("plain/README.md")).unwrap();
    assert!(card.contains("| Matryoshka dimensions | none |") && !card.contains("truncate_dim"), "{card}");
}

#[test]
fn a_configuration_file_is_the_flags() {
    let w = Workspace::new();
    w.corpus("corpus.txt");
    w.model(Kind::Bert, "m");
    w.write(
        "mine.toml",
        "model = \"m\"\ncorpus = \"corpus.txt\"\nbatch-size = 16\nmax-steps = 2\nlearning-rate = 1e-3\n\
         no-eval = true\nreg = \"delta-sam,r3f\"\nrho = 0.1\noutput = \"from-file\"\nseed = 7\n",
    );
    w.run("train --config mine.toml");
    w.run(&format!("train --model m {TINY} --reg delta-sam,r3f --rho 0.1 --seed 7 --output from-flags"));
    let weights = |folder: &str| w.read(&format!("{folder}/model.safetensors"));
    assert_eq!(weights("from-file"), weights("from-flags"));
    // Flags win over the file.
    w.run("train --config mine.toml --seed 8 --output other-seed");
    assert_ne!(weights("from-file"), weights("other-seed"));
    // Switches too, and a mark at the start is skipped.
    let mine = String::from_utf8(w.read("mine.toml")).unwrap();
    w.write("switched.toml", format!("\u{FEFF}{mine}keep-best = true\npairs = true\nsave-every = 100\n"));
    w.run("train --config switched.toml --no-keep-best --no-pairs --output switched");
    assert_eq!(weights("from-file"), weights("switched"));
    let saved: toml::Table = String::from_utf8(w.read("switched/train.toml")).unwrap().parse().unwrap();
    let switches = ["keep-best", "pairs", "no-eval"].map(|key| saved[key].as_bool());
    assert_eq!(switches, [Some(false), Some(false), Some(true)], "{saved}");
    assert_eq!(saved["save-every"].as_str(), Some("100"), "{saved}");
    // The resolved configuration names what depended on the model, and gives the same bytes.
    let resolved: toml::Table = String::from_utf8(w.read("from-file/train.toml")).unwrap().parse().unwrap();
    assert_eq!(resolved["beta"].as_float(), Some(3.0), "{resolved}");
    assert_eq!(resolved["r3f-eps"].as_float(), Some(0.05), "{resolved}");
    w.run("train --config from-file/train.toml --output again");
    assert_eq!(weights("from-file"), weights("again"));
}

#[test]
fn a_preset_is_settings_that_files_and_flags_override() {
    let w = Workspace::new();
    let shown: toml::Table = w.run("train --preset word --show").stdout.parse().unwrap();
    let number = |key: &str| shown[key].as_float().or(shown[key].as_integer().map(|n| n as f64)).unwrap();
    for (key, value) in [
        ("temperature", 0.2),
        ("max-length", 25.0),
        ("mask-span", 0.0),
        ("epochs", 2.0),
        ("batch-size", 200.0),
        ("learning-rate", 2e-5),
        ("dropout", 0.1),
        ("holdout", 0.0),
    ] {
        assert_eq!(number(key), value, "{key}");
    }
    assert_eq!(shown["pooling"].as_str(), Some("cls"));
    w.write("mine.toml", "temperature = 0.3\nepochs = 5\nseed = 7\n");
    let said = w.run("train --preset word --config mine.toml --epochs 4 --show").stdout;
    for line in [
        "max-length = 25 # --preset word",
        "temperature = 0.3 # mine.toml",
        "seed = 7 # mine.toml",
        "epochs = 4 # command line",
        "weight-decay = 0.01",
    ] {
        assert!(said.lines().any(|shown| shown == line), "{line}\n{said}");
    }
    // What is shown is the same run.
    w.model(Kind::Bert, "m");
    w.write(
        "words.txt",
        ["man", "dog", "guitar", "green", "run", "sings", "loud", "field", "two", "over"].join("\n"),
    );
    let run = "--model m --corpus words.txt --batch-size 4 --max-steps 3 --lr 1e-3 --no-eval";
    w.write("shown.toml", w.run(&format!("train --preset word {run} --show")).stdout);
    let said = w.run(&format!("train --preset word {run} --output preset"));
    for remark in ["warning", "dropout alone", "too short"] {
        assert!(!said.stderr.contains(remark), "{}", said.stderr);
    }
    w.run("train --config shown.toml --output shown");
    w.run("train --config preset/train.toml --output saved");
    let flags = "--temperature 0.2 --max-length 25 --mask-span 0 --epochs 2 --pooling cls --holdout 0";
    w.run(&format!("train {run} {flags} --output flags"));
    let weights = |folder: &str| w.read(&format!("{folder}/model.safetensors"));
    for folder in ["shown", "saved", "flags"] {
        assert_eq!(weights("preset"), weights(folder), "{folder}");
    }
    w.refuses_usage(
        "train --preset wrods",
        &["no preset \"wrods\" (did you mean word?); the presets are paper, simcse, word"],
    );
    w.refuses_usage("train --preset word --resume flags", &["--preset", "--resume"]);
    w.refuses_usage("train --preset word --epochs 0 --show", &["--epochs"]);
    w.write("mine.toml", "preset = \"word\"\n");
    w.refuses_usage(
        "train --config mine.toml",
        &["mine.toml, line 1: preset is not a setting of a run; give --preset"],
    );
}

#[test]
fn wrong_configurations_are_refused_by_key() {
    let w = Workspace::new();
    for (text, says) in [
        (
            "batchsize = 3",
            vec![
                "c.toml, line 1: \"batchsize\" is not a setting (did you mean batch-size?); the settings are",
            ],
        ),
        ("\n\nlr = 1e-3", vec!["c.toml, line 3: \"lr\" is not a setting (did you mean learning-rate?)"]),
        ("[train]\nseed = 1", vec!["c.toml, line 1: \"train\" is not a setting"]),
        (
            "batch-size = \"many\"",
            vec!["c.toml, line 1: batch-size: ", "\"many\"", "expected a whole number"],
        ),
        ("seed = 1\nbatch-size = [3]", vec!["c.toml, line 2: batch-size: ", "expected a whole number"]),
        ("keep-best = 1", vec!["c.toml, line 1: keep-best: ", "expected true or false"]),
        ("seed = -1", vec!["c.toml, line 1: seed: ", "-1"]),
        ("save-every = true", vec!["c.toml, line 1: save-every: ", "number of steps"]),
        ("seed = 1\nseed = 2", vec!["c.toml, line 2", "duplicate key"]),
        (
            "corpus = \"C:\\data\\c.txt\"",
            vec!["c.toml, line 1: this is not TOML", "single quotes ('C:\\data'), or with forward slashes"],
        ),
        ("corpus = \"C:\\temp\\new.txt\"", vec!["c.toml, line 1: corpus: ", "single quotes"]),
        ("corpus = \"~/c.txt\"", vec!["c.toml, line 1: corpus: ~ means a home folder to a shell only"]),
        ("rho = -1.0", vec!["--rho", "-1"]),
        ("pooling = \"max\"", vec!["c.toml, line 1: pooling: ", "max", "mean-padded"]),
        ("epochs = 1\nseed = ", vec!["c.toml, line 2", "not TOML"]),
    ] {
        w.write("c.toml", text);
        w.refuses_usage("train --config c.toml", &says);
    }
    w.write("c.toml", [0xFF, 0xFE, 0x00]);
    w.fails("train --config c.toml", &["c.toml is UTF-16, not UTF-8"]);
    w.fails("train --config absent.toml", &["absent.toml", "No such file"]);
}

#[test]
fn an_existing_folder_is_only_overwritten_when_told() {
    let w = Workspace::new();
    w.corpus("corpus.txt");
    w.model(Kind::Bert, "m");
    w.run(&format!("train --model m {TINY} --output out"));
    let first = w.read("out/model.safetensors");
    w.fails(&format!("train --model m {TINY} --output out"), &["out is not empty", "--overwrite"]);
    w.run(&format!("train --model m {TINY} --output out --overwrite --seed 9"));
    assert_ne!(first, w.read("out/model.safetensors"));
    // A run that cannot start leaves what it was to overwrite.
    w.fails(
        "train --model m --corpus corpus.txt --batch-size 41 --no-eval --output out --overwrite",
        &["--batch-size 41", "40 different"],
    );
}

#[test]
fn pairs_are_trained_as_the_two_views() {
    let w = Workspace::new();
    w.model(Kind::Roberta, "m");
    let sentences = sentences(40);
    let pairs = |between: &str| {
        let lines = sentences.chunks(2).map(|pair| format!("{}{between}{}\n", pair[0], pair[1]));
        lines.collect::<String>()
    };
    w.write("tab.txt", pairs("\t"));
    w.write("bars.txt", pairs("||"));
    let run = |corpus: &str, output: &str| {
        w.run(&format!(
            "train --model m --pairs --corpus {corpus} --batch-size 8 --max-steps 2 --lr 1e-3 --no-eval --output {output}"
        ));
        w.read(&format!("{output}/model.safetensors"))
    };
    assert_eq!(run("tab.txt", "a"), run("bars.txt", "b"));
    w.write("one.txt", "one column\n");
    w.fails("train --model m --pairs --corpus one.txt --no-eval", &["one.txt, line 1", "two columns"]);
    w.refuses_usage("train --pairs", &["--pairs needs --corpus"]);
}

#[test]
fn repeats_and_blank_lines_are_counted() {
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    let mut lines = sentences(20);
    lines.extend(vec![lines[0].clone(); 20]);
    lines.insert(3, String::new());
    lines.insert(9, "  \t ".into());
    w.write("corpus.txt", lines.join("\n"));
    let said = w.run("train --model m --corpus corpus.txt --batch-size 8 --no-eval");
    assert!(said.stderr.contains("corpus.txt: 2 blank lines left out"), "{}", said.stderr);
    assert!(said.stderr.contains("repeated lines left out"), "{}", said.stderr);
}

#[test]
fn a_sentence_of_a_megabyte_trains() {
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    let mut lines = sentences(20);
    lines[4] = "word ".repeat(210_000);
    lines[5] = "x".repeat(1 << 20);
    w.write("corpus.txt", lines.join("\n"));
    w.run("train --model m --corpus corpus.txt --batch-size 20 --no-eval --output out");
    assert!(w.path("out/model.safetensors").is_file());
}

#[test]
fn training_goes_on_without_sts_data_and_says_so() {
    let w = Workspace::new();
    w.corpus("corpus.txt");
    w.model(Kind::Bert, "m");
    let said = w.run(&format!("train --model m {}", TINY.replace(" --no-eval", "")));
    assert!(said.stderr.contains("no STS data"), "{}", said.stderr);
    assert!(!w.run(&format!("train --model m {TINY}")).stderr.contains("no STS data"));
}

#[test]
fn what_a_folder_is_trained_with_is_what_it_encodes_with() {
    let w = Workspace::new();
    w.corpus("corpus.txt");
    w.write("in.txt", "a man plays\ntwo dogs run over the green fields and someone sings\n");
    for kind in [Kind::Bert, Kind::Roberta] {
        let model = format!("{kind:?}");
        w.model(kind, &model);
        let mut seen: Vec<Vec<Vec<f32>>> = Vec::new();
        for pooling in ["mean", "cls", "mean-padded", "first-last-avg"] {
            let out = format!("{model}-{pooling}");
            w.run(&format!("train --model {model} {TINY} --pooling {pooling} --output {out}"));
            let encode =
                |flags: &str| jsonl(&w.run(&format!("encode --model {out} --input in.txt {flags}")).stdout);
            let auto = encode("");
            assert_eq!(auto, encode(&format!("--pooling {pooling}")), "{out}");
            assert!(seen.iter().all(|other| difference(other, &auto) > 1e-3), "{out}: as another pooling");
            seen.push(auto);
            // Trained further without a word, it keeps its pooling.
            w.run(&format!("train --model {out} {TINY} --output {out}-2"));
            let again = format!("encode --model {out}-2 --input in.txt");
            let by_auto = jsonl(&w.run(&again).stdout);
            assert_eq!(by_auto, jsonl(&w.run(&format!("{again} --pooling {pooling}")).stdout), "{out}-2");
        }
    }
}

/// Old folders of sentence-transformers keep the transformer in a folder of its own.
#[test]
fn trains_from_a_folder_whose_transformer_lies_inside() {
    let w = Workspace::new();
    w.corpus("corpus.txt");
    w.model(Kind::Bert, "plain");
    w.model(Kind::Bert, "old/0_Transformer");
    let module = |i: usize, path: &str, kind: &str| {
        serde_json::json!({"idx": i, "name": i.to_string(), "path": path,
            "type": format!("sentence_transformers.models.{kind}")})
    };
    let modules = [module(0, "0_Transformer", "Transformer"), module(1, "1_Pooling", "Pooling")];
    w.write("old/modules.json", serde_json::to_vec(&modules).unwrap());
    w.write(
        "old/1_Pooling/config.json",
        r#"{"pooling_mode_mean_tokens": true, "word_embedding_dimension": 32}"#,
    );
    for (model, output) in [("plain", "a"), ("old", "b")] {
        w.run(&format!("train --model {model} --output {output} {TINY}"));
    }
    assert_eq!(w.read("a/model.safetensors"), w.read("b/model.safetensors"));
}

/// A projection is another loss; it is for training alone, unless it is kept as a module.
#[test]
fn a_projection_is_trained_and_kept_where_it_is_asked_for() {
    let w = Workspace::new();
    w.corpus("corpus.txt");
    w.model(Kind::Bert, "m");
    let mut weights = Vec::new();
    for (name, flags) in [
        ("plain", "--head none"),
        ("one", "--head mlp --threads 1"),
        ("two", "--head mlp --threads 2"),
        ("kept", "--head mlp --keep-head"),
        ("sharp", "--head mlp --reg delta-sam,r3f"),
    ] {
        w.run(&format!("train --model m {TINY} {flags} --output {name}"));
        weights.push(w.read(&format!("{name}/model.safetensors")));
        assert_eq!(w.path(&format!("{name}/2_Dense/model.safetensors")).is_file(), name == "kept", "{name}");
    }
    let [plain, one, two, kept, sharp] = &weights[..] else { panic!() };
    assert!(one == two && one == kept && one != plain && sharp != one && plain.len() == one.len());
    let modules = w.json("kept/modules.json");
    assert_eq!(modules[2]["type"], "sentence_transformers.models.Dense");
    assert_eq!(w.json("kept/2_Dense/config.json")["activation_function"], "torch.nn.modules.activation.Tanh");
    w.write("in.txt", "a man plays the guitar\n");
    let encode = |folder: &str| jsonl(&w.run(&format!("encode --model {folder} --input in.txt")).stdout);
    assert_eq!(encode("one"), encode("two"));
    assert!(difference(&encode("one"), &encode("kept")) > 1e-3);
    w.refuses_usage(
        &format!("train --model m {TINY} --keep-head --output x"),
        &["--keep-head", "--head mlp"],
    );
}
