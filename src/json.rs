//! Third-party JSON files: a byte-order mark before the first brace is no part of them.

use serde::de::{DeserializeOwned, Error};

/// The mark by which some editors begin UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Parses a file's bytes; a byte-order mark at their beginning is passed over.
pub(crate) fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        return Err(serde_json::Error::custom("it is UTF-16; save it as UTF-8"));
    }
    serde_json::from_slice(bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_file() {
        for bytes in [&b"{\"a\":1}"[..], b"\xEF\xBB\xBF{\"a\":1}"] {
            assert_eq!(from_slice::<Value>(bytes).unwrap()["a"], 1);
        }
        let error = from_slice::<Value>(b"\xFF\xFE{\0}\0").unwrap_err().to_string();
        assert!(error.contains("save it as UTF-8"), "{error}");
        assert!(from_slice::<Value>(b"\xEF\xBB\xBF").is_err());
    }
}
