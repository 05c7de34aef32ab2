//! Folders of sentence-transformers: prompts, and modules after pooling, in every command that encodes, against
//! sentence-transformers itself (MIRROR_PYTHON) and against numbers that it gave.

use std::path::Path;
use std::process::Command;

use mirror::random::Key;
use safetensors::tensor::Dtype;
use serde_json::{Value, json};

use crate::models::{Kind, Model, Tensors, safetensors_bytes};
use crate::python::installed;
use crate::train::TINY;
use crate::workspace::{Workspace, difference, jsonl};

const SENTENCES: &str = "A man plays the guitar.\nloudly\n\n[MASK] dogs and Ünïcödé\n\
    two dogs run over the green fields and someone sings, and sings, and sings again\n";

/// A model with a modules.json of these classes after Transformer and Pooling.
fn folder<'a>(w: &'a Workspace, name: &str, pooling: &Value, later: &[&str], settings: &Value) -> Model<'a> {
    let model = w.model(Kind::Bert, name);
    let classes = ["Transformer", "Pooling"].iter().chain(later).enumerate();
    let modules: Vec<Value> = classes
        .map(|(index, class)| {
            let path = if index == 0 { String::new() } else { format!("{index}_{class}") };
            json!({ "idx": index, "name": index.to_string(), "path": path,
                "type": format!("sentence_transformers.models.{class}") })
        })
        .collect();
    model.write("modules.json", json!(modules).to_string());
    let mut config = json!({ "word_embedding_dimension": 32, "pooling_mode_mean_tokens": true });
    config.as_object_mut().unwrap().extend(pooling.as_object().unwrap().clone());
    model.write("1_Pooling/config.json", config.to_string());
    model.write("sentence_bert_config.json", "{\"max_seq_length\": 40, \"do_lower_case\": false}");
    model.write("config_sentence_transformers.json", settings.to_string());
    model
}

fn prompts(default: Option<&str>) -> Value {
    json!({ "prompts": { "query": "two dogs: ", "document": "a man: ", "passage": "someone: " },
        "default_prompt_name": default, "similarity_fn_name": "cosine", "own": [1] })
}

/// Prompt, Dense and Normalize at once, from a formula.
fn with_everything<'a>(w: &'a Workspace, name: &str) -> Model<'a> {
    let pooling = json!({ "include_prompt": false });
    let model = folder(w, name, &pooling, &["Dense", "Normalize"], &prompts(Some("query")));
    model.write(
        "2_Dense/config.json",
        json!({ "in_features": 32, "out_features": 6, "bias": true,
        "activation_function": "torch.nn.modules.activation.Tanh" })
        .to_string(),
    );
    let value = |key: u64, i: u32| ((Key::new(17).at(key).normal(i) * 12.0).round() / 64.0) as f32;
    let tensors: Tensors = [("linear.weight", vec![6, 32], 1), ("linear.bias", vec![6], 2)]
        .map(|(name, shape, key)| {
            let values = (0..shape.iter().product::<usize>() as u32).map(|i| value(key, i)).collect();
            (name.to_owned(), (shape, values))
        })
        .into();
    model.write("2_Dense/model.safetensors", safetensors_bytes(&tensors, Dtype::F32));
    model
}

/// What sentence-transformers 6.2 makes of the first two of [`SENTENCES`] with [`with_everything`].
const EXPECTED: [[f32; 6]; 2] = [
    [-0.733350, 0.248701, 0.267758, -0.175212, 0.370901, -0.400480],
    [-0.681570, 0.297005, 0.173279, -0.158691, 0.481165, -0.400653],
];

fn encode(w: &Workspace, arguments: &str) -> Vec<Vec<f32>> {
    jsonl(&w.run(&format!("encode {arguments}")).stdout)
}

/// Embeddings of sentences that stand behind the prompt already.
fn behind(w: &Workspace, prompt: &str, model: &str) -> Vec<Vec<f32>> {
    let text: String = SENTENCES.lines().map(|line| format!("{prompt}{line}\n")).collect();
    jsonl(&w.run_with(&format!("encode --model {model} --prompt="), &text).stdout)
}

#[test]
fn prompts_are_put_before_sentences_as_the_folder_or_flags_say() {
    let w = Workspace::new();
    w.write("in.txt", SENTENCES);
    folder(&w, "default", &json!({}), &[], &prompts(Some("query")));
    folder(&w, "none", &json!({}), &[], &prompts(None));
    w.model(Kind::Bert, "plain");
    let [query, document, passage, none] =
        ["two dogs: ", "a man: ", "someone: ", ""].map(|prompt| behind(&w, prompt, "plain"));
    assert!(difference(&query, &none) > 1e-2 && difference(&query, &passage) > 1e-2);
    for (flags, expected) in [
        ("--model default", &query),
        ("--model default --prompt=", &none),
        ("--model default --prompt-name passage", &passage),
        ("--model none", &none),
        ("--model none --prompt-name document", &document),
    ] {
        assert_eq!(&encode(&w, &format!("{flags} --max-length 64 --input in.txt")), expected, "{flags}");
    }
    let typed = w.mirror("encode --model none --input in.txt --prompt").arg("someone: ").output().unwrap();
    assert_eq!(jsonl(&String::from_utf8(typed.stdout).unwrap()), passage);

    // The prompt counts towards the length.
    let cut = encode(&w, "--model default --max-length 6 --input in.txt");
    let text: String = SENTENCES.lines().map(|line| format!("two dogs: {line}\n")).collect();
    assert_eq!(cut, jsonl(&w.run_with("encode --model plain --max-length 6", &text).stdout));

    for command in ["encode --input in.txt", "eval --set a=in.tsv", "search --input in.txt man"] {
        w.write("in.tsv", "1\ta man\ttwo dogs\n2\tgreen\tfields\n3\tman\tman\n");
        let unknown = format!("{command} --model default --prompt-name qwery");
        w.refuses_usage(&unknown, &["no prompt \"qwery\"", "which has \"query\", \"document\", \"passage\""]);
        w.refuses_usage(
            &format!("{command} --model plain --prompt-name query"),
            &["no prompt \"query\"", "--prompt"],
        );
        w.refuses_usage(&format!("{command} --prompt-name a --prompt b"), &["--prompt-name", "--prompt"]);
    }
}

/// Scores, measures and hits of a folder with a prompt are those of text with the prompt in it.
#[test]
fn every_command_that_encodes_puts_the_prompt_there() {
    let w = Workspace::new();
    folder(&w, "m", &json!({}), &[], &prompts(Some("passage")));
    w.model(Kind::Bert, "plain");
    w.corpus("corpus.txt");
    let lines: Vec<String> =
        String::from_utf8(w.read("corpus.txt")).unwrap().lines().map(str::to_owned).collect();
    let pairs = |prompt: &str| -> String {
        let pair = |(i, two): (usize, &[String])| format!("{i}\t{prompt}{}\t{prompt}{}\n", two[0], two[1]);
        lines.chunks(2).enumerate().map(pair).collect()
    };
    w.write("pairs.tsv", pairs(""));
    w.write("prompted.tsv", pairs("someone: "));
    let score = |flags: &str| -> [Value; 2] {
        let said = w.run(&format!("eval {flags} --max-length 64 --json -")).stdout;
        let task = &serde_json::from_str::<Value>(&said).unwrap()["tasks"]["s"];
        ["spearman", "pearson"].map(|name| task[name].clone())
    };
    let by_folder = score("--model m --set s=pairs.tsv");
    assert_eq!(by_folder, score("--model plain --set s=prompted.tsv"));
    assert_ne!(by_folder, score("--model m --prompt= --set s=pairs.tsv"));

    let measure = |flags: &str| w.run(&format!("eval --corpus corpus.txt {flags} --json -")).stdout;
    assert_eq!(
        measure("--model m --prompt=").replace("\"m\"", "\"plain\""),
        measure("--model plain --max-length 40")
    );
    assert_ne!(measure("--model m"), measure("--model m --prompt="));

    let hits = |flags: &str| -> Vec<(u64, f64)> {
        let said = w.run(&format!("search {flags} --top 40 --json guitar"));
        let found: Value = serde_json::from_str(&said.stdout).unwrap();
        let hits = found[0]["models"][0]["hits"].as_array().unwrap().iter();
        hits.map(|hit| (hit["line"].as_u64().unwrap(), hit["cosine"].as_f64().unwrap())).collect()
    };
    let cosine = |query: &str, prompt: &str| -> Vec<(u64, f64)> {
        let text: String = lines.iter().map(|line| format!("{prompt}{line}\n")).collect();
        w.write("prompted.txt", text);
        let flags = "--model plain --max-length 64 --input prompted.txt";
        let said = w.mirror(&format!("search {flags} --top 40 --json")).arg(query).output().unwrap();
        let found: Value = serde_json::from_slice(&said.stdout).unwrap();
        let hits = found[0]["models"][0]["hits"].as_array().unwrap().iter();
        hits.map(|hit| (hit["line"].as_u64().unwrap(), hit["cosine"].as_f64().unwrap())).collect()
    };
    let text = "--model m --max-length 64 --input corpus.txt";
    // As encode_query and encode_document: by their names, and never the default.
    assert_eq!(hits(text), cosine("two dogs: guitar", "a man: "));
    assert_eq!(hits(&format!("{text} --prompt=")), cosine("guitar", ""));
    assert_eq!(hits(&format!("{text} --prompt-name passage")), cosine("someone: guitar", "someone: "));
    assert_eq!(hits(&format!("{text} --text-prompt-name passage")), cosine("two dogs: guitar", "someone: "));
    assert_eq!(hits(&format!("{text} --prompt=x --text-prompt=")), cosine("xguitar", ""));

    let e5 = json!({ "prompts": { "query": "q: ", "passage": "p: " }, "similarity_fn_name": "dot" });
    folder(&w, "e5", &json!({}), &[], &e5);
    let said = w.run("search --model e5 --input corpus.txt guitar").stderr;
    assert!(said.contains("--text-prompt-name passage") && said.contains("similarity \"dot\""), "{said}");
    let said = w.run("eval --model e5 --set s=pairs.tsv").stderr;
    assert!(said.contains("similarity \"dot\""), "{said}");
    let found =
        w.run("sharpness --model m --corpus corpus.txt --batch-size 8 --batches 1 --instances 2").stdout;
    let bare =
        w.run("sharpness --model plain --corpus corpus.txt --batch-size 8 --batches 1 --instances 2").stdout;
    assert_ne!(found, bare);
}

#[test]
fn a_folder_with_everything_gives_the_numbers_of_sentence_transformers() {
    let w = Workspace::new();
    w.write("in.txt", SENTENCES);
    with_everything(&w, "m");
    let ours = encode(&w, "--model m --input in.txt");
    if let Some(python) = installed("MIRROR_PYTHON") {
        let theirs = by_sentence_transformers(&w, &python, "torch", &["m".into()]).remove(0);
        assert!(difference(&ours, &theirs) < 1e-5, "{ours:?} {theirs:?}");
    }
    let expected: Vec<Vec<f32>> = EXPECTED.iter().map(|row| row.to_vec()).collect();
    assert!(difference(&ours[..2], &expected) < 1e-5, "{:?}", &ours[..2]);
    w.run("encode --model m --input in.txt --output m.npy");
    let rows = crate::workspace::npy(&w.read("m.npy"));
    assert_eq!((rows.len(), rows[0].len()), (5, 6));
}

#[test]
fn a_trained_folder_keeps_prompts_and_modules() {
    let w = Workspace::new();
    w.corpus("corpus.txt");
    w.write("in.txt", SENTENCES);
    with_everything(&w, "m");
    let said = w.run(&format!("train --model m {TINY} --output out")).stderr;
    assert!(
        said.contains(
            "prompt \"two dogs: \" before each sentence (default_prompt_name, left out of pooling)"
        ),
        "{said}"
    );
    assert!(said.contains("after pooling, and not trained: Dense (32 to 6, Tanh)"), "{said}");
    assert_eq!(
        w.json("out/config_sentence_transformers.json"),
        w.json("m/config_sentence_transformers.json")
    );
    assert_eq!(w.json("out/1_Pooling/config.json")["include_prompt"], false);
    let classes = |folder: &str| -> Vec<Value> {
        let modules = w.json(&format!("{folder}/modules.json"));
        modules.as_array().unwrap().iter().map(|module| module["type"].clone()).collect()
    };
    assert_eq!(classes("out"), classes("m"));
    let weights = |folder: &str| {
        let bytes = w.read(&format!("{folder}/2_Dense/model.safetensors"));
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        ["linear.weight", "linear.bias"].map(|name| tensors.tensor(name).unwrap().data().to_vec())
    };
    assert_eq!(weights("out"), weights("m"));
    let card = String::from_utf8(w.read("out/README.md")).unwrap();
    assert!(
        card.contains("to 6 numbers") && card.contains("\"two dogs: \"") && card.contains("Dense (32 to 6"),
        "{card}"
    );
    let ours = encode(&w, "--model out --input in.txt");
    assert!(difference(&ours, &encode(&w, "--model m --input in.txt")) > 1e-4, "it was trained");
    if let Some(python) = installed("MIRROR_PYTHON") {
        let theirs = by_sentence_transformers(&w, &python, "torch", &["out".into()]).remove(0);
        assert!(difference(&ours, &theirs) < 1e-5, "{ours:?} {theirs:?}");
    }
    // Trained again, it goes on as it was.
    w.run(&format!("train --model out {TINY} --output again"));
    assert_eq!(
        w.json("again/config_sentence_transformers.json"),
        w.json("m/config_sentence_transformers.json")
    );
    assert_eq!(weights("again"), weights("m"));
    w.fails(
        &format!("train --model m {TINY} --max-length 5 --output short"),
        &["--max-length is 5", "prompt alone has 5 tokens"],
    );
}

#[test]
fn modules_that_do_not_fit_are_refused() {
    let w = Workspace::new();
    w.write("in.txt", SENTENCES);
    let model = with_everything(&w, "m");
    let config =
        |inputs: usize, outputs: usize| json!({ "in_features": inputs, "out_features": outputs }).to_string();
    let refused = |says: &[&str]| w.fails("encode --model m --input in.txt --output o.npy", says);
    model.write("2_Dense/config.json", config(31, 6));
    refused(&["2_Dense", "takes 31 features", "before it gives 32"]);
    model.write("2_Dense/config.json", config(32, 1 << 40));
    refused(&["2_Dense/model.safetensors", "linear.weight has shape [6, 32]"]);
    model.write("2_Dense/config.json", config(32, 6));
    std::fs::remove_file(w.path("m/2_Dense/model.safetensors")).unwrap();
    refused(&["2_Dense has no weights", "pytorch_model.bin"]);
    std::fs::remove_file(w.path("m/2_Dense/config.json")).unwrap();
    refused(&["2_Dense/config.json", "is missing, but modules.json names it"]);
}

/// sentence-transformers' own embeddings of in.txt with each of some folders.
fn by_sentence_transformers(
    w: &Workspace,
    python: &Path,
    backend: &str,
    folders: &[String],
) -> Vec<Vec<Vec<f32>>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/encodes.py");
    let mut command = Command::new(python);
    if let (true, Some(packages)) = (backend == "onnx", installed("MIRROR_OPTIMUM")) {
        command.env("PYTHONPATH", packages);
    }
    command.arg(script).args([backend, "in.txt", "theirs.jsonl"]).args(folders);
    let output = command.current_dir(w.path("")).env("HF_HUB_OFFLINE", "1").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read =
        |folder: &String| jsonl(&String::from_utf8(w.read(&format!("{folder}/theirs.jsonl"))).unwrap());
    folders.iter().map(read).collect()
}

/// Folders that sentence-transformers wrote, of all kinds, encoded by it and here: from the weights, from a graph,
/// and the graph's folder by it again.
#[test]
fn folders_of_all_kinds_give_the_embeddings_of_sentence_transformers() {
    let Some(python) = installed("MIRROR_PYTHON") else { return };
    let w = Workspace::new();
    w.write("in.txt", SENTENCES);
    w.model(Kind::Bert, "base");
    w.write(
        "base/tokenizer_config.json",
        "{\"tokenizer_class\": \"BertTokenizer\", \"model_max_length\": 64}",
    );
    std::fs::create_dir(w.path("kinds")).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/folders.py");
    let mut command = Command::new(&python);
    command.arg(script).args(["base", "kinds", "in.txt"]).current_dir(w.path("")).env("HF_HUB_OFFLINE", "1");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let mut kinds = Vec::new();
    for entry in std::fs::read_dir(w.path("kinds")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            kinds.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    assert!(kinds.len() >= 14, "{kinds:?}");
    let runtime = installed("ORT_DYLIB_PATH").is_some();
    for kind in &kinds {
        let expected = w.json(&format!("kinds/{kind}.json"));
        let rows = |way: &str| -> Vec<Vec<f32>> { serde_json::from_value(expected[way].clone()).unwrap() };
        let ours = encode(&w, &format!("--model kinds/{kind} --input in.txt"));
        assert!(difference(&ours, &rows("encode")) < 1e-5, "{kind}");
        found_as_expected(&w, kind, &rows("query")[0], &rows("document"));
        if runtime {
            w.run(&format!("export --model kinds/{kind} --output exported/{kind}"));
            let graph = encode(&w, &format!("--model exported/{kind} --backend onnx --input in.txt"));
            assert!(difference(&graph, &rows("encode")) < 1e-5, "{kind}");
        }
    }
    if runtime && installed("MIRROR_OPTIMUM").is_some() {
        // The version there does not know a residual.
        kinds.retain(|kind| kind != "residual");
        let folders: Vec<String> = kinds.iter().map(|kind| format!("exported/{kind}")).collect();
        let found = by_sentence_transformers(&w, &python, "onnx", &folders);
        for (kind, theirs) in kinds.iter().zip(found) {
            let expected = w.json(&format!("kinds/{kind}.json"))["encode"].clone();
            let expected: Vec<Vec<f32>> = serde_json::from_value(expected).unwrap();
            assert!(difference(&theirs, &expected) < 1e-5, "{kind}: modules are applied once");
        }
    }
}

/// The first of the sentences, searched for among all that are not blank.
fn found_as_expected(w: &Workspace, kind: &str, query: &[f32], documents: &[Vec<f32>]) {
    let sentence = SENTENCES.lines().next().unwrap();
    let search =
        w.mirror(&format!("search --model kinds/{kind} --input in.txt --json")).arg(sentence).output();
    let found: Value = serde_json::from_slice(&search.unwrap().stdout).unwrap();
    let hits = found[0]["models"][0]["hits"].as_array().unwrap();
    assert_eq!(hits.len(), 4);
    for hit in hits {
        let document = &documents[hit["line"].as_u64().unwrap() as usize - 1];
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        let cosine = dot(query, document) / (dot(query, query) * dot(document, document)).sqrt();
        assert!((hit["cosine"].as_f64().unwrap() - cosine).abs() < 1e-5, "{kind}: {hit} {cosine}");
    }
}

#[test]
fn a_pooling_that_is_misspelt_in_the_configuration_is_refused() {
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    let mut config = w.json("m/config.json");
    for (noted, says) in [(json!("mean-paded"), "\"mean-paded\""), (json!(3), "is 3")] {
        config["mirror_pooling"] = noted;
        w.write("m/config.json", config.to_string());
        let refused = w.mirror("encode --model m").write_stdin("a man\n").assert().code(1);
        let message = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
        assert!(message.contains(says) && message.contains("mean-padded"), "{message}");
    }
    for noted in [json!("cls"), Value::Null] {
        config["mirror_pooling"] = noted;
        w.write("m/config.json", config.to_string());
        w.run_with("encode --model m", "a man\n");
    }
}
