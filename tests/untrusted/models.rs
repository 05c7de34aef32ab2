//! Model folders are untrusted: whatever config.json and the weights hold, loading gives a sentence, not a
//! panic, and takes no more memory than the files on disk do.

use std::fs;
use std::path::Path;

use candle_core::{DType, Device};
use mirror::encoder::{EncoderConfig, Parameters};
use mirror::model_folder::read_parameters;
use proptest::prelude::*;

use crate::surfaces::layout;
use crate::surfaces::model::tensors;

const CONFIG: &str = r#"{"model_type":"bert","vocab_size":120,"hidden_size":32,"num_hidden_layers":2,
    "num_attention_heads":4,"intermediate_size":64,"hidden_act":"gelu","max_position_embeddings":64,
    "type_vocab_size":2,"layer_norm_eps":1e-12,"pad_token_id":0}"#;

/// Where a size is accepted, the layout that follows from it costs little.
fn read_config(text: &str) {
    match EncoderConfig::from_json(text, Path::new("config.json")) {
        Ok(config) => {
            let layout = config.layout();
            assert!(layout.groups.len() <= 1025);
        }
        Err(error) => assert!(error.to_string().starts_with("config.json"), "{error}"),
    }
}

/// Reads weights that are these bytes.
fn read_weights(file: &str, bytes: &[u8]) -> Result<Parameters, String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(file), bytes).unwrap();
    read_parameters(folder.path(), &layout(), DType::F32, &Device::Cpu).map_err(|error| error.to_string())
}

#[test]
fn a_header_may_not_claim_what_is_not_there() {
    assert!(read_weights("model.safetensors", &tensors()).is_ok());
    let claims = |header: String| {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes
    };
    let huge = 1u64 << 60;
    let place = |shape: &str, end: u64| {
        let tensor = format!(r#"{{"dtype":"F32","shape":{shape},"data_offsets":[0,{end}]}}"#);
        claims(format!(r#"{{"embeddings.word_embeddings.weight":{tensor}}}"#))
    };
    for bytes in [
        huge.to_le_bytes().to_vec(),
        [&huge.to_le_bytes()[..], b"{}"].concat(),
        place(&format!("[{huge}]"), 4 * (huge >> 2)),
        place(&format!("[{huge},{huge}]"), 0),
        place("[0,18446744073709551615]", 0),
        place("[3,2]", 24),
    ] {
        let error = read_weights("model.safetensors", &bytes).unwrap_err();
        assert!(error.contains("model.safetensors") && error.lines().count() == 1, "{error}");
    }
}

proptest! {
    #[test]
    fn any_bytes_as_config(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read_config(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_number_in_a_config(
        field in prop::sample::select(vec!["vocab_size", "hidden_size", "num_hidden_layers",
            "num_attention_heads", "intermediate_size", "max_position_embeddings", "type_vocab_size",
            "layer_norm_eps", "pad_token_id", "hidden_act", "model_type"]),
        value in prop_oneof![any::<u64>().prop_map(|n| n.to_string()), any::<i64>().prop_map(|n| n.to_string()),
            any::<f64>().prop_map(|n| format!("{n:e}")), Just("null".to_owned()), Just("[]".to_owned()),
            Just("\"\"".to_owned()), Just("16777216".to_owned()), Just("1e400".to_owned())],
    ) {
        let mut json: serde_json::Map<String, serde_json::Value> = serde_json::from_str(CONFIG).unwrap();
        json.remove(field);
        let rest = serde_json::to_string(&json).unwrap();
        read_config(&format!("{{\"{field}\":{value},{}", &rest[1..]));
    }

    #[test]
    fn a_config_cut_or_changed_anywhere(place in 0..CONFIG.len(), byte in 0u8..128, cut: bool) {
        let mut bytes = CONFIG.as_bytes().to_vec();
        if cut { bytes.truncate(place) } else { bytes[place] = byte }
        read_config(&String::from_utf8(bytes).unwrap());
    }

    #[test]
    fn any_bytes_as_weights(
        file in prop::sample::select(vec!["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"]),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let error = read_weights(file, &bytes).unwrap_err();
        prop_assert!(error.contains(file), "{}", error);
    }

    /// The header, which says where everything is, with any of its bytes changed.
    #[test]
    fn weights_cut_or_changed_anywhere(place: prop::sample::Index, byte: u8, cut: bool) {
        let mut bytes = tensors();
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        if cut { bytes.truncate(place.index(bytes.len())) } else { bytes[place.index(header)] = byte }
        if let Err(error) = read_weights("model.safetensors", &bytes) {
            prop_assert!(error.contains("model.safetensors"), "{}", error);
        }
    }
}
