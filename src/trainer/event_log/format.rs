//! The form of an event file: TensorFlow's record framing around the part of its `Event` message that a log of scalars
//! needs, with the field numbers of event.proto and summary.proto.

use std::io::{self, Read};

use prost::Message;

/// What every event file begins with; versions from 2 on tell a restart by a [`SessionLog`].
pub const FILE_VERSION: &str = "brain.Event:2";

/// `SessionLog.SessionStatus`: what was logged of this step and of later ones is void.
const START: i32 = 1;

#[derive(Clone, PartialEq, prost::Message)]
pub struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    #[prost(int64, tag = "2")]
    pub step: i64,
    #[prost(string, optional, tag = "3")]
    pub file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    pub summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    pub session_log: Option<SessionLog>,
    /// Who wrote the file, in its first event.
    #[prost(message, optional, tag = "10")]
    pub source_metadata: Option<SourceMetadata>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<Value>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Value {
    #[prost(string, tag = "1")]
    pub tag: String,
    #[prost(float, optional, tag = "2")]
    pub simple_value: Option<f32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct SessionLog {
    #[prost(int32, tag = "1")]
    pub status: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct SourceMetadata {
    #[prost(string, tag = "1")]
    pub writer: String,
}

impl Event {
    /// The first event of a file.
    pub fn first(wall_time: f64, writer: &str) -> Self {
        Event {
            wall_time,
            file_version: Some(FILE_VERSION.to_owned()),
            source_metadata: Some(SourceMetadata { writer: writer.to_owned() }),
            ..Event::default()
        }
    }

    /// From here on `step` and what follows it are logged anew.
    pub fn start(wall_time: f64, step: u64) -> Self {
        let session_log = Some(SessionLog { status: START });
        Event { wall_time, step: step as i64, session_log, ..Event::default() }
    }

    /// Scalars of a step, by their tags.
    pub fn scalars(wall_time: f64, step: u64, scalars: Vec<(String, f64)>) -> Self {
        let value = |(tag, value): (String, f64)| Value { tag, simple_value: Some(value as f32) };
        let summary = Some(Summary { values: scalars.into_iter().map(value).collect() });
        Event { wall_time, step: step as i64, summary, ..Event::default() }
    }

    /// The event as a record: its length (u64), the length's sum, the message, the message's sum.
    pub fn record(&self) -> Vec<u8> {
        let message = self.encode_to_vec();
        let length = (message.len() as u64).to_le_bytes();
        let mut record = Vec::with_capacity(message.len() + 16);
        record.extend(length);
        record.extend(masked_sum(&length).to_le_bytes());
        record.extend(&message);
        record.extend(masked_sum(&message).to_le_bytes());
        record
    }

    /// The first event of a file; `None` where it does not begin with a whole record of one.
    pub fn read_first(file: &mut impl Read) -> io::Result<Option<Event>> {
        /// A first event holds a version and a writer's name; anything longer is something else.
        const LONGEST: u64 = 4096;
        let mut bytes = Vec::new();
        file.take(LONGEST).read_to_end(&mut bytes)?;
        Ok(first_message(&bytes).and_then(|message| Event::decode(message).ok()))
    }
}

/// The message of the first record of these bytes.
fn first_message(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*sum) != masked_sum(length) {
        return None;
    }
    let message = rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let sum = rest[message.len()..].first_chunk::<4>()?;
    (u32::from_le_bytes(*sum) == masked_sum(message)).then_some(message)
}

/// CRC-32C, turned and shifted so that a sum over bytes that hold sums is none of them.
fn masked_sum(bytes: &[u8]) -> u32 {
    const DELTA: u32 = 0xa282_ead8;
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(DELTA)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::output::sums::hex;

    /// The bytes that TensorFlow's own writer gives for a file's first event at second 1.5, without a writer's name.
    #[test]
    fn a_record_is_framed_as_tensorflow_frames_it() {
        let event = Event { wall_time: 1.5, file_version: Some(FILE_VERSION.to_owned()), ..Event::default() };
        let golden = "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c";
        assert_eq!(hex(&event.record()), golden);
    }

    #[test]
    fn a_first_event_is_read_back_and_a_damaged_one_is_not() {
        let event = Event::first(2.0, "mirror");
        let record = event.record();
        assert_eq!(Event::read_first(&mut record.as_slice()).unwrap(), Some(event));
        for length in 0..record.len() {
            assert_eq!(Event::read_first(&mut &record[..length]).unwrap(), None, "{length}");
        }
        for bit in 0..8 * record.len() {
            let mut damaged = record.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Event::read_first(&mut damaged.as_slice()).unwrap(), None, "{bit}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(Event::read_first(&mut bytes.as_slice()).unwrap(), None);
        }
    }
}
