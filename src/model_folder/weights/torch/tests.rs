//! Pickles made to hurt, and views that PyTorch writes.

use std::io::{Cursor, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::pickle::{Value, read};
use super::state::Stored;
use super::{TorchFile, gather};
use candle_core::DType;

/// An archive of `pickle` and of one storage of 8 bytes, as torch.save writes it.
fn archive(pickle: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in [("model/data.pkl", pickle), ("model/data/0", &[0, 0, 128, 63, 0, 0, 0, 64][..])] {
        zip.start_file(name, stored).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn open(pickle: &[u8]) -> Result<TorchFile, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pytorch_model.bin");
    std::fs::write(&path, archive(pickle)).unwrap();
    TorchFile::open(&path)
}

/// {"w": a tensor of the storage with these offset, shape and strides}
fn tensor(offset: u8, shape: &[u8], strides: &[u8]) -> Vec<u8> {
    let tuple = |numbers: &[u8]| {
        let parts: Vec<u8> = numbers.iter().flat_map(|&n| [b'K', n]).collect();
        [b"(", &parts[..], b"t"].concat()
    };
    let text = |text: &str| [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat();
    let storage =
        [b"(", &text("storage")[..], b"ctorch\nFloatStorage\n", &text("0"), &text("cpu"), b"K\x02tQ"]
            .concat();
    [
        b"\x80\x02}(",
        &text("w")[..],
        b"ctorch._utils\n_rebuild_tensor_v2\n(",
        &storage,
        &[b'K', offset],
        &tuple(shape),
        &tuple(strides),
        b"\x89ccollections\nOrderedDict\n)RtRu.",
    ]
    .concat()
}

fn values(pickle: &[u8]) -> Result<Option<Vec<f32>>, String> {
    let read = open(pickle)?.get("w")?;
    Ok(read.map(|tensor| tensor.flatten_all().unwrap().to_vec1().unwrap()))
}

#[test]
fn views_are_read_and_claims_are_refused() {
    assert_eq!(values(&tensor(0, &[2], &[1])), Ok(Some(vec![1.0, 2.0])));
    assert_eq!(values(&tensor(1, &[1], &[1])), Ok(Some(vec![2.0])));
    assert_eq!(values(&tensor(0, &[1, 2], &[2, 1])), Ok(Some(vec![1.0, 2.0])));
    assert_eq!(values(&tensor(0, &[2, 1], &[1, 2])), Ok(Some(vec![1.0, 2.0])));
    assert_eq!(values(&tensor(0, &[0], &[1])), Ok(Some(vec![])));
    assert_eq!(values(&tensor(0, &[2], &[0])), Ok(Some(vec![1.0, 1.0])));
    for claim in
        [tensor(0, &[3], &[1]), tensor(2, &[1], &[1]), tensor(0, &[2], &[2]), tensor(0, &[255; 20], &[0; 20])]
    {
        assert!(values(&claim).unwrap_err().contains("more than the file holds"));
    }
    // As many strides as sizes, or it is no tensor.
    assert_eq!(values(&tensor(0, &[2], &[1, 1])), Ok(None));
}

/// Files that torch.save wrote, of tensors whose size is a lie.
#[test]
fn a_file_may_not_claim_what_is_not_there() {
    for name in ["claims-8-TB.bin", "claims-overflow.bin"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/weights").join(name);
        let file = TorchFile::open(&path).unwrap();
        assert_eq!(file.names(), ["embeddings.word_embeddings.weight"]);
        let error = file.get(&file.names()[0]).unwrap_err();
        assert!(error.contains("more than the file holds") && error.lines().count() == 1, "{name}: {error}");
    }
}

/// What a trainer saved: the dictionary beside other things, or two of them.
#[test]
fn a_dictionary_within_another_one_is_found() {
    let tensor = tensor(1, &[1], &[1]);
    let inner = &tensor[2..tensor.len() - 1];
    let under = |names: &[&str]| {
        let mut pickle = b"\x80\x02}(".to_vec();
        for name in names {
            pickle.extend([b"X", &(name.len() as u32).to_le_bytes()[..], name.as_bytes(), inner].concat());
        }
        [&pickle[..], b"X\x05\0\0\0epochK\x03u."].concat()
    };
    for name in ["state_dict", "model_state_dict", "model"] {
        assert_eq!(values(&under(&[name])), Ok(Some(vec![2.0])));
        assert_eq!(values(&under(&["optimizer", name])), Ok(Some(vec![2.0])));
    }
    assert_eq!(values(&under(&["optimizer"])), Ok(None));
    let error = values(&under(&["model", "state_dict"])).unwrap_err();
    assert!(error.contains("both under \"model\" and under \"state_dict\""), "{error}");
}

/// Row-major order whatever the strides: a transposed matrix of 2 × 3.
#[test]
fn a_transposed_matrix_is_gathered() {
    let stored =
        Stored { dtype: DType::U8, key: "0".into(), offset: 0, shape: vec![2, 3], strides: vec![1, 2] };
    assert!(!stored.is_contiguous());
    assert_eq!(gather(&[0, 1, 2, 3, 4, 5], &stored, 1), [0, 2, 4, 1, 3, 5]);
}

/// Remembered and doubled a hundred times: 2¹⁰⁰ values, were each a copy.
#[test]
fn repetition_takes_no_memory() {
    let bomb = [&b"\x80\x02N\x85q\0"[..], &b"h\0h\0\x86q\0".repeat(100), b"."].concat();
    assert!(matches!(read(&bomb).unwrap().value, Value::Opaque | Value::Tuple(_)));
}

#[test]
fn depth_takes_no_stack() {
    for operation in [&b"\x85"[..], b"Q", b"q\0h\0\x86", b"N\x81"] {
        let bomb = [&b"\x80\x02N"[..], &operation.repeat(2_000_000), b"."].concat();
        assert!(read(&bomb).is_ok(), "{operation:?}");
    }
    let (opened, filled) = (b"}(X\0\0\0\0".repeat(500_000), b"u".repeat(500_000));
    assert!(read(&[b"\x80\x02", &opened[..], b"N", &filled, b"."].concat()).is_ok());
}

#[test]
fn what_is_too_short_is_refused_in_a_sentence() {
    let whole = tensor(0, &[2], &[1]);
    for end in 0..whole.len() - 1 {
        let Err(error) = open(&whole[..end]) else { panic!("read up to {end}") };
        assert!(error.contains("data.pkl") && error.lines().count() == 1, "{error}");
    }
    for (pickle, said) in [
        (&b"\x80\x02N."[..], "not a dictionary"),
        (b"\x80\x02h\x07.", "did not remember"),
        (b"\x80\x02t.", "a mark that is not there"),
        (b"\x80\x02}(Nu.", "a key without a value"),
        (b"\x80\x02i.", "the operation 0x69"),
        (b"\x80\x02X\xff\xff\xff\xffa.", "ends early"),
    ] {
        let error = open(pickle).err().unwrap();
        assert!(error.contains(said), "{error}");
    }
}
