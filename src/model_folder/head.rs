//! A folder whose model has a head, as transformers' `ForSequenceClassification` keeps it: the head's weights beside the
//! encoder's, and the names of its classes in config.json.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::config::POOLING_KEY;
use super::weights::read::Weights;
use super::weights::{WEIGHTS, WeightsError, tensors};
use super::write::{SaveError, read_json};
use crate::model::layout::TensorSpec;
use crate::model::{Architecture, EncoderConfig, Head, Kind};
use crate::output::write_json;
use crate::output::{write_whole, write_whole_with};
use crate::quote::quoted;
use crate::tokenize::Tokenizer;
use crate::weights::Parameters;

/// What a head predicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outputs {
    /// One of these classes, in the order of the logits.
    Classes(Vec<String>),
    /// A value.
    Value,
}

impl Outputs {
    /// Numbers that the head gives.
    pub fn count(&self) -> usize {
        match self {
            Outputs::Classes(classes) => classes.len(),
            Outputs::Value => 1,
        }
    }
}

#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what each is")]
pub enum HeadError {
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(
        "{}: its head has {} of shape {found:?}, and this data asks for {expected:?}; start with a new head by --new-head",
        folder.display(), quoted(name)
    )]
    Size { folder: PathBuf, name: String, found: Vec<usize>, expected: Vec<usize> },
    #[error(
        "{}: its config.json names no classes (id2label), so it is no model that mirror finetune or transformers made \
         to classify texts; fine-tune one with mirror finetune",
        folder.display()
    )]
    NoClasses { folder: PathBuf },
    #[error("{} has no {}, a tensor of the head; fine-tune a model with mirror finetune", folder.display(), quoted(name))]
    NoHead { folder: PathBuf, name: String },
}

/// The name under which transformers' class with a head stores a tensor: what its encoder has, a pooler included, stands
/// behind the encoder's prefix.
pub(super) fn stored_name(
    architecture: Architecture,
    group: usize,
    encoder_groups: usize,
    spec: &TensorSpec,
) -> String {
    let description = architecture.description();
    let is_encoders = group < encoder_groups || description.untrained.contains(&spec.name.as_str());
    format!("{}{}", if is_encoders { description.prefix } else { "" }, spec.name)
}

/// Reads the weights of an encoder and of a head on it. Each layer of the head is the folder's where it has one, else
/// `initial` has its matrix and bias, in the order of the layers. Where the head `is_new`, only a pooler, which is the
/// encoder's own, is taken.
///
/// # Errors
/// A layer of another size, weights that cannot be read.
pub fn read_with_head(
    folder: &Path,
    config: &EncoderConfig,
    head: &Head,
    initial: &[[Tensor; 2]],
    is_new: bool,
    device: &Device,
) -> Result<(Parameters, Vec<String>), HeadError> {
    let weights = Weights::open(folder, &config.layout())?;
    let layout = Arc::new(config.layout().with_head(head));
    let untrained = config.architecture.description().untrained;
    let mut taken = Vec::new();
    let parameters = Parameters::from_named(layout, DType::F32, device, |spec| {
        let Some(place) = head.layers.iter().position(|layer| layer.part == spec.part) else {
            return Ok(weights.get(spec)?);
        };
        let [weight, bias] = &initial[place];
        let new = if spec.kind == Kind::Weight { weight } else { bias };
        if is_new && !untrained.contains(&spec.name.as_str()) {
            return Ok(new.clone());
        }
        let Some(tensor) = weights.beside(&spec.name)? else { return Ok(new.clone()) };
        if tensor.dims() != spec.shape {
            let (found, expected) = (tensor.dims().to_vec(), spec.shape.clone());
            return Err(HeadError::Size {
                folder: folder.to_owned(),
                name: spec.name.clone(),
                found,
                expected,
            });
        }
        taken.push(spec.name.clone());
        Ok(tensor)
    })?;
    Ok((parameters, taken))
}

impl From<candle_core::Error> for HeadError {
    fn from(error: candle_core::Error) -> Self {
        HeadError::Weights(error.into())
    }
}

/// Reads the weights of an encoder and of its head, which has to be there.
///
/// # Errors
/// A tensor of the head that is not there, weights that cannot be read.
pub fn read_classifier(
    folder: &Path,
    config: &EncoderConfig,
    head: &Head,
    device: &Device,
) -> Result<Parameters, HeadError> {
    let weights = Weights::open(folder, &config.layout())?;
    let layout = Arc::new(config.layout().with_head(head));
    let of_head = layout.groups.len() - 1;
    for spec in &layout.groups[of_head].tensors {
        if weights.beside(&spec.name)?.is_none() {
            return Err(HeadError::NoHead { folder: folder.to_owned(), name: spec.name.clone() });
        }
    }
    let nothing = vec![
        [Tensor::zeros(0, DType::F32, device)?, Tensor::zeros(0, DType::F32, device)?];
        head.layers.len()
    ];
    Ok(read_with_head(folder, config, head, &nothing, false, device)?.0)
}

/// What the head of a folder predicts, by its config.json.
///
/// # Errors
/// A config.json that cannot be read, or that names no classes.
pub fn read_outputs(folder: &Path) -> Result<Outputs, HeadError> {
    let none = || HeadError::NoClasses { folder: folder.to_owned() };
    let config = read_json(&folder.join("config.json")).map_err(|_| none())?;
    let named = config.get("id2label").and_then(Value::as_object).ok_or_else(none)?;
    let mut classes: Vec<(usize, String)> = Vec::with_capacity(named.len());
    for (id, class) in named {
        let id = id.parse::<usize>().map_err(|_| none())?;
        classes.push((id, class.as_str().ok_or_else(none)?.to_owned()));
    }
    classes.sort();
    if classes.is_empty() || classes.iter().enumerate().any(|(place, (id, _))| place != *id) {
        return Err(none());
    }
    let is_value = config.get("problem_type").and_then(Value::as_str) == Some("regression");
    Ok(match classes.len() {
        1 => Outputs::Value,
        _ if is_value => return Err(none()),
        _ => Outputs::Classes(classes.into_iter().map(|(_, class)| class).collect()),
    })
}

/// Whether a folder's config.json says that its model has a head that classifies sequences.
pub fn has_head(folder: &Path) -> bool {
    let config = read_json(&folder.join("config.json")).ok();
    let classes = config.as_ref().and_then(|config| config.get("architectures")?.as_array());
    classes.is_some_and(|classes| {
        classes
            .iter()
            .any(|class| class.as_str().is_some_and(|class| class.ends_with("ForSequenceClassification")))
    })
}

/// What the files of a folder with a head are written from.
pub struct ClassifierContents<'a> {
    /// The encoder's.
    pub config: &'a EncoderConfig,
    /// What the head predicts.
    pub outputs: &'a Outputs,
    /// Written as transformers reads it.
    pub tokenizer: &'a Tokenizer,
    /// Tokens of a text or a pair, special ones included, beyond which it is cut.
    pub max_length: usize,
    /// The folder that the encoder was loaded from, whose config.json is taken over.
    pub source: &'a Path,
}

impl ClassifierContents<'_> {
    /// Writes a folder that transformers' `AutoModelForSequenceClassification` loads. Each file is written whole, the
    /// weights last.
    ///
    /// # Errors
    /// A file of the source cannot be read again, or one cannot be written.
    pub fn save(&self, weights: &Parameters, model_card: &str, folder: &Path) -> Result<(), SaveError> {
        self.write_small_files(folder, |_| {})?;
        write_whole(&folder.join("README.md"), model_card.as_bytes())?;
        let (architecture, groups) = (self.config.architecture, self.config.dimensions.groups());
        let named = weights.layout().tensors().map(|(group, spec)| {
            Ok((stored_name(architecture, group, groups, spec), weights.view(group, spec)?))
        });
        let named: Vec<(String, Tensor)> =
            named.collect::<Result<_, candle_core::Error>>().map_err(WeightsError::from)?;
        Ok(write_whole_with(&folder.join(WEIGHTS), |file| tensors::write(&[], &named, file))?)
    }

    /// Writes all that clients need beside weights or graphs: the tokenizer, and config.json with the changes that
    /// `adapt` makes to it.
    ///
    /// # Errors
    /// As [`ClassifierContents::save`].
    pub fn write_small_files(&self, folder: &Path, adapt: impl FnOnce(&mut Value)) -> Result<(), SaveError> {
        self.tokenizer.write_to(folder, self.max_length)?;
        let mut config = self.configuration()?;
        adapt(&mut config);
        Ok(write_json(&folder.join("config.json"), &config)?)
    }

    fn configuration(&self) -> Result<Value, SaveError> {
        let mut config = read_json(&self.source.join("config.json"))?;
        let class = self.config.architecture.description().class;
        let class = class.strip_suffix("Model").unwrap_or(class);
        config["architectures"] = json!([format!("{class}ForSequenceClassification")]);
        config["dtype"] = json!("float32");
        config["torch_dtype"] = json!("float32");
        let (names, problem) = match self.outputs {
            Outputs::Classes(classes) => (classes.clone(), "single_label_classification"),
            Outputs::Value => (vec!["LABEL_0".to_owned()], "regression"),
        };
        let by_id: Map<String, Value> =
            names.iter().enumerate().map(|(id, name)| (id.to_string(), json!(name))).collect();
        let by_name: Map<String, Value> =
            names.iter().enumerate().map(|(id, name)| (name.clone(), json!(id))).collect();
        config["id2label"] = Value::Object(by_id);
        config["label2id"] = Value::Object(by_name);
        config["problem_type"] = json!(problem);
        if let Some(fields) = config.as_object_mut() {
            fields.shift_remove(POOLING_KEY);
            fields.shift_remove("num_labels");
        }
        Ok(config)
    }
}
