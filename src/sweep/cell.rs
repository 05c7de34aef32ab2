//! A cell: one run, known by what decides its result.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::SweepError;
use crate::builtin;
use crate::checkpoint::origin::model_sha256;
use crate::corpus::{Input, list};
use crate::hub::{self, ModelSource};
use crate::model_folder::SentenceFolder;
use crate::output::sums::{hex, sha256_of};
use crate::trainer::TrainOptions;

/// Settings that do not change what comes out: where files go, how often they are written, who computes, and what is
/// scored on the way.
const NO_PART: [&str; 7] = ["output", "log-dir", "save-every", "keep-last", "threads", "no-eval", "data"];

/// Hexadecimal digits of the sum over a cell's settings that are in its name.
const DIGITS: usize = 12;

/// A run, and what decides its result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Its seed, as in `options`.
    pub seed: u64,
    /// Its settings, with a model and a corpus by what they hold and not by where they are.
    pub identity: Map<String, Value>,
    /// The run's settings, but for its folder.
    #[serde(with = "as_toml")]
    pub options: TrainOptions,
}

impl Cell {
    pub(super) fn new(options: TrainOptions, contents: &mut Contents) -> Result<(String, Self), SweepError> {
        let identity = identity(&options, contents)?;
        let name = name(&identity, &options);
        Ok((name, Cell { seed: options.seed, identity, options }))
    }

    /// Whether settings that an earlier version saved are this cell's: flags that there were not yet do not count.
    pub fn is_of(&self, saved: &Map<String, Value>) -> bool {
        saved.iter().all(|(key, value)| self.identity.get(key).is_none_or(|own| is_same(own, value)))
    }
}

/// Whether two values are the same. JSON's readers may be off by the last bit of a number.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-12 * a.abs().max(b.abs()),
        _ => a == b,
    }
}

/// A run's settings as its train.toml has them: to the last bit, which JSON's readers do not promise.
mod as_toml {
    use serde::de::Error as _;
    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::trainer::TrainOptions;

    pub fn serialize<S: Serializer>(options: &TrainOptions, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&toml::to_string(options).map_err(S::Error::custom)?)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<TrainOptions, D::Error> {
        toml::from_str(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// All settings that decide the result, in the order of the flags.
fn identity(options: &TrainOptions, contents: &mut Contents) -> Result<Map<String, Value>, SweepError> {
    let mut settings = as_map(options);
    NO_PART.iter().for_each(|key| {
        settings.shift_remove(*key);
    });
    settings.insert("model".to_owned(), Value::String(contents.model(&options.model)?));
    settings.insert("corpus".to_owned(), Value::String(contents.corpus(options)?));
    Ok(settings)
}

/// Regularizers and seed to be read, and a sum over all that differs from the defaults: a new flag, whose default is what
/// there was before it, changes no name.
fn name(identity: &Map<String, Value>, options: &TrainOptions) -> String {
    let defaults = as_map(&crate::cli_defaults::<TrainOptions>());
    let own: BTreeMap<&String, &Value> =
        identity.iter().filter(|(key, value)| defaults.get(*key) != Some(*value)).collect();
    let text = serde_json::to_string(&own).unwrap_or_default();
    let sum = hex(&Sha256::digest(text.as_bytes()));
    let regularizers = options.regularization.reg.replace(',', "+").replace(' ', "");
    format!("{regularizers}-seed{}-{}", options.seed, &sum[..DIGITS])
}

fn as_map(options: &TrainOptions) -> Map<String, Value> {
    match serde_json::to_value(options) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// What models and corpora hold, each looked at once.
#[derive(Default)]
pub(super) struct Contents {
    models: HashMap<String, String>,
    files: HashMap<PathBuf, String>,
}

impl Contents {
    fn model(&mut self, model: &str) -> Result<String, SweepError> {
        if let Some(known) = self.models.get(model) {
            return Ok(known.clone());
        }
        let content = match hub::resolve(model)? {
            ModelSource::Folder(folder) => {
                let transformer = SentenceFolder::read(&folder)
                    .map_err(crate::trainer::plan::PlanError::from)?
                    .transformer_in(&folder);
                format!("sha256:{}", model_sha256(&transformer)?)
            }
            ModelSource::Builtin | ModelSource::Hub(_) => model.to_owned(),
        };
        self.models.insert(model.to_owned(), content.clone());
        Ok(content)
    }

    fn corpus(&mut self, options: &TrainOptions) -> Result<String, SweepError> {
        let mut sum = Sha256::new();
        if options.corpus.is_empty() {
            sum.update(builtin::CORPUS.as_bytes());
            return Ok(format!("sha256:{}", hex(&sum.finalize())));
        }
        let listed = list("--corpus", &options.corpus, &options.reading)?;
        for input in &listed.inputs {
            let Input::File(path) = input else {
                return Err(SweepError::Refused(
                    "corpus: standard input can be read once, and every cell reads the corpus; name a file"
                        .to_owned(),
                ));
            };
            let own = match self.files.get(path) {
                Some(known) => known.clone(),
                None => {
                    let read = |source| SweepError::Read { path: path.clone(), source };
                    sha256_of(path).map_err(read)?
                }
            };
            if let [_] = listed.inputs[..] {
                return Ok(format!("sha256:{own}"));
            }
            sum.update(own.as_bytes());
            self.files.insert(path.clone(), own);
        }
        Ok(format!("sha256:{}", hex(&sum.finalize())))
    }
}
