//! Broken, hostile and contradictory files: one sentence naming the file, exit code 1, nothing left behind.

use safetensors::tensor::Dtype;
use serde_json::{Value, json};

use crate::models::{Kind, Model, Tensors, safetensors_bytes};
use crate::workspace::Workspace;

const TRAIN: &str = "train --model m --corpus corpus.txt --batch-size 16 --no-eval";

#[test]
fn corpora() {
    let w = Workspace::new();
    w.model(Kind::Bert, "m");
    w.fails(TRAIN, &["corpus.txt", "No such file"]);
    w.write("corpus.txt", "");
    w.fails(TRAIN, &["corpus.txt has no sentences; write one sentence a line"]);
    w.write("corpus.txt", "\n  \n\n");
    w.fails(TRAIN, &["corpus.txt has no sentences; all 3 lines are blank; write"]);
    w.write("corpus.txt", b"one\ntwo\nthr\xFFee\n");
    w.fails(TRAIN, &["corpus.txt, line 3: byte 4", "UTF-8"]);
    w.write("corpus.txt", "one\ntwo\none\n");
    w.fails(TRAIN, &["--batch-size 16", "2 different", "corpus.txt (3 lines)", "--batch-size 2 or less"]);
    w.write("corpus.txt", "same\nsame\n");
    w.fails(TRAIN, &["corpus.txt has only one different sentence"]);
    w.write("corpus.txt", vec![b'x'; (16 << 20) + 1]);
    w.fails(TRAIN, &["corpus.txt, line 1", "longer than 16 MiB"]);
    std::fs::remove_file(w.path("corpus.txt")).unwrap();
    std::fs::create_dir(w.path("corpus.txt")).unwrap();
    w.fails(TRAIN, &["corpus.txt is a folder"]);
}

#[test]
fn text_to_encode() {
    let w = Workspace::new();
    w.write("in.txt", b"fine\nnot \xC3 fine\n");
    w.fails("encode --input in.txt --output out.npy", &["in.txt, line 2: byte 5", "UTF-8"]);
    w.fails("encode --input absent.txt", &["absent.txt", "No such file"]);
    // Orders to the terminal in a name are shown, not followed.
    w.fails("encode --input a\u{1b}[31m.txt", &["a\\u{1b}[31m.txt", "No such file"]);
    w.write("folder/x", "");
    w.fails("encode --input folder", &["folder is a folder"]);
}

#[test]
fn weights_files() {
    let w = Workspace::new();
    w.corpus("corpus.txt");
    let model = w.model(Kind::Bert, "m");
    let good = safetensors_bytes(&Kind::Bert.tensors(), Dtype::F32);
    let header = u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    let lying = |length: u64| [&length.to_le_bytes()[..], &good[8..]].concat();
    let text = String::from_utf8(good[8..8 + header].to_vec()).unwrap();
    // Offsets and shapes that lie, at the header's own length.
    let claiming = |from: &str, to: &str| {
        assert!(text.contains(from) && to.len() <= from.len());
        let padded = format!("{to}{}", " ".repeat(from.len() - to.len()));
        [&good[..8], text.replacen(from, &padded, 1).as_bytes(), &good[8 + header..]].concat()
    };
    let mut scrambled = good.clone();
    scrambled[8..8 + header].reverse();
    for (what, bytes) in [
        ("empty", Vec::new()),
        ("truncated in the header", good[..8 + header / 2].to_vec()),
        ("truncated in the data", good[..good.len() - 5].to_vec()),
        ("a header of 2^60 bytes", lying(1 << 60)),
        ("a header of 2^64 - 1 bytes", lying(u64::MAX)),
        ("a header longer than the file", lying(good.len() as u64)),
        ("no JSON", scrambled),
        ("a shape that lies", claiming("\"shape\":[32,32]", "\"shape\":[31,32]")),
        (
            "a shape that overflows",
            claiming("\"dtype\":\"F32\",\"shape\":[600,32]", "\"shape\":[9999999999,9]"),
        ),
        ("another file", b"PK\x03\x04 something else".to_vec()),
    ] {
        model.set_weights(&bytes);
        let says = ["m/model.safetensors is not a readable weights file", "download it again"];
        println!("{what}");
        w.fails("encode --model m --output o.npy", &says);
        w.fails(TRAIN, &says);
    }
}

#[test]
fn tensors_that_do_not_fit() {
    let w = Workspace::new();
    w.corpus("corpus.txt");
    let model = w.model(Kind::Roberta, "m");
    let broken = |change: &dyn Fn(&mut Tensors), says: &[&str]| {
        let mut tensors = Kind::Roberta.tensors();
        change(&mut tensors);
        model.set_tensors(&tensors, Dtype::F32);
        w.fails("encode --model m", says);
        w.fails(TRAIN, says);
    };
    let (key, ffn) = ("encoder.layer.1.attention.self.key.bias", "encoder.layer.0.intermediate.dense.weight");
    broken(&|t| drop(t.remove(key)), &["m/model.safetensors lacks the tensor", key]);
    broken(&|t| t.get_mut(ffn).unwrap().0 = vec![32, 64], &[ffn, "[32, 64]", "[64, 32]"]);
    broken(&|t| t.get_mut(ffn).unwrap().1[77] = f32::NAN, &[ffn, "not finite"]);
    broken(&|t| t.get_mut(key).unwrap().1[3] = f32::NEG_INFINITY, &[key, "not finite"]);
    model.set_tensors(&Kind::Roberta.tensors(), Dtype::I64);
    w.fails("encode --model m", &["is stored as I64", "f32, f16, bf16"]);
}

#[test]
fn configurations_that_do_not_fit() {
    let w = Workspace::new();
    w.corpus("corpus.txt");
    let model = w.model(Kind::Bert, "m");
    let refused = |model: &Model, key: &str, value: Value, says: &[&str]| {
        model.configure(key, value);
        w.fails("encode --model m", says);
        w.fails(TRAIN, says);
    };
    refused(
        &model,
        "hidden_size",
        json!(64),
        &["embeddings.word_embeddings.weight", "[600, 32]", "[600, 64]"],
    );
    refused(&model, "num_hidden_layers", json!(3), &["lacks the tensor encoder.layer.2."]);
    refused(&model, "intermediate_size", json!(65), &["intermediate.dense.weight", "[64, 32]", "[65, 32]"]);
    refused(&model, "max_position_embeddings", json!(65), &["position_embeddings", "[64, 32]", "[65, 32]"]);
    refused(&model, "vocab_size", json!(16_000_000), &["word_embeddings", "[16000000, 32]"]);
    refused(&model, "vocab_size", json!(1u64 << 60), &["m/config.json", "vocab_size"]);
    refused(&model, "vocab_size", json!(599), &["id 599", "vocab_size 599", "belongs to another model"]);
    refused(&model, "num_attention_heads", json!(5), &["m/config.json", "num_attention_heads 5"]);
    refused(&model, "num_attention_heads", json!(0), &["m/config.json", "num_attention_heads is 0"]);
    refused(&model, "hidden_size", json!("wide"), &["m/config.json"]);
    refused(&model, "model_type", json!("t5"), &["m/config.json", "\"t5\"", "bert, roberta"]);
    refused(&model, "model_type", Value::Null, &["m/config.json", "model_type nothing"]);
    refused(&model, "hidden_act", json!("mish"), &["m/config.json", "mish", "gelu_new"]);
    refused(&model, "layer_norm_eps", json!(-1.0), &["m/config.json", "layer_norm_eps"]);
    for (text, says) in [("{", "config.json"), ("[]", "not a JSON object"), ("", "config.json")] {
        model.write("config.json", text);
        w.fails("encode --model m", &[says]);
    }
    std::fs::remove_file(w.path("m/config.json")).unwrap();
    w.fails("encode --model m", &["m/config.json", "No such file"]);
}

#[test]
fn tokenizers_and_modules() {
    let w = Workspace::new();
    let model = w.model(Kind::Bert, "m");
    model.write("modules.json", "[{\"type\": \"sentence_transformers.models.Dense\", \"path\": \"\"}]");
    w.fails("encode --model m", &["m/modules.json", "Dense", "Transformer, Pooling"]);
    model.write("modules.json", "[{\"type\": \"x.Transformer\", \"path\": \"../../etc\"}]");
    w.fails("encode --model m", &["m/modules.json", "inside the folder"]);
    std::fs::remove_file(w.path("m/modules.json")).unwrap();
    model.write("1_Pooling/config.json", "{\"pooling_mode_max_tokens\": true}");
    w.fails("encode --model m", &["1_Pooling/config.json", "\"max\"", "mean and cls"]);
    std::fs::remove_dir_all(w.path("m/1_Pooling")).unwrap();
    model.write("tokenizer.json", "{\"model\": {\"type\": \"WordPiece\"}}");
    w.fails("encode --model m", &["m/tokenizer.json", "vocabulary"]);
    std::fs::remove_file(w.path("m/tokenizer.json")).unwrap();
    std::fs::remove_file(w.path("m/vocab.txt")).unwrap();
    w.fails("encode --model m", &["m has no tokenizer", "vocab.txt"]);
}

#[test]
fn outputs_that_cannot_be_written() {
    let w = Workspace::new();
    w.corpus("corpus.txt");
    w.model(Kind::Bert, "m");
    w.write("file", "x");
    w.write("full/x", "x");
    w.fails(&format!("{TRAIN} --output full"), &["full is not empty", "--overwrite"]);
    w.fails(&format!("{TRAIN} --output file"), &["file is a file", "folder"]);
    w.fails(&format!("{TRAIN} --output file/below"), &["cannot write to file/below"]);
    w.fails(&format!("{TRAIN} --output /proc/here"), &["cannot write to /proc/here"]);
    w.fails("encode --model m --output file/o.npy", &["cannot write to file/o.npy"]);
    w.fails("encode --model m --output absent/o.jsonl", &["cannot write to absent/o.jsonl"]);
    w.write("pairs.tsv", "1\ta\tb\n2\tc\td\n");
    w.fails("eval --model m --set p=pairs.tsv --json absent/s.json --markdown -", &["absent/s.json"]);
    // Folders made on the way go too, and one that was empty is empty again.
    let broken = "train --model m --corpus corpus.txt --batch-size 41 --no-eval --output";
    w.fails(&format!("{broken} new/folders/out"), &["--batch-size 41"]);
    std::fs::create_dir(w.path("empty")).unwrap();
    w.fails(&format!("{broken} empty"), &["--batch-size 41"]);
}

#[test]
fn a_run_that_diverges_says_what_and_keeps_nothing_half_done() {
    let w = Workspace::new();
    w.corpus("corpus.txt");
    w.model(Kind::Bert, "m");
    let output = w.mirror(&format!("{TRAIN} --lr 1e30 --max-steps 3")).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let last = stderr.lines().last().unwrap();
    assert!(last.starts_with("error: step ") && last.contains("--learning-rate"), "{stderr}");
    assert!(!w.path("mirror-out/model.safetensors").exists());
}
