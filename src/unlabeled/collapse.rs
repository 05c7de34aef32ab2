//! Whether training made embeddings collapse: all sentences alike, or distinct in a few directions only.

use sts_eval::unlabeled::Unlabeled;

/// Fewer sentences have numbers that a few of them decide.
const FEWEST_SENTENCES: usize = 10;

/// Uniformity above which sentences are nearly the same: it is that of pairs at ‖x − y‖² = 0.05, a cosine of 0.975.
const NEARLY_THE_SAME: f64 = -0.1;

/// What is left of a number that has collapsed, as a share of what it was.
const LEFT: f64 = 0.5;

/// The signs of collapse, as a clause for the user; none where there are none.
///
/// Contrastive training pushes sentences apart: uniformity falls, and the effective dimension and the share of views
/// that find their sentence stay or rise. It has failed where one of them did the opposite, and by half:
///
/// - uniformity is above −0.1 (all sentences nearly the same) and has lost half of its distance from 0;
/// - the effective dimension has halved (distinct in fewer directions, *dimensional collapse*);
/// - the mean reciprocal rank has halved (a view no longer finds its sentence).
///
/// The comparison is with the model before training, since a plain language model may have embeddings that all lie
/// in a narrow cone (RoBERTa's first token: uniformity about 0) without anything having gone wrong in training. Healthy
/// runs do not come near: the built-in model has uniformity −1.33 before, −2.64 after, dimension 22 and 25; with a
/// learning rate of 0.01 both are 0.00 and 1.0 within a dozen steps.
pub fn collapse(before: &Unlabeled, after: &Unlabeled) -> Option<String> {
    if after.sentences < FEWEST_SENTENCES {
        return None;
    }
    let halved = |number: fn(&Unlabeled) -> Option<f64>| -> Option<(f64, f64)> {
        let (before, after) = (number(before)?, number(after)?);
        (after.abs() < LEFT * before.abs()).then_some((before, after))
    };
    let mut signs = Vec::new();
    if halved(|u| u.uniformity).is_some_and(|(_, after)| after > NEARLY_THE_SAME) {
        let cosine = |u: &Unlabeled| u.mean_cosine.unwrap_or(f64::NAN);
        signs.push(format!(
            "two random sentences have a cosine of {:.3} (before training {:.3})",
            cosine(after),
            cosine(before)
        ));
    }
    if let Some((before, after)) = halved(|u| u.effective_dimension) {
        signs.push(format!("the effective dimension is {after:.1} (before {before:.1})"));
    }
    if let Some((before, after)) = halved(|u| u.mrr) {
        signs.push(format!("the MRR of masked views is {after:.3} (before {before:.3})"));
    }
    (!signs.is_empty()).then(|| signs.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(sentences: usize, mrr: f64, uniformity: f64, effective_dimension: f64) -> Unlabeled {
        Unlabeled {
            sentences,
            views: sentences,
            recall_at_1: Some(mrr),
            mrr: Some(mrr),
            mean_rank: Some(1.0 / mrr),
            alignment: Some(0.1),
            uniformity: Some(uniformity),
            mean_cosine: Some(1.0 + uniformity / 4.0),
            effective_dimension: Some(effective_dimension),
        }
    }

    #[test]
    fn each_sign_is_told_and_what_is_healthy_is_not() {
        let before = measured(500, 0.99, -1.33, 22.0);
        let signs = |after: Unlabeled| collapse(&before, &after).unwrap_or_default();
        assert_eq!(signs(measured(500, 0.99, -2.64, 25.0)), "");
        assert_eq!(signs(measured(500, 0.95, -1.0, 15.0)), "", "worse, and no collapse");
        assert!(
            signs(measured(500, 0.99, -0.01, 20.0)).contains("a cosine of 0.998 (before training 0.667)")
        );
        assert_eq!(signs(measured(500, 0.99, -2.0, 3.0)), "the effective dimension is 3.0 (before 22.0)");
        assert_eq!(signs(measured(500, 0.1, -1.5, 22.0)), "the MRR of masked views is 0.100 (before 0.990)");
        assert_eq!(signs(measured(500, 0.1, -0.0, 0.0)).matches(", ").count(), 2);
    }

    #[test]
    fn a_model_that_began_in_a_narrow_cone_has_not_collapsed() {
        let before = measured(500, 0.97, -0.02, 30.0);
        assert_eq!(collapse(&before, &measured(500, 0.97, -0.019, 30.0)), None);
        assert!(collapse(&before, &measured(500, 0.97, -0.001, 30.0)).is_some());
    }

    #[test]
    fn a_handful_of_sentences_or_an_undefined_number_says_nothing() {
        let (before, after) = (measured(5, 0.9, -1.0, 3.0), measured(5, 0.3, -0.0, 1.0));
        assert_eq!(collapse(&before, &after), None);
        let (before, after) = (measured(50, 0.9, -1.0, 3.0), measured(50, 0.9, -1.0, 3.0));
        assert_eq!(collapse(&before, &Unlabeled { mrr: None, uniformity: None, ..after }), None);
    }
}
