//! `--dimensions`, `--embedding-type` and `--calibration`: embeddings that take less room.

use std::path::{Path, PathBuf};

use clap::Args;
use ndarray::Array2;
use sts_eval::Encode;

use super::progress::{encoding_bar, say};
use super::{Done, Ending, failure, text, usage};
use crate::output::Inputs;
use crate::quantization::{EmbeddingType, Quantizer, Ranges};
use crate::sentence_encoder::TooManyDimensions;

/// Fewer embeddings than these say little of ranges.
const FEW: u64 = 100;

/// How many values of an embedding are kept.
#[derive(Args, Clone, Debug)]
pub struct Dimensions {
    /// Keep the first D values of an embedding, scaled to length 1 again where the folder normalises; takes the place
    /// of the folder's own truncate_dim
    #[arg(long, value_name = "D", allow_negative_numbers = true, help_heading = "Smaller vectors")]
    dimensions: Option<usize>,
}

impl Dimensions {
    /// Refuses a number that makes no sense.
    pub fn check(&self) -> Done {
        match self.dimensions {
            Some(0) => Err(usage("--dimensions is 0; it must be a number above 0")),
            _ => Ok(()),
        }
    }

    /// Gives a model the number of dimensions that was asked for, if one was, by its `set`.
    pub fn apply(&self, set: impl FnOnce(usize) -> Result<(), TooManyDimensions>) -> Done {
        self.dimensions.map_or(Ok(()), |dimensions| set(dimensions).map_err(usage))
    }
}

/// What the values of an embedding are stored as.
#[derive(Args, Clone, Debug)]
pub struct EmbeddingTypeFlags {
    /// What an embedding's values become; int8 and uint8 go by the range of each dimension in a sample
    #[arg(long, value_enum, default_value_t, value_name = "TYPE", help_heading = "Smaller vectors")]
    pub embedding_type: EmbeddingType,
    /// Text, one sentence a line, whose embeddings are the sample of int8 and uint8
    #[arg(long, value_name = "FILE", help_heading = "Smaller vectors")]
    calibration: Option<PathBuf>,
}

/// Both.
#[derive(Args, Clone, Debug)]
pub struct SmallerVectors {
    #[command(flatten)]
    pub dimensions: Dimensions,
    #[command(flatten)]
    pub embedding_type: EmbeddingTypeFlags,
}

impl SmallerVectors {
    /// Refuses flags that make no sense, before anything is read.
    pub fn check(&self) -> Done {
        self.dimensions.check()?;
        self.embedding_type.check()
    }
}

impl EmbeddingTypeFlags {
    /// Refuses flags that contradict each other, and a sample that could not be read once for each model.
    fn check(&self) -> Done {
        let Some(path) = &self.calibration else { return Ok(()) };
        if !self.embedding_type.has_ranges() {
            let name = self.embedding_type.name();
            return Err(usage(format!(
                "--calibration is for --embedding-type int8 and uint8; {name} takes no ranges"
            )));
        }
        if text::is_stdin(Some(path)) {
            return Err(usage("--calibration takes a file, not standard input"));
        }
        Ok(())
    }

    /// Adds the file that is read.
    pub fn add_inputs(&self, inputs: &mut Inputs) {
        self.calibration.iter().for_each(|path| inputs.add("--calibration", path));
    }

    /// The ranges in the sample that was asked for, if one was.
    pub fn ranges<E>(&self, encoder: &E) -> Result<Option<Ranges>, Ending>
    where
        E: Encode<Error: Into<anyhow::Error>>,
    {
        self.calibration.as_deref().map(|path| ranges_of(path, encoder)).transpose()
    }
}

/// The ranges of the embeddings of a text's lines.
fn ranges_of<E>(path: &Path, encoder: &E) -> Result<Ranges, Ending>
where
    E: Encode<Error: Into<anyhow::Error>>,
{
    let mut lines = text::lines(Some(path), "--calibration")?;
    let bar = encoding_bar(None);
    let mut ranges = Ranges::default();
    text::in_blocks(lines.by_ref(), String::len, |block| {
        let sentences: Vec<&str> = block.iter().map(String::as_str).collect();
        ranges.include(encoder.encode(&sentences).map_err(Into::into)?.view());
        bar.inc(block.len() as u64);
        Ok(())
    })?;
    bar.finish_and_clear();
    lines.remark().iter().for_each(|remark| say(remark));
    if ranges.rows() == 0 {
        let shown = path.display();
        return Err(failure(format!(
            "--calibration {shown} has no lines; ranges are taken from its embeddings"
        )));
    }
    say_of_few(ranges.rows());
    Ok(ranges)
}

/// Warns of ranges that are those of few embeddings.
pub fn say_of_few(rows: u64) {
    if (1..FEW).contains(&rows) {
        say(&format!(
            "warning: ranges are taken from {rows} embeddings, and values of other sentences will lie beyond them; \
             --calibration FILE with more lines gives better ones"
        ));
    }
}

/// An encoder whose embeddings are compared as they would be stored: what `eval` scores. Ranges that no sample gave are
/// those of all embeddings that are compared.
pub struct Compared<'a, E> {
    pub encoder: &'a E,
    form: EmbeddingType,
    ranges: Option<Ranges>,
}

impl<'a, E: Encode<Error: Into<anyhow::Error>>> Compared<'a, E> {
    pub fn new(encoder: &'a E, flags: &EmbeddingTypeFlags) -> Result<Self, Ending> {
        Ok(Compared { encoder, form: flags.embedding_type, ranges: flags.ranges(encoder)? })
    }
}

impl<E: Encode> Encode for Compared<'_, E> {
    type Error = E::Error;

    fn encode(&self, sentences: &[&str]) -> Result<Array2<f32>, E::Error> {
        self.encoder.encode(sentences)
    }

    fn finish(&self, embeddings: Array2<f32>) -> Result<Array2<f32>, E::Error> {
        let quantizer = match &self.ranges {
            Some(ranges) => Quantizer::new(self.form, ranges),
            None => {
                let mut ranges = Ranges::default();
                ranges.include(embeddings.view());
                Quantizer::new(self.form, &ranges)
            }
        };
        Ok(quantizer.rounded(embeddings))
    }
}
