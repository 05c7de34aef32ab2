//! Blocks against candle's autograd on whole logits.

use candle_core::Var;
use proptest::prelude::*;

use super::*;
use crate::objective::log_probabilities::{log_softmax, symmetric_divergences};
use crate::random::Key;

fn leaf(seed: u64, shape: &[usize]) -> Var {
    let count = shape.iter().product::<usize>();
    let values: Vec<f64> = (0..count).map(|i| Key::new(seed).at(i as u64).normal(0)).collect();
    Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap()
}

/// Two passes' rows, the table and the bias, and those of a pass at other weights.
struct Case {
    p: Var,
    q: Var,
    table: Var,
    bias: Var,
    fixed: Decoded,
    targets: Arc<[u32]>,
    weights: Tensor,
}

fn logits(rows: &Tensor, decoder: &Decoder) -> Tensor {
    let table = decoder.table.to_dtype(DType::F64).unwrap();
    rows.matmul(&table.t().unwrap()).unwrap().broadcast_add(&decoder.bias).unwrap()
}

impl Case {
    fn new(seed: u64, rows: usize, hidden: usize, words: usize, dtype: DType) -> Self {
        let target = |row: usize| Key::new(seed + 9).at(row as u64).below(words as u64) as u32;
        let table = |seed| leaf(seed, &[words, hidden]).detach().to_dtype(dtype).unwrap();
        let decoder = Decoder { table: table(seed + 5), bias: leaf(seed + 6, &[words]).as_tensor().detach() };
        Case {
            p: leaf(seed, &[rows, hidden]),
            q: leaf(seed + 1, &[rows, hidden]),
            table: Var::from_tensor(&table(seed + 2)).unwrap(),
            bias: leaf(seed + 3, &[words]),
            fixed: Decoded { rows: leaf(seed + 7, &[rows, hidden]).as_tensor().detach(), decoder },
            targets: (0..rows).map(target).collect(),
            weights: leaf(seed + 4, &[rows]).as_tensor().clone(),
        }
    }

    fn decoder(&self) -> Decoder {
        Decoder { table: self.table.as_tensor().clone(), bias: self.bias.as_tensor().clone() }
    }

    fn decoded(&self, rows: &Var) -> Decoded {
        Decoded { rows: rows.as_tensor().clone(), decoder: self.decoder() }
    }

    /// By candle's autograd on whole logits.
    fn expected(&self) -> [Tensor; 3] {
        let [log_p, log_q] =
            [&self.p, &self.q].map(|rows| log_softmax(&logits(rows, &self.decoder())).unwrap());
        let log_fixed = log_softmax(&logits(&self.fixed.rows, &self.fixed.decoder)).unwrap();
        let targets = Tensor::from_slice(&self.targets, (self.targets.len(), 1), &Device::Cpu).unwrap();
        let losses = log_p.gather(&targets, 1).unwrap().squeeze(1).unwrap().neg().unwrap();
        let divergence = |other: &Tensor| symmetric_divergences(&log_p, other).unwrap();
        [losses, divergence(&log_q), divergence(&log_fixed)]
    }

    fn found(&self, most: usize) -> [Tensor; 3] {
        let Decoder { table, bias } = self.decoder();
        let both = Tensor::cat(&[self.p.as_tensor(), self.q.as_tensor()], 0).unwrap();
        let values = |rows: &Tensor, asked| rows.apply_op3(&table, &bias, InBlocks { asked, most }).unwrap();
        [
            values(&self.p, Asked::Losses(self.targets.clone())),
            values(&both, Asked::Divergences(None)),
            values(&self.p, Asked::Divergences(Some(self.fixed.clone()))),
        ]
    }

    fn gradients(&self, values: &Tensor) -> Vec<Vec<f64>> {
        let gradients = (values * &self.weights).unwrap().sum_all().unwrap().backward().unwrap();
        let leaves = [&self.p, &self.q, &self.table, &self.bias].into_iter();
        let found = leaves.filter_map(|leaf| gradients.get(leaf));
        found.map(|g| g.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()).collect()
    }
}

fn assert_close(a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(1e-3f64, |m, x| m.max(x.abs()));
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= tolerance * largest, "{a} {b}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Blocks of one row, blocks that do not come out even, and a single one, in both dtypes.
    #[test]
    fn blocks_give_what_autograd_gives_on_whole_logits(
        rows in 1usize..20, hidden in 1usize..40, words in 2usize..120,
        block in 1usize..25, seed in any::<u32>(), is_f64 in any::<bool>(), left_out in 0usize..25,
    ) {
        let (dtype, tolerance) = if is_f64 { (DType::F64, 1e-10) } else { (DType::F32, 3e-5) };
        let mut case = Case::new(u64::from(seed), rows, hidden, words, dtype);
        let mut weights: Vec<f64> = case.weights.to_vec1().unwrap();
        weights.iter_mut().take(left_out).step_by(2).for_each(|weight| *weight = 0.0);
        case.weights = Tensor::from_vec(weights, rows, &Device::Cpu).unwrap();
        for (found, expected) in case.found(block * words).iter().zip(&case.expected()) {
            assert_close(&found.to_vec1().unwrap(), &expected.to_vec1().unwrap(), tolerance);
            let (ours, theirs) = (case.gradients(found), case.gradients(expected));
            prop_assert_eq!(ours.len(), theirs.len());
            for (ours, theirs) in ours.iter().zip(&theirs) {
                assert_close(ours, theirs, tolerance);
            }
        }
    }
}

/// A pass at other weights is compared by its own decoder, on either side, and two that want gradients are refused.
#[test]
fn a_pass_at_other_weights_keeps_its_decoder() {
    let case = Case::new(3, 7, 12, 60, DType::F64);
    let ours = case.decoded(&case.p);
    let expected: Vec<f64> = case.expected()[2].to_vec1().unwrap();
    for divergences in [ours.divergences(&case.fixed), case.fixed.divergences(&ours)] {
        assert_close(&divergences.unwrap().to_vec1().unwrap(), &expected, 1e-10);
    }
    let other = Case::new(4, 7, 12, 60, DType::F64);
    assert!(ours.divergences(&other.decoded(&other.p)).is_err());
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let case = Case::new(5, 150, 48, 3000, DType::F32);
    let run = || {
        let found = case.found(64 * 3000);
        let values = found.each_ref().map(|values| values.to_vec1::<f64>().unwrap());
        (values, found.each_ref().map(|values| case.gradients(values)))
    };
    let on = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run);
    let one = on(1);
    for threads in [2, 5, 16] {
        assert!(one == on(threads), "{threads} threads");
    }
}
