//! The same seed gives the same bytes, on any number of threads; what should be the same step is.

use std::collections::HashMap;

use mirror::regularization::names;

use crate::models::{Kind, sentences};
use crate::workspace::Workspace;

fn regularizers() -> Vec<&'static str> {
    std::iter::once("none").chain(names()).chain(["delta-sam,r3f", "sam,r-drop,smart"]).collect()
}

/// The bytes of model.safetensors after two steps with dropout and drophead.
fn weights(w: &Workspace, flags: &str) -> Vec<u8> {
    weights_of_batches(w, 8, flags)
}

fn weights_of_batches(w: &Workspace, batch_size: usize, flags: &str) -> Vec<u8> {
    let output = tempfile::tempdir().unwrap();
    let arguments = format!(
        "train --model m --corpus corpus.txt --batch-size {batch_size} --max-steps 2 --lr 1e-3 --drophead 0.1 --no-eval \
         --output {} {flags}",
        output.path().join("out").display()
    );
    w.run(&arguments);
    std::fs::read(output.path().join("out/model.safetensors")).unwrap()
}

fn tiny(kind: Kind) -> Workspace {
    let w = Workspace::new();
    w.corpus("corpus.txt");
    w.model(kind, "m");
    w
}

#[test]
fn one_thread_and_two_give_the_same_bytes_whatever_regularizes() {
    let w = tiny(Kind::Bert);
    let mut seen: HashMap<Vec<u8>, &str> = HashMap::new();
    for reg in regularizers() {
        let one = weights(&w, &format!("--reg {reg} --threads 1"));
        assert_eq!(one, weights(&w, &format!("--reg {reg} --threads 2")), "{reg}");
        // A regularizer that changed nothing would pass too.
        assert_eq!(seen.insert(one, reg), None, "{reg} trains as another one does");
    }
}

#[test]
fn matryoshka_is_another_loss_that_gives_the_same_bytes_on_any_number_of_threads() {
    let w = tiny(Kind::Bert);
    for reg in ["none", "delta-sam,r3f", "sam,r-drop,smart,freelb"] {
        let flags = format!("--reg {reg} --matryoshka 4,16");
        let one = weights(&w, &format!("{flags} --threads 1"));
        assert_eq!(one, weights(&w, &format!("{flags} --threads 2")), "{reg}");
        assert_ne!(one, weights(&w, &format!("--reg {reg}")), "{reg}");
        // The whole embedding is always looked at: naming its width changes nothing.
        assert_eq!(one, weights(&w, &format!("--reg {reg} --matryoshka 4,16,32")), "{reg}");
    }
    assert_eq!(weights(&w, "--matryoshka 32"), weights(&w, ""));
}

#[test]
fn batches_of_several_chunks_give_the_same_bytes_too() {
    for kind in [Kind::Roberta, Kind::Mpnet] {
        batches_of_several_chunks(tiny(kind));
    }
}

fn batches_of_several_chunks(w: Workspace) {
    w.write("corpus.txt", sentences(200).join("\n"));
    for reg in ["none", "delta-sam,r3f"] {
        let run = |threads| weights_of_batches(&w, 100, &format!("--reg {reg} --threads {threads}"));
        let one = run(1);
        assert_eq!(one, run(2), "{reg}");
        assert_eq!(one, run(3), "{reg}");
        // In parts the same sums are rounded elsewhere.
        let run =
            |threads| weights_of_batches(&w, 100, &format!("--reg {reg} --accumulate 7 --threads {threads}"));
        let in_parts = run(1);
        assert_eq!(in_parts, run(3), "{reg}");
        assert_ne!(in_parts, one, "{reg}");
    }
    assert_ne!(weights(&w, "--seed 1"), weights(&w, "--seed 2"));
}

#[test]
fn steps_that_are_equal_by_definition_are_equal_in_bytes() {
    let w = tiny(Kind::Bert);
    for (one, other) in [
        ("--reg delta-sam,r3f", "--reg r3f,delta-sam"),
        ("--reg delta-sam --beta 0", "--reg sam"),
        ("--reg delta-sam,r-drop --beta 0 --rho 0.1", "--reg sam,r-drop --rho 0.1"),
        ("--reg sam --rho 0", "--reg none"),
        ("--reg asam --rho 0", "--reg none"),
        ("--reg delta-sam,r3f --rho 0", "--reg r3f"),
    ] {
        assert_eq!(weights(&w, one), weights(&w, other), "{one} and {other}");
    }
}
