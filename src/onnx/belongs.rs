//! Whether a graph was made from the weights that lie beside it.

use std::path::Path;

use candle_core::{DType, Device};

use super::OnnxError;
use crate::encoder::{Encoder, EncoderConfig, Pooling};
use crate::model_folder::read_parameters;
use crate::model_folder::weights::files::weights_in;
use crate::onnx_file::header::{Header, WEIGHTS_SHA256};

/// Compares the graph's sum of weights with those in the folder, if it has any. What cannot be known is a warning.
///
/// # Errors
/// [`OnnxError::Stale`] for a graph of other weights.
pub fn check(folder: &Path, graph: &Path, config: &EncoderConfig) -> Result<Option<String>, OnnxError> {
    let Some(weights) = weights_in(folder) else { return Ok(None) };
    let again = format!("mirror export --model {0} --output {0} --overwrite", folder.display());
    let (shown, beside) = (graph.display(), weights.display());
    // ONNX Runtime reports a file that is not a graph.
    let header = Header::read(graph).ok().flatten().unwrap_or_default();
    let Some(sum) = header.metadata.get(WEIGHTS_SHA256) else {
        return Ok(Some(format!(
            "warning: {shown} does not say which weights it was made from, and may not belong to {beside}; to be sure, \
             export it again with: {again}"
        )));
    };
    let layout = Encoder::new(config.clone(), Pooling::Mean).layout();
    match read_parameters(folder, &layout, DType::F32, &Device::Cpu) {
        Ok(parameters) if parameters.sha256().is_ok_and(|found| found == *sum) => Ok(None),
        Ok(_) => Err(OnnxError::Stale { graph: graph.to_owned(), weights, again }),
        Err(error) => {
            Ok(Some(format!("warning: {shown} cannot be compared with the weights beside it: {error}")))
        }
    }
}
