//! Measures without labels: values known by hand, the definitions written out, and what a collapsed encoder gets.

use ndarray::{Array2, Axis, array};
use proptest::prelude::*;
use sts_eval::geometry::{alignment, effective_dimension, mean_cosine, uniformity, unit_rows};
use sts_eval::unlabeled::{Unlabeled, UnlabeledForm, UnlabeledReport, Views, evaluate_views, ranks};

fn near(found: Option<f64>, expected: f64) {
    let found = found.unwrap();
    assert!((found - expected).abs() < 1e-9, "{found} instead of {expected}");
}

#[test]
fn four_directions_at_right_angles() {
    let units = unit_rows(Array2::<f32>::from_diag_elem(4, 3.0).view());
    near(uniformity(&units), -4.0); // ‖x − y‖² = 2 for all pairs
    near(mean_cosine(&units), 0.0);
    near(effective_dimension(&units), 3.0); // a regular simplex
    near(alignment(&units, &units), 0.0);
    let turned = units.select(Axis(0), &[1, 2, 3, 0]);
    near(alignment(&units, &turned), 2.0);
    assert_eq!(ranks(&turned, &[1, 2, 3, 0], &units), [1; 4]);
    assert_eq!(ranks(&turned, &[0, 1, 2, 3], &units), [4; 4], "as near as the others is no find");
}

#[test]
fn two_opposite_clusters_lie_on_a_line() {
    let units = unit_rows(array![[2.0f32, 0.0], [1.0, 0.0], [-1.0, 0.0], [-5.0, 0.0]].view());
    near(effective_dimension(&units), 1.0);
    near(mean_cosine(&units), (2.0 - 4.0) / 6.0);
    near(uniformity(&units), ((2.0 + 4.0 * (-8.0f64).exp()) / 6.0).ln());
}

/// More rows than the sums over pairs take at a time.
#[test]
fn uniformity_of_two_opposite_points_with_hundreds_of_sentences_each() {
    let rows = Array2::from_shape_fn((600, 2), |(row, column)| match (row % 2, column) {
        (_, 1) => 0.0,
        (0, _) => 2.0f32,
        _ => -3.0,
    });
    let together = 2.0 * (300.0 * 299.0 / 2.0);
    let expected = ((together + 300.0 * 300.0 * (-8.0f64).exp()) / (600.0 * 599.0 / 2.0)).ln();
    near(uniformity(&unit_rows(rows.view())), expected);
    near(effective_dimension(&unit_rows(rows.view())), 1.0);
    assert_eq!(alignment(&Array2::zeros((0, 2)), &Array2::zeros((0, 2))), None);
    assert_eq!(uniformity(&Array2::ones((1, 3))), None);
}

#[test]
fn a_collapsed_encoder_finds_nothing() {
    let same = Array2::from_elem((20, 6), 0.3f32);
    let own: Vec<usize> = (0..20).collect();
    let found = Unlabeled::of(&same, &same, &own);
    assert_eq!((found.recall_at_1, found.mean_rank), (Some(0.0), Some(20.0)));
    near(found.mrr, 0.05);
    near(found.uniformity, 0.0);
    near(found.mean_cosine, 1.0);
    assert_eq!(found.effective_dimension, Some(0.0));
}

#[test]
fn what_is_undefined_is_null() {
    let one = Array2::from_elem((1, 3), 1.0f32);
    let found = Unlabeled::of(&one, &Array2::zeros((0, 3)), &[]);
    let report = UnlabeledReport { model: "m\u{1b}|".to_owned(), unlabeled: found };
    let written = |form: UnlabeledForm| {
        let mut bytes = Vec::new();
        form.write(std::slice::from_ref(&report), &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    let json: serde_json::Value = serde_json::from_str(&written(UnlabeledForm::Json)).unwrap();
    for key in
        ["recall_at_1", "mrr", "mean_rank", "alignment", "uniformity", "mean_cosine", "effective_dimension"]
    {
        assert!(json[key].is_null(), "{key}: {json}");
    }
    assert_eq!(serde_json::from_value::<UnlabeledReport>(json).unwrap(), report);
    assert!(
        written(UnlabeledForm::Table).contains("m?|")
            && written(UnlabeledForm::Markdown).contains("| m?\\| |")
    );
}

#[test]
fn views_are_encoded_with_their_sentences() {
    let encoder = |texts: &[&str]| -> Result<Array2<f32>, std::io::Error> {
        assert!(texts.len() <= 2);
        let row = |text: &&str| [text.matches('a').count() as f32, text.matches('b').count() as f32];
        Ok(texts.iter().map(row).collect::<Vec<_>>().into())
    };
    let views = Views {
        sentences: vec!["aaa".into(), "bbb".into(), "ab".into()],
        views: vec![(1, "b".into()), (0, "ab".into())],
    };
    let mut told = 0;
    let found = evaluate_views(&views, &encoder, 2, |progress| told = progress.encoded).unwrap();
    assert_eq!((found.sentences, found.views, told), (3, 2, 5));
    assert_eq!((found.recall_at_1, found.mean_rank), (Some(0.5), Some(2.0)));
    let broken = |texts: &[&str]| -> Result<Array2<f32>, std::io::Error> {
        Ok(Array2::from_elem((texts.len(), 2), f32::NAN))
    };
    let error = evaluate_views(&views, &broken, 2, |_| {}).unwrap_err().to_string();
    assert!(error.contains("NaN"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The sums over pairs, and the covariance matrix, as the definitions say them.
    #[test]
    fn agrees_with_the_definitions(
        (n, width) in (2usize..12, 1usize..24),
        values in proptest::collection::vec(-9i8..9, 12 * 24),
    ) {
        let embeddings = Array2::from_shape_fn((n, width), |(i, j)| f32::from(values[24 * i + j]) + 0.5);
        let units = unit_rows(embeddings.view());
        let (mut potential, mut cosines, mut pairs) = (0.0, 0.0, 0.0);
        for i in 0..n {
            for j in 0..i {
                let difference = &units.row(i) - &units.row(j);
                potential += (-2.0 * difference.dot(&difference)).exp();
                cosines += units.row(i).dot(&units.row(j));
                pairs += 1.0;
            }
        }
        prop_assert!((uniformity(&units).unwrap() - (potential / pairs).ln()).abs() < 1e-9);
        prop_assert!((mean_cosine(&units).unwrap() - cosines / pairs).abs() < 1e-9);

        let centred = &units - &units.mean_axis(Axis(0)).unwrap();
        let covariance = centred.t().dot(&centred) / n as f64;
        let (trace, squares) = (covariance.diag().sum(), covariance.mapv(|v| v * v).sum());
        let found = effective_dimension(&units).unwrap();
        if trace > 1e-9 {
            prop_assert!((found - trace * trace / squares).abs() < 1e-6 * found);
            prop_assert!(found >= 1.0 - 1e-9 && found <= (n - 1).min(width) as f64 + 1e-9);
        }
    }

    /// The same bits with one thread or several.
    #[test]
    fn threads_do_not_matter(values in proptest::collection::vec(-9i8..9, 30 * 11)) {
        let value = |i: usize, j: usize| f32::from(values[11 * (i % 30) + j]) + i as f32 / 64.0;
        let embeddings = Array2::from_shape_fn((600, 11), |(i, j)| value(i, j));
        let own: Vec<usize> = (0..600).collect();
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Unlabeled::of(&embeddings, &embeddings, &own))
        };
        prop_assert_eq!(with(1), with(3));
    }
}
