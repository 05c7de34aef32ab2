//! One training step against values recorded from an independent reference (PyTorch in f64).
//!
//! Reads the folder that MIRROR_GOLDEN names; by default the copy beside this file. Every case is
//! run twice: the composed path in f64, and the path that users run, in f32.

mod case;

use case::labelled::Labelled;
use case::masked::Masked;
use case::{Case, Folder, Precision, Views};

const CASES: [&str; 6] = ["none", "sam", "delta-sam", "r3f", "sam+r3f", "delta-sam+r3f"];

/// With labels, under dropout.
const LABELLED: [&str; 6] = ["none", "sam", "delta-sam", "r3f", "r-drop", "delta-sam+r3f"];

fn folders() -> Vec<Folder> {
    Folder::all(&["bert", "roberta", "mpnet", "distilbert"], &[None])
}

fn labelled_folders() -> Vec<Folder> {
    let names = ["bert-classification", "bert-regression", "roberta-classification", "roberta-regression"];
    Folder::all(&names, &[Some("classification"), Some("regression")])
}

/// With masked words, under dropout.
const MASKED: [&str; 4] = ["none", "delta-sam", "r-drop", "delta-sam+r3f"];

fn masked_folders() -> Vec<Folder> {
    Folder::all(&["bert-mlm", "roberta-mlm"], &[Some("mlm")])
}

#[test]
fn golden_steps() {
    for folder in folders() {
        let mut ran = 0;
        for pooling in ["mean", "cls"] {
            for regularizer in CASES {
                let views = Views::new(&folder, pooling);
                let worst = [Precision::Composed64, Precision::Fused32].map(|precision| {
                    let case = Case::new(&folder, &format!("{pooling}/{regularizer}"), precision);
                    case.run(&views.step(), views.weights(precision))
                });
                let path = folder.path.display();
                println!("{path} {pooling}/{regularizer}: largest error f64 {}, f32 {}", worst[0], worst[1]);
                ran += 1;
            }
        }
        assert_eq!(ran, 12, "a case is missing");
    }
}

/// Classes and values off the heads of transformers' ForSequenceClassification, pairs with token types, under mirror's
/// own dropout masks.
#[test]
fn golden_steps_with_labels() {
    for folder in labelled_folders() {
        let labelled = Labelled::new(&folder);
        let path = folder.path.display();
        for regularizer in LABELLED {
            let worst = [Precision::Composed64, Precision::Fused32].map(|precision| {
                Case::new(&folder, regularizer, precision).run(&labelled.step(), labelled.weights(precision))
            });
            println!("{path} {regularizer}: largest error f64 {}, f32 {}", worst[0], worst[1]);
        }
        let worst = [Precision::Composed64, Precision::Fused32].map(|precision| labelled.logits(precision));
        println!("{path} logits: largest error f64 {:.1e}, f32 {:.1e}", worst[0], worst[1]);
        let shift = labelled.shift_of_other_masks();
        assert!(
            shift > 1e-3,
            "{path}: masks change the loss by {shift:e} alone, so that wrong ones would pass"
        );
    }
}

/// Words off the heads of transformers' ForMaskedLM, whose decoder is the word embeddings, under mirror's own dropout
/// masks; a batch at once and in parts.
#[test]
fn golden_steps_of_masked_words() {
    for folder in masked_folders() {
        let path = folder.path.display();
        for parts in [1, 3] {
            let masked = Masked::new(&folder).in_parts(parts);
            for regularizer in MASKED {
                let worst = [Precision::Composed64, Precision::Fused32].map(|precision| {
                    Case::new(&folder, regularizer, precision).run(&masked.step(), masked.weights(precision))
                });
                println!("{path} {regularizer} in {parts}: largest error f64 {}, f32 {}", worst[0], worst[1]);
            }
            for precision in [Precision::Composed64, Precision::Fused32] {
                let [ours, theirs] = masked.losses_without_dropout(precision);
                assert!((ours - theirs).abs() <= precision.values() * theirs, "{path}: {ours} {theirs}");
            }
        }
        let shift = Masked::new(&folder).shift_of_other_masks();
        assert!(
            shift > 1e-3,
            "{path}: masks change the loss by {shift:e} alone, so that wrong ones would pass"
        );
    }
}

#[test]
fn golden_embeddings() {
    for folder in folders() {
        for pooling in ["mean", "cls", "mean-padded"] {
            let worst = [Precision::Composed64, Precision::Fused32].map(|p| folder.embeddings(pooling, p));
            let path = folder.path.display();
            println!("{path} embeddings/{pooling}: largest error f64 {:.1e}, f32 {:.1e}", worst[0], worst[1]);
        }
    }
}

/// Losses and directions of bf16 on the CPU, which are those of f64 as far as eight bits of mantissa go.
#[test]
fn golden_steps_in_bf16() {
    if std::env::var("MIRROR_TEST_DEVICE").is_ok_and(|device| device == "cuda") {
        return;
    }
    for folder in folders() {
        for pooling in ["mean", "cls"] {
            for regularizer in CASES {
                let name = format!("{pooling}/{regularizer}");
                let case = Case::new(&folder, &name, Precision::Fused32);
                let views = Views::new(&folder, pooling).in_bf16();
                let (error, cosine) =
                    case.first_step_in_bf16(&views.step(), &views.weights(Precision::Fused32));
                let path = folder.path.display();
                println!(
                    "{path} {pooling}/{regularizer} in bf16: loss off by {error:.1e}, cosine {cosine:.6}"
                );
                assert!(
                    error <= 1e-2 && cosine >= 0.999,
                    "{path} {pooling}/{regularizer}: {error:e}, {cosine}"
                );
            }
        }
    }
}
