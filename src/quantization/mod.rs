//! Embeddings of fewer bits, as `quantize_embeddings` of sentence-transformers makes them, bit for bit: bytes by the
//! range that each dimension has in a sample, and signs packed eight to a byte.

mod stream;

use clap::ValueEnum;
use half::f16;
use ndarray::{Array2, ArrayView1, ArrayView2, Axis, Zip};
use thiserror::Error;

pub use stream::Stream;

/// What an embedding's values are stored as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum EmbeddingType {
    /// As they are computed
    #[default]
    #[value(alias = "float32")]
    F32,
    /// Rounded to half precision
    #[value(alias = "float16")]
    F16,
    /// 256 levels between a dimension's least and largest value in a sample, from −128
    Int8,
    /// The same from 0
    Uint8,
    /// Whether a value is above 0, eight to a byte, the first in the highest bit; a byte is stored less 128
    Binary,
    /// The same, as it is
    Ubinary,
}

impl EmbeddingType {
    /// Whether it takes ranges.
    pub fn has_ranges(self) -> bool {
        matches!(self, EmbeddingType::Int8 | EmbeddingType::Uint8)
    }

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            EmbeddingType::F32 => "f32",
            EmbeddingType::F16 => "f16",
            EmbeddingType::Int8 => "int8",
            EmbeddingType::Uint8 => "uint8",
            EmbeddingType::Binary => "binary",
            EmbeddingType::Ubinary => "ubinary",
        }
    }

    /// The first embedding with a value that the type cannot hold: one that is no number, and for f16 one beyond its
    /// largest. f32 holds all.
    fn out_of_range(self, embeddings: &Array2<f32>) -> Option<usize> {
        let holds = |row: ArrayView1<'_, f32>| match self {
            EmbeddingType::F32 => true,
            EmbeddingType::F16 => row.iter().all(|&value| f16::from_f32(value).is_finite()),
            _ => row.iter().all(|value| value.is_finite()),
        };
        embeddings.rows().into_iter().position(|row| !holds(row))
    }
}

#[derive(Debug, Error, PartialEq, Eq)]
pub enum QuantizationError {
    #[error("line {line} has an embedding with a value that {form} cannot hold", form = form.name())]
    OutOfRange {
        /// Counted from 1.
        line: u64,
        form: EmbeddingType,
    },
    #[error(
        "{form} takes each dimension's range from a sample, and one embedding has none; give a text with --calibration FILE",
        form = form.name()
    )]
    OneEmbedding { form: EmbeddingType },
}

/// The least and the largest value of each dimension in a sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranges {
    least: Vec<f32>,
    largest: Vec<f32>,
    /// Embeddings of the sample.
    rows: u64,
}

impl Ranges {
    /// Takes more embeddings `[n, width]` into the sample.
    pub fn include(&mut self, embeddings: ArrayView2<'_, f32>) {
        if self.rows == 0 {
            self.least = vec![f32::INFINITY; embeddings.ncols()];
            self.largest = vec![f32::NEG_INFINITY; embeddings.ncols()];
        }
        for row in embeddings.rows() {
            for ((&value, least), largest) in row.iter().zip(&mut self.least).zip(&mut self.largest) {
                *least = least.min(value);
                *largest = largest.max(value);
            }
        }
        self.rows += embeddings.nrows() as u64;
    }

    /// Embeddings of the sample.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

/// Embeddings `[n, width]`, or `[n, ⌈width / 8⌉]` where they are bits, as they are stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Stored {
    F32(Array2<f32>),
    F16(Array2<f16>),
    I8(Array2<i8>),
    U8(Array2<u8>),
}

/// Makes embeddings of one type.
#[derive(Clone, Debug)]
pub struct Quantizer {
    form: EmbeddingType,
    /// Of each dimension, where the type has ranges: the least value, and a level's width.
    levels: Vec<(f32, f32)>,
}

impl Quantizer {
    /// `ranges` are of embeddings of the same width; types without ranges do not look at them.
    pub fn new(form: EmbeddingType, ranges: &Ranges) -> Self {
        let level = |(&least, &largest): (&f32, &f32)| {
            let step = (largest - least) / 255.0;
            (least, if step == 0.0 { 1.0 } else { step })
        };
        let levels = match form.has_ranges() {
            true => ranges.least.iter().zip(&ranges.largest).map(level).collect(),
            false => Vec::new(),
        };
        Quantizer { form, levels }
    }

    /// The embeddings as they are stored.
    pub fn store(&self, embeddings: Array2<f32>) -> Stored {
        match self.form {
            EmbeddingType::F32 => Stored::F32(embeddings),
            EmbeddingType::F16 => Stored::F16(embeddings.mapv(f16::from_f32)),
            EmbeddingType::Int8 => Stored::I8(self.rounded(embeddings).mapv(|level| level as i8)),
            EmbeddingType::Uint8 => Stored::U8(self.rounded(embeddings).mapv(|level| level as u8)),
            // Less 128, in two's complement.
            EmbeddingType::Binary => Stored::I8(packed(&embeddings).mapv(|byte| (byte ^ 0x80) as i8)),
            EmbeddingType::Ubinary => Stored::U8(packed(&embeddings)),
        }
    }

    /// The numbers by which stored embeddings are compared, `[n, width]`: the bytes as numbers, and bits one by one
    /// as 0 and 1. It is what EmbeddingSimilarityEvaluator of sentence-transformers compares.
    pub fn rounded(&self, mut embeddings: Array2<f32>) -> Array2<f32> {
        match self.form {
            EmbeddingType::F32 => {}
            EmbeddingType::F16 => embeddings.mapv_inplace(|value| f16::from_f32(value).to_f32()),
            EmbeddingType::Int8 => self.to_levels(&mut embeddings, 128.0),
            EmbeddingType::Uint8 => self.to_levels(&mut embeddings, 0.0),
            EmbeddingType::Binary | EmbeddingType::Ubinary => {
                embeddings.mapv_inplace(|value| f32::from(u8::from(value > 0.0)));
            }
        }
        embeddings
    }

    /// Each value's level, 0 to 255, less `offset`.
    fn to_levels(&self, embeddings: &mut Array2<f32>, offset: f32) {
        for mut row in embeddings.rows_mut() {
            for (value, &(least, step)) in row.iter_mut().zip(&self.levels) {
                *value = ((*value - least) / step).floor().clamp(0.0, 255.0) - offset;
            }
        }
    }
}

/// `[n, ⌈width / 8⌉]`: whether values are above 0; what is left of the last byte is 0.
fn packed(embeddings: &Array2<f32>) -> Array2<u8> {
    let mut bytes = Array2::zeros((embeddings.nrows(), embeddings.ncols().div_ceil(8)));
    Zip::from(embeddings.rows()).and(bytes.rows_mut()).for_each(|row, mut bytes| {
        for (eight, byte) in row.axis_chunks_iter(Axis(0), 8).zip(&mut bytes) {
            *byte = eight.iter().enumerate().map(|(bit, &value)| u8::from(value > 0.0) << (7 - bit)).sum();
        }
    });
    bytes
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn quantized(form: EmbeddingType, embeddings: &Array2<f32>) -> Stored {
        let mut ranges = Ranges::default();
        ranges.include(embeddings.view());
        Quantizer::new(form, &ranges).store(embeddings.clone())
    }

    /// Values of quantize_embeddings, sentence-transformers 6.2.0: a dimension of one value, the ends of ranges,
    /// values on the border of a level, nine dimensions for a byte and a bit.
    #[test]
    fn values_are_those_of_sentence_transformers() {
        let embeddings = array![
            [0.5f32, -1.0, 0.0, 0.3, -0.2, 1e-30, 0.7, -0.1, 0.9],
            [0.5, 1.0, -0.0, 0.1, 0.2, -1e-30, 0.6, 0.1, -0.9],
            [0.5, 0.0, 0.25, 0.2, 0.0, 0.0, 0.65, 0.05, 0.3],
        ];
        let int8 = array![
            [-128i8, -128, -128, 127, -128, 127, 127, -128, 127],
            [-128, 126, -128, -128, 127, -128, -128, 127, -128],
            [-128, -1, 126, -1, -1, -1, -1, 63, 42],
        ];
        assert_eq!(quantized(EmbeddingType::Int8, &embeddings), Stored::I8(int8.clone()));
        let uint8 = int8.mapv(|level| (i16::from(level) + 128) as u8);
        assert_eq!(quantized(EmbeddingType::Uint8, &embeddings), Stored::U8(uint8));
        let bits = array![[0b1001_0110u8, 0b1000_0000], [0b1101_1011, 0], [0b1011_0011, 0b1000_0000]];
        assert_eq!(quantized(EmbeddingType::Ubinary, &embeddings), Stored::U8(bits));
        let binary = array![[22i8, 0], [91, -128], [51, 0]];
        assert_eq!(quantized(EmbeddingType::Binary, &embeddings), Stored::I8(binary));
    }

    #[test]
    fn values_beyond_the_sample_take_its_ends() {
        let mut ranges = Ranges::default();
        ranges.include(array![[-1.0f32], [1.0]].view());
        let quantizer = Quantizer::new(EmbeddingType::Int8, &ranges);
        assert_eq!(quantizer.store(array![[-7.0], [7.0]]), Stored::I8(array![[-128], [127]]));
        assert_eq!(quantizer.rounded(array![[-7.0], [7.0]]), array![[-128.0], [127.0]]);
    }
}
