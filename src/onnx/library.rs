//! ONNX Runtime itself: a shared library that is found and loaded when it is needed.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;

use super::{OnnxError, one_line};

/// ONNX Runtime, loaded. A process has one.
#[derive(Clone, Debug)]
pub struct Runtime {
    pub(super) environment: Environment,
}

/// The one that was loaded, and from where: loading is for good.
static LOADED: Mutex<Option<(PathBuf, Runtime)>> = Mutex::new(None);

impl Runtime {
    /// Finds and loads the library: the one asked for, else that of ORT_DYLIB_PATH, else one beside the
    /// program, else the one that scripts/fetch-onnxruntime fetched.
    ///
    /// # Errors
    /// There is none, or it is not ONNX Runtime, or too old.
    pub fn load(asked: Option<&Path>) -> Result<Self, OnnxError> {
        let path = find(asked)?;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, runtime)) = loaded.as_ref() {
            return Ok(runtime.clone());
        }
        let runtime = Runtime { environment: open(&path)? };
        *loaded = Some((path, runtime.clone()));
        Ok(runtime)
    }
}

/// Where the library is that would be loaded.
pub(crate) fn find(asked: Option<&Path>) -> Result<PathBuf, OnnxError> {
    if let Some(path) = asked {
        return library_at(path);
    }
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
        return library_at(Path::new(&path));
    }
    let beside = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.to_owned()));
    let places = beside.into_iter().chain(fetched());
    places.map(|folder| folder.join(file_name())).find(|path| path.is_file()).ok_or(OnnxError::NoLibrary)
}

/// A library that was named: a file, or a folder that has it.
fn library_at(path: &Path) -> Result<PathBuf, OnnxError> {
    let file = if path.is_dir() { path.join(file_name()) } else { path.to_owned() };
    let wrong = |reason: String| OnnxError::Library { path: file.clone(), reason };
    // A bare name would be looked for in the system's folders; what was named is a place.
    std::path::absolute(&file).and_then(std::fs::canonicalize).map_err(|error| wrong(one_line(&error)))
}

fn file_name() -> String {
    format!("{DLL_PREFIX}onnxruntime{DLL_SUFFIX}")
}

/// Where scripts/fetch-onnxruntime puts it: `$XDG_DATA_HOME/mirror`, by default `~/.local/share/mirror`.
fn fetched() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let data = set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local/share")))?;
    Some(data.join("mirror"))
}

fn open(path: &Path) -> Result<Environment, OnnxError> {
    let wrong = |reason: String| OnnxError::Library { path: path.to_owned(), reason };
    if !path.is_file() {
        return Err(wrong("it is not a file".to_owned()));
    }
    let load = || -> Result<Environment, String> {
        let builder = ort::init_from(path).map_err(|error| reason(&error))?;
        // ONNX Runtime's errors hold its messages; its logger would write to stderr as well.
        let quiet = builder.with_name("mirror").with_telemetry(false).with_logger(std::sync::Arc::new(
            |_level, _category: &str, _id: &str, _location: &str, _message: &str| {},
        ));
        quiet.build().map_err(|error| one_line(&error))
    };
    // Where a library answers with nothing at all, ort panics; its message would be a second one.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let loaded = panic::catch_unwind(AssertUnwindSafe(load));
    panic::set_hook(hook);
    loaded.unwrap_or_else(|_| Err("it gives no interface".to_owned())).map_err(wrong)
}

/// Why a library does not load, without its path, which the message has already.
fn reason(error: &ort::LoadDynamicError) -> String {
    match error {
        ort::LoadDynamicError::Dlopen { error, path } => {
            one_line(error).trim_start_matches(&format!("{}: ", path.display())).to_owned()
        }
        ort::LoadDynamicError::MissingApi { .. } => "it has no OrtGetApiBase".to_owned(),
        ort::LoadDynamicError::InvalidVersionString => "it names no version".to_owned(),
        ort::LoadDynamicError::BadVersion { version_str, .. } => format!("it has version {version_str}"),
    }
}
