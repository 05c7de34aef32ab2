//! A folder whose model predicts masked words, as transformers' `ForMaskedLM` keeps it: the head's weights beside the
//! encoder's, and no decoder, which is the word embeddings.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};
use thiserror::Error;

use super::config::POOLING_KEY;
use super::head::stored_name;
use super::weights::read::Weights;
use super::weights::{WEIGHTS, WeightsError, tensors};
use super::write::{SaveError, read_json};
use crate::model::layout::TensorSpec;
use crate::model::{EncoderConfig, Kind, WordHead};
use crate::output::{write_json, write_whole, write_whole_with};
use crate::quote::quoted;
use crate::tokenize::Tokenizer;
use crate::weights::Parameters;

#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum WordHeadError {
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(
        "{}: its head has {} of shape {found:?}, and this encoder asks for {expected:?}; start with a new head by --new-head",
        folder.display(), quoted(name)
    )]
    Size { folder: PathBuf, name: String, found: Vec<usize>, expected: Vec<usize> },
    #[error(
        "{}: config.json says that the decoder is not tied to the word embeddings (tie_word_embeddings), and mirror pretrain \
         trains tied ones alone; start from another model",
        folder.display()
    )]
    Untied { folder: PathBuf },
}

impl From<candle_core::Error> for WordHeadError {
    fn from(error: candle_core::Error) -> Self {
        WordHeadError::Weights(error.into())
    }
}

/// Reads the weights of an encoder and of a head for masked words on it, and whether the head is the folder's: it is where
/// the folder has all of it and no new one is asked for, else `initial` gives each tensor.
///
/// # Errors
/// A head of another size, a decoder that is not tied, weights that cannot be read.
pub fn read_with_word_head(
    folder: &Path,
    config: &EncoderConfig,
    head: &WordHead,
    is_new: bool,
    initial: impl Fn(&TensorSpec) -> candle_core::Result<Tensor>,
    device: &Device,
) -> Result<(Parameters, bool), WordHeadError> {
    let is_tied = read_json(&folder.join("config.json"))
        .ok()
        .is_none_or(|config| config.get("tie_word_embeddings").and_then(Value::as_bool) != Some(false));
    if !is_tied {
        return Err(WordHeadError::Untied { folder: folder.to_owned() });
    }
    let weights = Weights::open(folder, &config.layout())?;
    let layout = Arc::new(config.layout().with_word_head(head));
    let of_head = layout.groups.len() - 1;
    let mut found = Vec::new();
    for spec in layout.groups[of_head].tensors.iter().filter(|_| !is_new) {
        let Some(tensor) = stored(&weights, spec)? else { continue };
        if tensor.dims() != spec.shape {
            let (folder, name) = (folder.to_owned(), spec.name.clone());
            let (found, expected) = (tensor.dims().to_vec(), spec.shape.clone());
            return Err(WordHeadError::Size { folder, name, found, expected });
        }
        found.push(tensor);
    }
    let is_of_folder = found.len() == layout.groups[of_head].tensors.len();
    let mut found = found.into_iter();
    let parameters = Parameters::from_named(layout.clone(), DType::F32, device, |spec| {
        let is_heads = layout.part(of_head, spec.part, spec.kind).is_some_and(|own| own == spec);
        match is_heads {
            false => Ok(weights.get(spec)?),
            true => match found.next().filter(|_| is_of_folder) {
                Some(tensor) => Ok(tensor),
                None => Ok::<_, WordHeadError>(initial(spec)?),
            },
        }
    })?;
    Ok((parameters, is_of_folder))
}

/// A tensor of the head under a name that transformers gives or gave it.
fn stored(weights: &Weights, spec: &TensorSpec) -> Result<Option<Tensor>, WeightsError> {
    let of_decoder = format!("{}.decoder.{}", spec.module(), spec.kind.suffix());
    for name in [Some(spec.name.clone()), spec.old_name(), (spec.kind == Kind::Bias).then_some(of_decoder)] {
        if let Some(tensor) = name.map(|name| weights.beside(&name)).transpose()?.flatten() {
            return Ok(Some(tensor));
        }
    }
    Ok(None)
}

/// What the files of a folder with a head for masked words are written from.
pub struct MaskedLmContents<'a> {
    /// The encoder's.
    pub config: &'a EncoderConfig,
    /// Written as transformers reads it.
    pub tokenizer: &'a Tokenizer,
    /// Tokens of a sentence, special ones included, beyond which it is cut.
    pub max_length: usize,
    /// The folder that the encoder was loaded from, whose config.json is taken over.
    pub source: &'a Path,
}

impl MaskedLmContents<'_> {
    /// Writes a folder that transformers' `AutoModelForMaskedLM` loads. Each file is written whole, the weights last.
    ///
    /// # Errors
    /// A file of the source cannot be read again, or one cannot be written.
    pub fn save(&self, weights: &Parameters, model_card: &str, folder: &Path) -> Result<(), SaveError> {
        self.tokenizer.write_to(folder, self.max_length)?;
        write_json(&folder.join("config.json"), &self.configuration()?)?;
        write_whole(&folder.join("README.md"), model_card.as_bytes())?;
        let (architecture, groups) = (self.config.architecture, self.config.dimensions.groups());
        let named = weights.layout().tensors().map(|(group, spec)| {
            Ok((stored_name(architecture, group, groups, spec), weights.view(group, spec)?))
        });
        let named: Vec<(String, Tensor)> =
            named.collect::<Result<_, candle_core::Error>>().map_err(WeightsError::from)?;
        Ok(write_whole_with(&folder.join(WEIGHTS), |file| tensors::write(&[], &named, file))?)
    }

    fn configuration(&self) -> Result<Value, SaveError> {
        let mut config = read_json(&self.source.join("config.json"))?;
        let class = self.config.architecture.description().class;
        let class = class.strip_suffix("Model").unwrap_or(class);
        config["architectures"] = json!([format!("{class}ForMaskedLM")]);
        config["dtype"] = json!("float32");
        config["torch_dtype"] = json!("float32");
        config["tie_word_embeddings"] = json!(true);
        if let Some(fields) = config.as_object_mut() {
            for key in [POOLING_KEY, "id2label", "label2id", "num_labels", "problem_type"] {
                fields.shift_remove(key);
            }
        }
        Ok(config)
    }
}
