//! The checkpoints of a run: OUTPUT/checkpoints/step-00000123/ and its neighbours.
//!
//! A checkpoint is four files (five where the best weights are not the latest): all weights,
//! the optimizer's moments and what loss terms remember, how far the run has come, and a manifest of
//! their SHA-256 sums. It is written to a temporary folder, each file synced, and then renamed: a folder
//! of that name is whole, unless something damaged it later, which its manifest shows.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::CheckpointError;
use super::manifest::{FileSum, MANIFEST, Manifest, SummingFile, read_at_most};
use super::origin::Origin;
use super::scores::{HeldOutScore, PerplexityScore, Score, TaskScore};
use crate::encoder::{Layout, Parameters};
use crate::model_folder::weights::safetensors_file::SafetensorsFile;
use crate::model_folder::weights::tensors;
use crate::output::written::files_below;
use crate::output::{TEMPORARY, json, remove_temporaries, set_listable, sync_folder, write_json};
use crate::quote::reason;
use candle_core::{DType, Device};
use serde::{Deserialize, Serialize};

/// The folder of checkpoints in an output folder.
pub const CHECKPOINTS: &str = "checkpoints";

const MODEL: &str = "model.safetensors";
const BEST: &str = "best.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.json";
const ORIGIN: &str = "run.json";
const PREFIX: &str = "step-";

/// run.json is a handful of sums.
const LARGEST_ORIGIN: u64 = 1 << 16;
/// A score takes a hundred bytes, what was measured on held-out lines some more.
const LARGEST_STATE: u64 = 1 << 30;

/// How far a run has come: state.json.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Updates made.
    pub step: u64,
    /// Counted from 0.
    pub epoch: u64,
    /// Batches of this epoch that were trained on.
    pub position: u64,
    /// Length of metrics.jsonl.
    pub metrics_bytes: u64,
    /// Of scored sets, in the order in which they were taken.
    pub scores: Vec<Score>,
    /// What was measured on held-out lines.
    #[serde(default)]
    pub held_out: Vec<HeldOutScore>,
    /// What was measured on labelled text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskScore>,
    /// What was measured on held-out lines with masked words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub perplexities: Vec<PerplexityScore>,
    /// `None` before the first score.
    pub best: Option<BestState>,
    /// Loss terms whose memory is in the optimizer's file.
    pub memories: Vec<String>,
    /// What the run started from, and on which machine.
    pub origin: Origin,
}

/// The best score so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BestState {
    /// Steps made when it was taken.
    pub step: u64,
    /// The score's bits as an integer: what is read from a decimal number may be off by the last bit,
    /// and then two scores that were equal are not.
    pub score_bits: u64,
}

/// What a checkpoint is made of.
pub struct Snapshot<'a> {
    /// How far the run has come.
    pub state: State,
    /// The latest weights.
    pub weights: &'a Parameters,
    /// AdamW's first moment.
    pub m: &'a Parameters,
    /// AdamW's second moment.
    pub v: &'a Parameters,
    /// What loss terms remember, by their names.
    pub memories: Vec<(&'static str, &'a Parameters)>,
    /// The weights that scored best, where they are not the latest.
    pub best: Option<&'a Parameters>,
}

/// A checkpoint, read and verified.
pub struct Checkpoint {
    /// Where it was read from.
    pub folder: PathBuf,
    /// How far the run had come.
    pub state: State,
    /// The latest weights.
    pub weights: Parameters,
    /// AdamW's first moment.
    pub m: Parameters,
    /// AdamW's second moment.
    pub v: Parameters,
    /// What loss terms remember, by their names.
    pub memories: BTreeMap<String, Parameters>,
    /// The weights that scored best, where they are not the latest.
    pub best: Option<Parameters>,
}

/// The newest whole checkpoint, and a sentence for each newer one that is not whole.
pub struct Newest {
    /// `None` where there is no whole one.
    pub checkpoint: Option<Checkpoint>,
    /// Why each newer one cannot be used.
    pub skipped: Vec<String>,
}

/// The checkpoints of one output folder, whose lock the caller holds.
pub struct RunCheckpoints {
    folder: PathBuf,
    keep_last: usize,
}

impl RunCheckpoints {
    /// Looks into an output folder, and clears away what a killed run left half-written.
    pub fn open(output: &Path, keep_last: usize) -> Result<Self, CheckpointError> {
        let folder = output.join(CHECKPOINTS);
        if folder.is_dir() {
            remove_temporaries(&folder)
                .map_err(|source| CheckpointError::Write { path: folder.clone(), source })?;
        }
        Ok(RunCheckpoints { folder, keep_last })
    }

    /// Records what the run starts from, or refuses what differs from the record. Returns a warning where it is the
    /// same run on another machine.
    pub fn settle_origin(&self, origin: &Origin) -> Result<Option<String>, CheckpointError> {
        let path = self.folder.join(ORIGIN);
        let bytes = match read_at_most(&path, LARGEST_ORIGIN) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.create()?;
                write_json(&path, origin)?;
                return Ok(None);
            }
            Err(source) => return Err(CheckpointError::Read { path, source }),
        };
        match serde_json::from_slice::<Origin>(&bytes) {
            Ok(earlier) => origin.check_against(&earlier),
            Err(e) => Err(CheckpointError::Origin { path, reason: reason(e) }),
        }
    }

    fn create(&self) -> Result<(), CheckpointError> {
        let output = self.folder.parent().unwrap_or(Path::new(""));
        fs::create_dir_all(&self.folder)
            .and_then(|()| sync_folder(output))
            .map_err(|source| CheckpointError::Write { path: self.folder.clone(), source })
    }

    /// Writes a checkpoint whole or not at all. Older ones stay; see [`RunCheckpoints::prune`].
    pub fn save(&self, snapshot: &Snapshot) -> Result<PathBuf, CheckpointError> {
        self.create()?;
        let folder = self.folder.join(format!("{PREFIX}{:08}", snapshot.state.step));
        self.write(snapshot, &folder)
            .map_err(|source| CheckpointError::Write { path: folder.clone(), source })?;
        Ok(folder)
    }

    fn write(&self, snapshot: &Snapshot, folder: &Path) -> io::Result<()> {
        // Dropped on any error, and with it what was written so far.
        let temporary = tempfile::Builder::new().prefix(TEMPORARY).tempdir_in(&self.folder)?;
        let mut sums = BTreeMap::new();
        let mut write = |name: &str, fill: &dyn Fn(&mut SummingFile) -> io::Result<()>| {
            let mut file = SummingFile::create(&temporary.path().join(name))?;
            fill(&mut file)?;
            io::Result::Ok(sums.insert(name.to_owned(), file.finish()?))
        };
        write(MODEL, &|file| tensors::write(&[(String::new(), snapshot.weights)], &[], file))?;
        let mut optimizer = vec![("m.".to_owned(), snapshot.m), ("v.".to_owned(), snapshot.v)];
        optimizer.extend(snapshot.memories.iter().map(|&(term, memory)| (format!("{term}."), memory)));
        write(OPTIMIZER, &|file| tensors::write(&optimizer, &[], file))?;
        if let Some(best) = snapshot.best {
            write(BEST, &|file| tensors::write(&[(String::new(), best)], &[], file))?;
        }
        write(STATE, &|file| file.write_all(&json(&snapshot.state)?))?;
        let mut manifest = SummingFile::create(&temporary.path().join(MANIFEST))?;
        manifest.write_all(&json(&Manifest::new(sums))?)?;
        let _: FileSum = manifest.finish()?;
        set_listable(temporary.path())?;
        sync_folder(temporary.path())?;
        // One of the same step can only be one that was found damaged.
        self.set_aside(folder)?;
        fs::rename(temporary.path(), folder)?;
        // It is no longer there to be removed.
        let _ = temporary.keep();
        sync_folder(&self.folder)
    }

    /// Removes a checkpoint of this program in two steps, so that none is ever half-removed under its name.
    fn set_aside(&self, folder: &Path) -> io::Result<()> {
        if !folder.exists() {
            return Ok(());
        }
        if !is_ours(folder) {
            let what = "it is there and is no checkpoint of mirror; move it away";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
        }
        let aside = tempfile::Builder::new().prefix(TEMPORARY).tempdir_in(&self.folder)?;
        fs::rename(folder, aside.path().join("old"))?;
        sync_folder(&self.folder)?;
        aside.close()
    }

    /// Removes all but the newest `keep_last` of the checkpoints up to `step`.
    pub fn prune(&self, step: u64) -> Result<(), CheckpointError> {
        let ours = self.steps()?.into_iter().filter(|(_, folder)| is_ours(folder));
        let kept = ours.filter(|&(other, _)| other <= step);
        for (_, folder) in kept.skip(self.keep_last.max(1)) {
            self.set_aside(&folder)
                .map_err(|source| CheckpointError::Write { path: folder.clone(), source })?;
        }
        Ok(())
    }

    /// Steps and folders of all checkpoints, the newest first.
    fn steps(&self) -> Result<Vec<(u64, PathBuf)>, CheckpointError> {
        let failed = |source| CheckpointError::Read { path: self.folder.clone(), source };
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(failed(source)),
        };
        let mut steps = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            steps.extend(name.to_str().and_then(step_of).map(|step| (step, entry.path())));
        }
        steps.sort_by(|a, b| b.cmp(a));
        Ok(steps)
    }

    /// The newest checkpoint that is whole. An error if there are some, all of them broken.
    pub fn newest(
        &self,
        layout: &Arc<Layout>,
        dtype: DType,
        device: &Device,
    ) -> Result<Newest, CheckpointError> {
        let mut broken = Vec::new();
        for (step, folder) in self.steps()? {
            match Checkpoint::read(step, &folder, layout, dtype, device) {
                Ok(checkpoint) => {
                    let skipped =
                        broken.into_iter().map(|b| format!("warning: skipped a broken checkpoint: {b}"));
                    return Ok(Newest { checkpoint: Some(checkpoint), skipped: skipped.collect() });
                }
                Err(reason) => {
                    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    broken.push(format!("in {name}, {reason}"));
                }
            }
        }
        if broken.is_empty() {
            return Ok(Newest { checkpoint: None, skipped: Vec::new() });
        }
        Err(CheckpointError::AllBroken { folder: self.folder.clone(), reasons: broken.join("; ") })
    }

    /// Leaves no folder of checkpoints behind a run that ended without having written one.
    pub fn finish(&self) -> Result<(), CheckpointError> {
        if self.steps()?.is_empty() {
            // Best effort: the run's result is written, and an empty folder harms nobody.
            let _ = fs::remove_file(self.folder.join(ORIGIN));
            let _ = fs::remove_dir(&self.folder);
        }
        Ok(())
    }
}

/// The step of a checkpoint's folder, by its name: `step-` and eight digits or more.
fn step_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?;
    let is_number = digits.len() >= 8 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

/// Whether a folder is a checkpoint that this program wrote, sound or damaged: it has such a name, and nothing in it
/// but a checkpoint's files.
fn is_ours(folder: &Path) -> bool {
    const FILES: [&str; 5] = [MODEL, BEST, OPTIMIZER, STATE, MANIFEST];
    let named = folder.file_name().and_then(|name| step_of(name.to_str()?)).is_some();
    let is_file = |entry: io::Result<fs::DirEntry>| {
        entry.is_ok_and(|entry| {
            FILES.iter().any(|file| entry.file_name() == *file)
                && entry.file_type().is_ok_and(|t| t.is_file())
        })
    };
    named
        && !folder.is_symlink()
        && folder.join(OPTIMIZER).is_file() | folder.join(STATE).is_file() | folder.join(MANIFEST).is_file()
        && fs::read_dir(folder).is_ok_and(|mut entries| entries.all(is_file))
}

/// The files of checkpoints in an output folder that this program wrote, by their paths below it.
pub fn owned(output: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = output.join(CHECKPOINTS);
    let origin = read_at_most(&folder.join(ORIGIN), LARGEST_ORIGIN).ok();
    // Where no run of ours began, nothing is ours.
    if folder.is_symlink() || origin.is_none_or(|origin| serde_json::from_slice::<Origin>(&origin).is_err()) {
        return Ok(Vec::new());
    }
    let mut files = vec![Path::new(CHECKPOINTS).join(ORIGIN)];
    for entry in fs::read_dir(&folder)? {
        let entry = entry?;
        let below = Path::new(CHECKPOINTS).join(entry.file_name());
        if is_ours(&entry.path()) {
            files.extend(files_below(&entry.path())?.into_iter().map(|file| below.join(file)));
        }
    }
    Ok(files)
}

impl Checkpoint {
    /// Reads all of a checkpoint; the error says what is wrong with it.
    fn read(
        step: u64,
        folder: &Path,
        layout: &Arc<Layout>,
        dtype: DType,
        device: &Device,
    ) -> Result<Self, String> {
        let manifest = Manifest::read(folder)?;
        let verified = |name: &str| manifest.verify(folder, name).map(|()| folder.join(name));
        let state = read_at_most(&verified(STATE)?, LARGEST_STATE).map_err(|e| format!("{STATE}: {e}"))?;
        let state: State = serde_json::from_slice(&state).map_err(|e| format!("{STATE}: {}", reason(e)))?;
        if state.step != step {
            return Err(format!("{STATE} is of step {}", state.step));
        }
        // Verified first, and then read a tensor at a time: neither needs the whole file in memory.
        let open = |name: &str| SafetensorsFile::open(&verified(name)?).map_err(|e| format!("{name}: {e}"));
        let weights = |name: &str| -> Result<Parameters, String> {
            tensors::read(&open(name)?, "", layout, dtype, device).map_err(|e| format!("{name}: {e}"))
        };
        let optimizer = open(OPTIMIZER)?;
        let moments = |prefix: &str| {
            tensors::read(&optimizer, prefix, layout, dtype, device).map_err(|e| format!("{OPTIMIZER}: {e}"))
        };
        let memories = state.memories.iter().map(|term| Ok((term.clone(), moments(&format!("{term}."))?)));
        let other_best = state.best.as_ref().is_some_and(|best| best.step != step);
        Ok(Checkpoint {
            folder: folder.to_owned(),
            weights: weights(MODEL)?,
            m: moments("m.")?,
            v: moments("v.")?,
            memories: memories.collect::<Result<_, String>>()?,
            best: other_best.then(|| weights(BEST)).transpose()?,
            state,
        })
    }
}
