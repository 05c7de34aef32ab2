//! One training step against values recorded from an independent reference (PyTorch in f64).
//!
//! Reads the folder that MIRROR_GOLDEN names; by default the copy beside this file. Every case is
//! run twice: the composed path in f64, and the path that users run, in f32.

mod case;

use case::{Case, Folder, Precision};

const CASES: [&str; 6] = ["none", "sam", "delta-sam", "r3f", "sam+r3f", "delta-sam+r3f"];

#[test]
fn golden_steps() {
    for folder in Folder::all() {
        let mut ran = 0;
        for pooling in ["mean", "cls"] {
            for regularizer in CASES {
                let worst = [Precision::Composed64, Precision::Fused32]
                    .map(|precision| Case::new(&folder, pooling, regularizer, precision).run());
                let path = folder.path.display();
                println!("{path} {pooling}/{regularizer}: largest error f64 {}, f32 {}", worst[0], worst[1]);
                ran += 1;
            }
        }
        assert_eq!(ran, 12, "a case is missing");
    }
}

#[test]
fn golden_embeddings() {
    for folder in Folder::all() {
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
    for folder in Folder::all() {
        for pooling in ["mean", "cls"] {
            for regularizer in CASES {
                let case = Case::new(&folder, pooling, regularizer, Precision::Fused32);
                let (error, cosine) = case.first_step_in_bf16();
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
