//! The pairs of scored sets as ranks: all that rank correlations and their resamples need, in two bytes a pair and side.
//!
//! The file is an array of numpy's, `<u2` or, for more pairs than that counts, `<u4`, of shape [2, pairs]: gold scores and
//! similarities, the sets one after another. A rank counts the distinct smaller values of its set, so equal values stay
//! equal.

use std::fs;
use std::path::Path;

use indexmap::IndexMap;
use sts_eval::ScoredTask;

use super::SweepError;
use crate::output::write_whole;

/// The file's name in a cell's folder.
pub const RANKS: &str = "ranks.npy";

/// numpy's format, version 1.0: magic, length of the header, a dictionary padded with blanks.
const HEADER: usize = 128;

/// Writes the ranks of scored tasks.
pub(super) fn write(path: &Path, scored: &[ScoredTask]) -> Result<(), SweepError> {
    let sides = [
        scored.iter().flat_map(|task| ranks(&task.gold)).collect::<Vec<u32>>(),
        scored.iter().flat_map(|task| ranks(&task.cosines)).collect(),
    ];
    let pairs = sides[0].len();
    let wide = sides.iter().flatten().any(|&rank| u16::try_from(rank).is_err());
    let name = if wide { "<u4" } else { "<u2" };
    let mut bytes = vec![b' '; HEADER];
    bytes[..8].copy_from_slice(b"\x93NUMPY\x01\x00");
    bytes[8..10].copy_from_slice(&((HEADER - 10) as u16).to_le_bytes());
    let dictionary = format!("{{'descr': '{name}', 'fortran_order': False, 'shape': (2, {pairs}), }}");
    bytes[10..10 + dictionary.len()].copy_from_slice(dictionary.as_bytes());
    bytes[HEADER - 1] = b'\n';
    for rank in sides.iter().flatten() {
        bytes.extend_from_slice(&rank.to_le_bytes()[..if wide { 4 } else { 2 }]);
    }
    Ok(write_whole(path, &bytes)?)
}

/// Reads ranks back as tasks, of which `pairs` has the names and sizes in their order.
pub(super) fn read(path: &Path, pairs: &IndexMap<String, usize>) -> Result<Vec<ScoredTask>, SweepError> {
    let bytes = fs::read(path).map_err(|source| SweepError::Read { path: path.to_owned(), source })?;
    let damaged = |what: &str| SweepError::Damaged { path: path.to_owned(), what: what.to_owned() };
    if bytes.len() < HEADER || !bytes.starts_with(b"\x93NUMPY\x01\x00") {
        return Err(damaged("it is no array of ranks"));
    }
    let total: usize = pairs.values().sum();
    let header = String::from_utf8_lossy(&bytes[10..HEADER]).into_owned();
    let values: Vec<f64> = match () {
        () if header.starts_with("{'descr': '<u2'") => {
            bytes[HEADER..].chunks_exact(2).map(|b| f64::from(u16::from_le_bytes([b[0], b[1]]))).collect()
        }
        () if header.starts_with("{'descr': '<u4'") => bytes[HEADER..]
            .chunks_exact(4)
            .map(|b| f64::from(u32::from_le_bytes([b[0], b[1], b[2], b[3]])))
            .collect(),
        () => return Err(damaged("its ranks have an unknown form")),
    };
    if !header.contains(&format!("(2, {total})")) || values.len() != 2 * total {
        return Err(damaged("it has other pairs than result.json says"));
    }
    let (gold, cosines) = values.split_at(total);
    let mut start = 0;
    let task = |(name, &count): (&String, &usize)| {
        let range = start..start + count;
        start = range.end;
        ScoredTask {
            name: name.clone(),
            gold: gold[range.clone()].to_vec(),
            cosines: cosines[range].to_vec(),
            subsets: vec![(String::new(), 0..count)],
        }
    };
    Ok(pairs.iter().map(task).collect())
}

/// How many distinct smaller values there are, for each value.
fn ranks(values: &[f64]) -> Vec<u32> {
    let mut distinct = values.to_vec();
    distinct.sort_unstable_by(f64::total_cmp);
    // Zeros of both signs are equal.
    distinct.dedup_by(|a, b| a == b);
    values.iter().map(|value| distinct.partition_point(|other| other < value) as u32).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// ρ of the ranks that come back is ρ of the values, to the bit.
        #[test]
        fn correlations_survive(
            first in prop::collection::vec((0u8..6, -1.0f64..1.0), 2..40),
            second in prop::collection::vec((0u8..3, prop::sample::select(vec![-0.5, -0.0, 0.0, 0.25])), 2..40),
        ) {
            let task = |name: &str, pairs: &[(u8, f64)]| ScoredTask {
                name: name.to_owned(),
                gold: pairs.iter().map(|pair| f64::from(pair.0)).collect(),
                cosines: pairs.iter().map(|pair| pair.1).collect(),
                subsets: Vec::new(),
            };
            let tasks = [task("a", &first), task("b", &second)];
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(RANKS);
            write(&path, &tasks).unwrap();
            let pairs = tasks.iter().map(|task| (task.name.clone(), task.gold.len())).collect();
            for (task, back) in tasks.iter().zip(read(&path, &pairs).unwrap()) {
                prop_assert_eq!(task.spearman(), back.spearman());
                prop_assert_eq!(&task.name, &back.name);
            }
        }
    }

    #[test]
    fn more_pairs_than_two_bytes_count_take_four() {
        let values: Vec<f64> = (0..70_000).map(f64::from).collect();
        let task =
            ScoredTask { name: "a".to_owned(), gold: values.clone(), cosines: values, subsets: Vec::new() };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(RANKS);
        write(&path, std::slice::from_ref(&task)).unwrap();
        let back = read(&path, &IndexMap::from([("a".to_owned(), 70_000)])).unwrap();
        assert_eq!(back[0].cosines, task.cosines);
        assert!(read(&path, &IndexMap::from([("a".to_owned(), 69_999)])).is_err());
        std::fs::write(&path, b"not an array").unwrap();
        assert!(read(&path, &IndexMap::new()).is_err());
    }
}
