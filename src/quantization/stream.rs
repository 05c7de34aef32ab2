//! Quantization of embeddings that come a block at a time.

use ndarray::{Array2, s};

use super::{EmbeddingType, QuantizationError, Quantizer, Ranges, Stored};

/// Embeddings at the beginning from which ranges are taken, where no other sample is given: so many are held in
/// memory, and no more.
const SAMPLE: usize = 10_000;

/// Quantizes blocks in their order. Where ranges are still to be found, the first blocks are held back until there are
/// [`SAMPLE`] embeddings, or no more come.
pub struct Stream {
    form: EmbeddingType,
    state: State,
    /// Embeddings that have come.
    seen: u64,
}

enum State {
    Ready(Quantizer),
    Sampling(Vec<Array2<f32>>),
}

impl Stream {
    /// With `ranges`, where a sample gave them.
    pub fn new(form: EmbeddingType, ranges: Option<&Ranges>) -> Self {
        let state = match ranges {
            None if form.has_ranges() => State::Sampling(Vec::new()),
            ranges => State::Ready(Quantizer::new(form, ranges.unwrap_or(&Ranges::default()))),
        };
        Stream { form, state, seen: 0 }
    }

    /// What can be stored now that these embeddings `[n, width]` have come.
    ///
    /// # Errors
    /// A value that the type cannot hold.
    pub fn push(&mut self, embeddings: Array2<f32>) -> Result<Vec<Stored>, QuantizationError> {
        self.check(&embeddings)?;
        self.seen += embeddings.nrows() as u64;
        match &mut self.state {
            State::Ready(quantizer) => Ok(vec![quantizer.store(embeddings)]),
            State::Sampling(held) => {
                held.push(embeddings);
                if self.seen < SAMPLE as u64 { Ok(Vec::new()) } else { Ok(self.release().0) }
            }
        }
    }

    /// What is left at the end, and of how many embeddings the ranges are, where these were held back for them.
    ///
    /// # Errors
    /// Ranges are to be those of a single embedding.
    pub fn finish(mut self) -> Result<(Vec<Stored>, Option<u64>), QuantizationError> {
        match &self.state {
            State::Sampling(_) if self.seen == 1 => Err(QuantizationError::OneEmbedding { form: self.form }),
            State::Sampling(_) => {
                let (stored, rows) = self.release();
                Ok((stored, Some(rows)))
            }
            State::Ready(_) => Ok((Vec::new(), None)),
        }
    }

    /// Quantizes what was held back by its own ranges, and all that comes later by them, too.
    fn release(&mut self) -> (Vec<Stored>, u64) {
        let State::Sampling(held) = &mut self.state else { return (Vec::new(), 0) };
        let held = std::mem::take(held);
        let mut ranges = Ranges::default();
        for block in &held {
            let rows = block.nrows().min(SAMPLE - ranges.rows() as usize);
            ranges.include(block.slice(s![..rows, ..]));
        }
        let quantizer = Quantizer::new(self.form, &ranges);
        let stored = held.into_iter().map(|block| quantizer.store(block)).collect();
        self.state = State::Ready(quantizer);
        (stored, ranges.rows())
    }

    fn check(&self, embeddings: &Array2<f32>) -> Result<(), QuantizationError> {
        match self.form.out_of_range(embeddings) {
            Some(row) => {
                Err(QuantizationError::OutOfRange { line: self.seen + row as u64 + 1, form: self.form })
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::Key;

    fn random(rows: usize, seed: u64) -> Array2<f32> {
        Array2::from_shape_fn((rows, 3), |(row, column)| {
            Key::new(seed).at(row as u64).normal(column as u32) as f32
        })
    }

    /// All rows of what a stream gives.
    fn collected(stored: Vec<Stored>) -> Vec<Vec<i8>> {
        let rows = |stored: Stored| match stored {
            Stored::I8(rows) => rows.rows().into_iter().map(|row| row.to_vec()).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        stored.into_iter().flat_map(rows).collect()
    }

    fn streamed(embeddings: &Array2<f32>, block: usize, ranges: Option<&Ranges>) -> Vec<Vec<i8>> {
        let mut stream = Stream::new(EmbeddingType::Int8, ranges);
        let mut stored = Vec::new();
        for block in embeddings.axis_chunks_iter(ndarray::Axis(0), block) {
            stored.extend(stream.push(block.to_owned()).unwrap());
        }
        stored.extend(stream.finish().unwrap().0);
        collected(stored)
    }

    fn of_first(embeddings: &Array2<f32>, rows: usize) -> Ranges {
        let mut ranges = Ranges::default();
        ranges.include(embeddings.slice(s![..rows.min(embeddings.nrows()), ..]));
        ranges
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// However embeddings are cut into blocks, ranges are those of the first of them.
        #[test]
        fn blocks_do_not_matter(
            rows in prop_oneof![2usize..300, SAMPLE - 50..SAMPLE + 400], block in 1usize..3000, seed in any::<u64>(),
        ) {
            let embeddings = random(rows, seed);
            let ranges = of_first(&embeddings, SAMPLE);
            let whole = Quantizer::new(EmbeddingType::Int8, &ranges).store(embeddings.clone());
            let whole = collected(vec![whole]);
            prop_assert_eq!(&streamed(&embeddings, block, None), &whole);
            prop_assert_eq!(&streamed(&embeddings, block, Some(&ranges)), &whole);
        }
    }

    #[test]
    fn what_cannot_be_stored_is_named() {
        let mut broken = random(3, 1);
        broken[[2, 1]] = f32::NAN;
        let mut stream = Stream::new(EmbeddingType::Binary, None);
        stream.push(random(4, 2)).unwrap();
        let said = stream.push(broken.clone()).unwrap_err().to_string();
        assert_eq!(said, "line 7 has an embedding with a value that binary cannot hold");
        broken[[2, 1]] = 1e5;
        assert!(Stream::new(EmbeddingType::F16, None).push(broken.clone()).is_err());
        let stored = Stream::new(EmbeddingType::F32, None).push(broken.clone()).unwrap();
        assert_eq!(stored, [Stored::F32(broken)]);
        let mut one = Stream::new(EmbeddingType::Uint8, None);
        one.push(random(1, 3)).unwrap();
        assert!(one.finish().unwrap_err().to_string().contains("--calibration FILE"));
        assert_eq!(Stream::new(EmbeddingType::Uint8, None).finish().unwrap(), (Vec::new(), Some(0)));
    }
}
