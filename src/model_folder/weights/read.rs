//! The transformer's tensors, from the files of its folder.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::WeightsError;
use super::file::WeightsFile;
use super::files::weight_files;
use super::naming::Naming;
use crate::model::Layout;
use crate::model::layout::TensorSpec;
use crate::quote::quoted;
use crate::weights::Parameters;

/// Reads the encoder's tensors from `model.safetensors`, else `pytorch_model.bin`, whole or in shards.
///
/// All names may carry one prefix, whichever it is, and LayerNorm's the old `gamma` and `beta`. Tensors that the
/// encoder has no use for (the pooler, heads) are ignored.
pub fn read_parameters(
    folder: &Path,
    layout: &Arc<Layout>,
    dtype: DType,
    device: &Device,
) -> Result<Parameters, WeightsError> {
    let weights = Weights::open(folder, layout)?;
    Parameters::from_named(layout.clone(), dtype, device, |spec| weights.get(spec))
}

/// The tensors that are not trained (the pooler's), where the folder has them: they are written again, since
/// transformers warns when it loads a model without them.
pub fn read_pooler(folder: &Path, layout: &Layout) -> Result<Vec<(String, Tensor)>, WeightsError> {
    let weights = Weights::open(folder, layout)?;
    let mut found = Vec::new();
    for &name in layout.architecture.description().untrained {
        let Some((file, stored)) = weights.find(name) else { continue };
        if let Some(tensor) = file.tensor(&stored)? {
            found.push((name.to_owned(), tensor.to_dtype(DType::F32)?));
        }
    }
    Ok(found)
}

/// A model's opened files of weights.
pub(crate) struct Weights {
    files: Vec<WeightsFile>,
    /// The file of each tensor, by the tensor's name in it.
    places: HashMap<String, usize>,
    naming: Naming,
}

impl Weights {
    /// Opens the files of a folder and finds the encoder's tensors by their names.
    pub fn open(folder: &Path, layout: &Layout) -> Result<Self, WeightsError> {
        let files = weight_files(folder)?;
        let files = files.iter().map(|file| WeightsFile::open(file)).collect::<Result<Vec<_>, _>>()?;
        let mut places = HashMap::new();
        for (index, file) in files.iter().enumerate() {
            for name in file.names() {
                if let Some(first) = places.insert(name.clone(), index) {
                    let first: &WeightsFile = &files[first];
                    let reason = format!("it holds {}, as {} does", quoted(&name), first.path().display());
                    return Err(WeightsError::Corrupt { path: file.path().to_owned(), reason });
                }
            }
        }
        let naming = Naming::of(layout, &places.keys().map(String::as_str).collect());
        let naming = naming.map_err(|misfit| WeightsError::of_names(files[0].path().to_owned(), misfit))?;
        Ok(Weights { files, places, naming })
    }

    /// The file of the encoder's tensor, and the tensor's name in it.
    fn find_tensor(&self, spec: &TensorSpec) -> Option<(&WeightsFile, String)> {
        self.place(self.naming.find_tensor(spec, |name| self.places.contains_key(name))?)
    }

    /// A tensor of finite values that is not the encoder's, as f32: behind the encoder's prefix, or by its own name.
    pub fn beside(&self, name: &str) -> Result<Option<Tensor>, WeightsError> {
        let by_itself = || self.places.contains_key(name).then(|| self.place(name.to_owned())).flatten();
        let Some((file, stored)) = self.find(name).or_else(by_itself) else { return Ok(None) };
        let Some(shape) = file.tensor(&stored)?.map(|tensor| tensor.dims().to_vec()) else { return Ok(None) };
        Ok(Some(file.get(&stored, &shape)?.to_dtype(DType::F32)?))
    }

    fn find(&self, name: &str) -> Option<(&WeightsFile, String)> {
        self.place(self.naming.find(name, |name| self.places.contains_key(name))?)
    }

    fn place(&self, stored: String) -> Option<(&WeightsFile, String)> {
        Some((&self.files[self.places[&stored]], stored))
    }

    /// The tensor, checked against its place in the layout.
    pub fn get(&self, spec: &TensorSpec) -> Result<Tensor, WeightsError> {
        let missing = || WeightsError::Missing {
            path: self.files[0].path().to_owned(),
            name: spec.name.clone(),
            others: String::new(),
        };
        let (file, stored) = self.find_tensor(spec).ok_or_else(missing)?;
        file.get(&stored, &spec.shape)
    }
}
