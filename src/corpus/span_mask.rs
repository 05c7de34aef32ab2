//! The second view of a sentence: the sentence with one span of characters masked.

use crate::random::Key;

/// Sentences of fewer code points are left as they are.
const SHORTEST: usize = 30;

/// Code points that a sentence must have for a span of `span` to be masked in it.
pub fn shortest_masked(span: usize) -> usize {
    SHORTEST.max(span.saturating_add(1))
}

/// Replaces one random span of `span` code points: left part, space, mask token, space, right part. The
/// spaces stand even where the span lay inside a word or beside a space, and at the sentence's start.
///
/// A sentence of fewer than 30 code points, or of no more than `span`, is returned as it is, and so is
/// any sentence for `span` 0. The start is uniform over `0..length − span`, so the very last position
/// is never drawn. All of this follows `erase_and_mask` of Mirror-BERT, with one difference: the
/// original cuts at the *first* occurrence of the drawn characters, this at the drawn place.
///
/// Code points are never split. A character that is made of several (a letter and its accent, a flag)
/// may be.
pub fn mask_span(sentence: &str, span: usize, mask_token: &str, key: Key) -> String {
    let length = sentence.chars().count();
    if span == 0 || length < shortest_masked(span) {
        return sentence.to_owned();
    }
    let start = key.below((length - span) as u64) as usize;
    let (left, rest) = sentence.split_at(byte_of(sentence, start));
    let (_, right) = rest.split_at(byte_of(rest, span));
    format!("{left} {mask_token} {right}")
}

/// Where code point `n` starts; the end of the text if it has no more.
fn byte_of(text: &str, n: usize) -> usize {
    text.char_indices().nth(n).map_or(text.len(), |(byte, _)| byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reproduces_the_form_of_the_original() {
        let sentence = "abcdefghijklmnopqrstuvwxyz0123";
        let masked = mask_span(sentence, 5, "[MASK]", Key::new(1));
        let (left, right) = masked.split_once(" [MASK] ").unwrap();
        assert!(sentence.starts_with(left) && sentence.ends_with(right));
        assert_eq!(left.len() + right.len(), 25);
        assert_eq!(mask_span(&sentence[1..], 5, "[MASK]", Key::new(1)), sentence[1..], "29 characters");
        assert_eq!(mask_span(sentence, 0, "[MASK]", Key::new(1)), sentence);
        assert_eq!(mask_span(sentence, 30, "[MASK]", Key::new(1)), sentence);
        assert_eq!(mask_span(sentence, 29, "[MASK]", Key::new(1)), " [MASK] 3");
        assert_eq!(mask_span(&"é".repeat(30), 29, "<mask>", Key::new(1)), " <mask> é");
    }

    #[test]
    fn every_start_but_the_last_is_drawn_equally_often() {
        let sentence = "abcdefghijklmnopqrstuvwxyz0123";
        let mut counts = [0u32; 26];
        let trials = 25_000;
        for i in 0..trials {
            let masked = mask_span(sentence, 5, "#", Key::new(42).at(i));
            counts[masked.find(" # ").unwrap()] += 1;
        }
        assert_eq!(counts[25], 0);
        for (start, &count) in counts[..25].iter().enumerate() {
            // Five standard deviations of a binomial with mean 1000.
            assert!((850..1150).contains(&count), "start {start}: {count}");
        }
    }

    #[test]
    fn a_repeated_span_is_cut_where_it_was_drawn() {
        let sentence = "x".repeat(40);
        let lefts: std::collections::HashSet<usize> =
            (0..50).map(|i| mask_span(&sentence, 5, "#", Key::new(i)).find(" # ").unwrap()).collect();
        assert!(lefts.len() > 10, "the original would always cut at 0: {lefts:?}");
    }

    proptest! {
        #[test]
        fn any_unicode_is_cut_between_code_points(
            sentence in "\\PC{0,80}", span in 0usize..40, seed in any::<u64>(),
        ) {
            let length = sentence.chars().count();
            let masked = mask_span(&sentence, span, "\u{0}", Key::new(seed));
            if span == 0 || length < 30 || length <= span {
                prop_assert_eq!(masked, sentence);
            } else {
                prop_assert_eq!(masked.chars().count(), length - span + 3);
                let (left, right) = masked.split_once(" \u{0} ").unwrap();
                prop_assert!(sentence.starts_with(left) && sentence.ends_with(right));
            }
        }
    }
}
