//! Checkpoints as untrusted files: what is read is what was written, or nothing is.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;
use tempfile::TempDir;

use super::manifest::{FileSum, Manifest};
use super::origin::{Machine, Origin};
use super::run_checkpoints::{BestState, Newest};
use super::scores::Score;
use super::{CheckpointError, RunCheckpoints, Snapshot, State};
use crate::backend::Precision;
use crate::encoder::Architecture;
use crate::encoder::layout::Dimensions;
use crate::encoder::{Layout, Parameters};
use crate::random::Key;

fn layout() -> Arc<Layout> {
    layout_of(1)
}

fn layout_of(num_hidden_layers: usize) -> Arc<Layout> {
    Arc::new(Layout::new(
        Architecture::Bert,
        &Dimensions {
            vocab_size: 3,
            max_position_embeddings: 2,
            type_vocab_size: 1,
            hidden_size: 2,
            intermediate_size: 3,
            num_hidden_layers,
            relative_bias: [0, 1],
        },
    ))
}

fn parameters(layout: &Arc<Layout>, seed: u64) -> Parameters {
    let flats = layout.groups.iter().enumerate().map(|(g, group)| {
        let key = Key::new(seed).at(g as u64);
        let values: Vec<f32> = (0..group.len as u32).map(|i| key.normal(i) as f32).collect();
        Tensor::from_vec(values, group.len, &Device::Cpu).unwrap()
    });
    Parameters::from_flats(layout.clone(), flats.collect()).unwrap()
}

fn values(parameters: &Parameters) -> Vec<u32> {
    let flats = parameters.flats().iter().map(|flat| flat.to_vec1::<f32>().unwrap());
    flats.flatten().map(f32::to_bits).collect()
}

fn state(step: u64) -> State {
    let machine = Machine {
        version: "0".to_owned(),
        build: "b".to_owned(),
        instruction_set: "i".to_owned(),
        device: "cpu".to_owned(),
    };
    State {
        step,
        epoch: 1,
        position: 2,
        metrics_bytes: 3,
        scores: vec![Score { step: 0, set: "set".to_owned(), spearman: Some(50.5) }],
        held_out: Vec::new(),
        tasks: Vec::new(),
        perplexities: Vec::new(),
        best: Some(BestState { step: 0, score_bits: 50.5f64.to_bits() }),
        memories: vec!["smart".to_owned()],
        origin: Origin {
            corpus_sha256: "c".to_owned(),
            model_sha256: "m".to_owned(),
            precision: Precision::F32,
            machine,
        },
    }
}

/// A folder with a checkpoint of step 1 and one of step 2.
fn two_checkpoints(layout: &Arc<Layout>) -> (TempDir, RunCheckpoints) {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = RunCheckpoints::open(folder.path(), 2).unwrap();
    for step in [1, 2] {
        let [weights, m, v, average, best] = [0, 1, 2, 3, 4].map(|i| parameters(layout, 10 * step + i));
        let memories = vec![("smart", &average)];
        let snapshot =
            Snapshot { state: state(step), weights: &weights, m: &m, v: &v, memories, best: Some(&best) };
        checkpoints.save(&snapshot).unwrap();
    }
    (folder, checkpoints)
}

fn newest(checkpoints: &RunCheckpoints, layout: &Arc<Layout>) -> Result<Newest, CheckpointError> {
    checkpoints.newest(layout, DType::F32, &Device::Cpu)
}

/// Holds what was read against what was written at that step.
fn assert_whole(newest: &Newest, layout: &Arc<Layout>, step: u64) {
    let checkpoint = newest.checkpoint.as_ref().unwrap();
    assert_eq!(checkpoint.state, state(step));
    let best = checkpoint.best.as_ref().unwrap();
    let average = &checkpoint.memories["smart"];
    let read = [&checkpoint.weights, &checkpoint.m, &checkpoint.v, average, best];
    for (i, read) in read.into_iter().enumerate() {
        assert_eq!(values(read), values(&parameters(layout, 10 * step + i as u64)), "{i}");
    }
}

fn files_of(folder: &Path, step: u64) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join(format!("checkpoints/step-{step:08}"))).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn what_is_written_is_read() {
    let layout = layout();
    let (folder, checkpoints) = two_checkpoints(&layout);
    let read = newest(&checkpoints, &layout).unwrap();
    assert!(read.skipped.is_empty());
    assert_whole(&read, &layout, 2);
    assert_eq!(files_of(folder.path(), 2).len(), 5);
}

/// Names and places of a model as deep as BERT-large, three times over, take more than 64 KiB.
#[test]
fn deep_models_are_written_and_read() {
    let layout = layout_of(48);
    let (folder, checkpoints) = two_checkpoints(&layout);
    assert_whole(&newest(&checkpoints, &layout).unwrap(), &layout, 2);
    let optimizer = folder.path().join("checkpoints/step-00000002/optimizer.safetensors");
    let bytes = fs::read(optimizer).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert!(header > 1 << 16, "{header}");
    safetensors::SafeTensors::deserialize(&bytes).unwrap();
}

/// Every bit of the small files, and every eleventh byte of the tensors.
#[test]
fn a_flipped_bit_is_always_noticed() {
    let layout = layout();
    let (folder, checkpoints) = two_checkpoints(&layout);
    for path in files_of(folder.path(), 2) {
        let original = fs::read(&path).unwrap();
        let every = if path.extension().is_some_and(|e| e == "json") { 1 } else { 11 };
        for place in (0..original.len()).step_by(every) {
            let mut bytes = original.clone();
            bytes[place] ^= 1 << (place % 8);
            fs::write(&path, bytes).unwrap();
            let read = newest(&checkpoints, &layout).unwrap();
            assert_eq!(read.skipped.len(), 1, "{}, byte {place}", path.display());
            assert_whole(&read, &layout, 1);
        }
        fs::write(&path, original).unwrap();
    }
}

#[test]
fn only_the_newest_are_kept() {
    let layout = layout();
    let (folder, checkpoints) = two_checkpoints(&layout);
    let some = parameters(&layout, 1);
    for step in 3..6 {
        let state = State { memories: Vec::new(), best: None, ..state(step) };
        let snapshot =
            Snapshot { state, weights: &some, m: &some, v: &some, memories: Vec::new(), best: None };
        checkpoints.save(&snapshot).unwrap();
        checkpoints.prune(step).unwrap();
        assert_eq!(fs::read_dir(folder.path().join("checkpoints")).unwrap().count(), 2);
    }
    assert_eq!(newest(&checkpoints, &layout).unwrap().checkpoint.unwrap().state.step, 5);
}

/// A checkpoint whose manifest vouches for files that are hostile.
fn vouch(folder: &Path) {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let sums: BTreeMap<String, FileSum> = files
        .filter(|path| path.file_name().unwrap() != super::manifest::MANIFEST)
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let bytes = fs::metadata(&path).unwrap().len();
            (name, FileSum { bytes, sha256: super::manifest::sha256_of(&path).unwrap() })
        })
        .collect();
    let manifest = serde_json::to_vec(&Manifest::new(sums)).unwrap();
    fs::write(folder.join(super::manifest::MANIFEST), manifest).unwrap();
}

/// A safetensors header of this text, with these bytes of data after it.
fn safetensors(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

#[test]
fn claims_beyond_the_file_are_refused() {
    let layout = layout();
    let (folder, checkpoints) = two_checkpoints(&layout);
    let step = folder.path().join("checkpoints/step-00000002");
    let huge = 1u64 << 60;
    let name = "embeddings.word_embeddings.weight";
    for bytes in [
        Vec::new(),
        huge.to_le_bytes().to_vec(),
        safetensors("", 0),
        safetensors("{}", 0),
        safetensors(
            &format!(r#"{{"{name}":{{"dtype":"F32","shape":[{huge}],"data_offsets":[0,{huge}]}}}}"#),
            8,
        ),
        safetensors(
            &format!(r#"{{"{name}":{{"dtype":"F32","shape":[{huge},{huge}],"data_offsets":[0,8]}}}}"#),
            8,
        ),
        safetensors(&format!(r#"{{"{name}":{{"dtype":"F32","shape":[3,2],"data_offsets":[8,0]}}}}"#), 24),
        safetensors(&format!(r#"{{"{name}":{{"dtype":"F64","shape":[3,1],"data_offsets":[0,24]}}}}"#), 24),
    ] {
        fs::write(step.join("model.safetensors"), &bytes).unwrap();
        vouch(&step);
        let read = newest(&checkpoints, &layout).unwrap();
        assert_eq!(read.skipped.len(), 1, "{:?}", String::from_utf8_lossy(&bytes));
        assert_whole(&read, &layout, 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Whatever a file of a checkpoint holds, reading gives the older one and a sentence.
    #[test]
    fn any_bytes_in_any_file(file in 0usize..5, bytes in prop::collection::vec(any::<u8>(), 0..300), vouched: bool) {
        let layout = layout();
        let (folder, checkpoints) = two_checkpoints(&layout);
        let path = files_of(folder.path(), 2).swap_remove(file);
        fs::write(&path, &bytes).unwrap();
        if vouched && !path.ends_with(super::manifest::MANIFEST) {
            vouch(path.parent().unwrap());
        }
        let read = newest(&checkpoints, &layout).unwrap();
        prop_assert_eq!(read.skipped.len(), 1);
        assert_whole(&read, &layout, 1);
    }

    /// JSON of the right form with any numbers in it.
    #[test]
    fn any_manifest(bytes: u64, format in 0u32..3, sha256 in "[0-9a-f]{0,70}") {
        let layout = layout();
        let (folder, checkpoints) = two_checkpoints(&layout);
        let sum = serde_json::json!({"bytes": bytes, "sha256": sha256});
        let names = ["model.safetensors", "optimizer.safetensors", "best.safetensors", "state.json", "../x"];
        let files: serde_json::Map<_, _> = names.iter().map(|&name| (name.to_owned(), sum.clone())).collect();
        let manifest = serde_json::json!({"format": format, "files": files}).to_string();
        fs::write(folder.path().join("checkpoints/step-00000002/manifest.json"), manifest).unwrap();
        let read = newest(&checkpoints, &layout).unwrap();
        prop_assert_eq!(read.skipped.len(), 1);
        assert_whole(&read, &layout, 1);
    }
}
