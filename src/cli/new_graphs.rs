//! `mirror train --overwrite` over a folder with graphs: they are exported anew, so that they belong to the new weights.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::Device;

use super::backend::without_telemetry;
use super::progress::say;
use super::{Done, Ending};
use crate::export::verify::{self, Verification};
use crate::export::{DEFAULT_OPSET, LARGEST_FILE, OPSETS, Precision, write_graph};
use crate::onnx::Runtime;
use crate::onnx_file::header::Header;
use crate::output::written::Written;
use crate::output::{OutputError, OutputFolder};
use crate::ownership;
use crate::sentence_encoder::{Overrides, SentenceEncoder};

/// To be called first of all: ONNX Runtime may be needed at the end.
pub fn prepare(folder: &Path) {
    if ownership::graphs(folder).is_ok_and(|graphs| !graphs.is_empty()) {
        without_telemetry();
    }
}

/// Puts graphs of the run's weights beside them, in the precisions of those that this program wrote into the folder
/// that the run will take the place of. Where that fails there will be none, with a warning: the weights matter more.
pub fn add(output: &OutputFolder, device: &Device) -> Done {
    let failed = |source| OutputError::Write { path: output.path().to_owned(), source };
    let earlier = ownership::graphs(output.path()).map_err(failed)?;
    if earlier.is_empty() {
        return Ok(());
    }
    let graphs = output.work().join("onnx");
    if graphs.exists() {
        // Of a run that was killed here.
        fs::remove_dir_all(&graphs).map_err(failed)?;
    }
    if let Err(error) = export(output.work(), &earlier, device) {
        fs::remove_dir_all(&graphs).map_err(failed)?;
        let reason = match error {
            Ending::Failure(error) => error.to_string(),
            Ending::Usage(message) | Ending::Stopped { message, .. } => message,
        };
        say(&format!(
            "warning: the graphs in {} cannot be exported anew, and are left out: {reason}",
            output.path().join("onnx").display()
        ));
    }
    Ok(())
}

fn export(folder: &Path, earlier: &[(PathBuf, Header)], device: &Device) -> Done {
    let model = SentenceEncoder::load(folder, Overrides::default(), device)?;
    fs::create_dir(folder.join("onnx"))?;
    let mut files = Vec::new();
    let mut precisions = Vec::new();
    for (_, header) in earlier {
        let precision = header.metadata.get("precision").and_then(|name| name.parse::<Precision>().ok());
        let Some(precision) = precision.filter(|precision| !precisions.contains(precision)) else { continue };
        let opset = header.opset.filter(|opset| OPSETS.contains(opset)).unwrap_or(DEFAULT_OPSET);
        let path = folder.join(precision.file());
        files.extend(write_graph((&model).into(), precision, opset, &path, LARGEST_FILE)?);
        precisions.push(precision);
    }
    let below = files.iter().filter_map(|path| Some(path.strip_prefix(folder).ok()?.to_owned()));
    let graphs = Written::of(folder, below)?;
    let mut written = Written::read(folder).map_or_else(|| Written::of(folder, []), Ok)?;
    written.add(graphs);
    written.save(folder)?;
    let tried = try_out(folder, &model, &precisions)?;
    let names: Vec<&str> = precisions.iter().map(|precision| precision.file()).collect();
    say(&format!("exported anew from the new weights: {}{tried}", names.join(", ")));
    Ok(())
}

/// Runs the graphs beside the model where ONNX Runtime is there, as `mirror export` does.
fn try_out(folder: &Path, model: &SentenceEncoder, precisions: &[Precision]) -> Result<String, Ending> {
    let runtime = match Runtime::load(None) {
        Ok(runtime) => runtime,
        Err(_) => return Ok(" (not tried: ONNX Runtime is not on this machine)".to_owned()),
    };
    let verification = Verification::of(model)?;
    for &precision in precisions {
        let graph = verify::load(&runtime, folder, precision, rayon::current_num_threads())?;
        verification.measure(&graph)?.check(precision)?;
    }
    Ok(String::new())
}
