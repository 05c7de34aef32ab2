//! Damage to inputs that are right: bits, bytes, numbers, cuts, repetitions, pieces of other inputs.

use proptest::prelude::*;
use proptest::sample::Index;

#[derive(Clone, Debug)]
enum Damage {
    Byte(Index, u8),
    Bit(Index, u8),
    Cut(Index),
    Remove(Index, Index),
    Repeat(Index, Index, u16),
    Insert(Index, &'static [u8]),
    /// The digits at or after this place become another number.
    Number(Index, &'static str),
}

/// What readers stumble over.
const PIECES: [&[u8]; 16] = [
    b"\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\0\0\0\0\0\0\0\x10",
    b"\xed\xa0\x80",
    "\u{feff}".as_bytes(),
    b"null",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    b"{\"a\":{\"a\":{\"a\":",
    b"\"",
    b"\r\n\r\n",
    b"\t",
    b"..",
    b"/../../../etc/passwd",
    b"\n\n",
    b"NaN",
    b"Transfer-Encoding: chunked\r\n",
    b",",
];

const NUMBERS: [&str; 9] = [
    "0",
    "-1",
    "1152921504606846976",
    "18446744073709551615",
    "99999999999999999999",
    "1e400",
    "2147483648",
    "0.5",
    "1e-400",
];

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        (any::<Index>(), 0u8..8).prop_map(|(at, bit)| Damage::Bit(at, bit)),
        any::<Index>().prop_map(Damage::Cut),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Damage::Remove(from, to)),
        (any::<Index>(), any::<Index>(), 2u16..300).prop_map(|(from, to, n)| Damage::Repeat(from, to, n)),
        (any::<Index>(), prop::sample::select(PIECES.to_vec()))
            .prop_map(|(at, piece)| Damage::Insert(at, piece)),
        (any::<Index>(), prop::sample::select(NUMBERS.to_vec())).prop_map(|(at, n)| Damage::Number(at, n)),
    ]
}

/// One to four kinds of damage to one of the seeds.
pub fn of(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (prop::sample::select(seeds), prop::collection::vec(damage(), 1..5)).prop_map(|(mut bytes, damages)| {
        damages.iter().for_each(|damage| apply(&mut bytes, damage));
        bytes
    })
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    if bytes.is_empty() {
        return;
    }
    let len = bytes.len();
    let range = |from: &Index, to: &Index| {
        let (a, b) = (from.index(len), to.index(len));
        a.min(b)..a.max(b)
    };
    match damage {
        Damage::Byte(at, byte) => bytes[at.index(len)] = *byte,
        Damage::Bit(at, bit) => bytes[at.index(len)] ^= 1 << bit,
        Damage::Cut(at) => bytes.truncate(at.index(len)),
        Damage::Remove(from, to) => drop(bytes.drain(range(from, to))),
        Damage::Repeat(from, to, times) => {
            let range = range(from, to);
            // Some tens of kilobytes at most.
            let times = usize::from(*times).min(1 + 40_000 / range.len().max(1));
            let piece = bytes[range.clone()].repeat(times);
            bytes.splice(range, piece);
        }
        Damage::Insert(at, piece) => {
            let at = at.index(len);
            bytes.splice(at..at, piece.iter().copied());
        }
        Damage::Number(at, number) => {
            let at = at.index(len);
            let Some(start) = (at..len).find(|&i| bytes[i].is_ascii_digit()) else { return };
            let end = (start..len).find(|&i| !bytes[i].is_ascii_digit()).unwrap_or(len);
            bytes.splice(start..end, number.bytes());
        }
    }
}
