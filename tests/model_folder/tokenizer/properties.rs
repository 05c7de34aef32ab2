//! What holds for any text, however long.

use super::*;
use proptest::prelude::*;
use std::time::{Duration, Instant};

pub fn arbitrary_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<String>(),
        "[a-z ]{0,30}",
        Just("[MASK]".to_owned()),
        Just(" <mask> ".to_owned()),
        Just("</s>".to_owned()),
        Just("\u{301} \u{200b}".to_owned()),
        " {1,8}[A-Z北ひ]{0,3}[.,']",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_framed_and_within_the_length(text in arbitrary_text(), max_length in 2usize..40) {
        for kind in KINDS {
            let tokenizer = small(kind);
            let ids = tokenizer.encode(&text, max_length).unwrap();
            prop_assert!(ids.len() <= max_length);
            let frame = tokenizer.encode("", 2).unwrap();
            prop_assert_eq!([ids[0], ids[ids.len() - 1]], [frame[0], frame[1]]);
            // A vocabulary that ends before the id does not fit it.
            prop_assert!(ids.iter().all(|id| tokenizer.fits(*id as usize).is_err()));
            // A shorter length keeps the beginning of what a longer one keeps.
            let longer = tokenizer.encode(&text, max_length + 7).unwrap();
            prop_assert_eq!(&ids[..ids.len() - 1], &longer[..ids.len() - 1]);
        }
    }

    /// Words are told apart beside the very ids that a sentence has without them; special tokens are of none.
    #[test]
    fn words_lie_over_the_tokens_of_a_sentence(text in arbitrary_text(), max_length in 2usize..60) {
        for kind in KINDS {
            let tokenizer = small(kind);
            let (ids, words) = tokenizer.encode_words(&text, max_length).unwrap();
            prop_assert_eq!(&ids, &tokenizer.encode(&text, max_length).unwrap());
            prop_assert_eq!(words.len(), ids.len());
            let of_words: Vec<u32> = words.iter().copied().flatten().collect();
            prop_assert!(of_words.is_sorted());
            prop_assert_eq!([words[0], words[ids.len() - 1]], [None, None]);
        }
    }

    /// A long text is tokenized only in part for a short length, and in full for one that nothing exceeds.
    #[test]
    fn part_of_a_long_text_gives_the_tokens_of_the_whole(
        pieces in prop::collection::vec(arbitrary_text(), 1..6),
        repeats in 20usize..120,
        max_length in 2usize..200,
    ) {
        let text = pieces.concat().repeat(repeats);
        for kind in WORDWISE {
            let tokenizer = small(kind);
            let whole = tokenizer.encode(&text, 10_000_000).unwrap();
            let part = tokenizer.encode(&text, max_length).unwrap();
            let kept = whole.len().min(max_length) - 1;
            prop_assert_eq!(part.len(), kept + 1);
            prop_assert_eq!(&part[..kept], &whole[..kept]);
        }
    }
}

#[test]
fn a_sentence_of_a_megabyte_takes_bounded_time() {
    let megabyte = 1 << 20;
    let units = ["a", " ", "word ", "北", "<mask>", "[MASK]", "\u{301}", "a."];
    let mut texts: Vec<String> = units.iter().map(|unit| unit.repeat(megabyte / unit.len())).collect();
    texts.push(format!("{}<mask> end", " ".repeat(megabyte)));
    for kind in WORDWISE {
        for text in &texts {
            let beginning: String = text.chars().take(8).collect();
            let start = Instant::now();
            let ids = small(kind).encode(text, 50).unwrap();
            println!("{kind} {beginning:?}: {} tokens in {:?}", ids.len(), start.elapsed());
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "{kind} {beginning:?} took {:?}",
                start.elapsed()
            );
            assert!(ids.len() <= 50);
        }
    }
}
