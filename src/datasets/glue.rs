//! GLUE's tasks in a folder, in GLUE's own layout: MRPC/train.tsv and so on.
//!
//! The hub has them as Parquet files, which are written as TSV here. There is no list of sums to hold the files against:
//! a file is complete where it is read without an error and has as many examples as GLUE's own.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

use super::DatasetsError;
use super::fetch::set_aside;
use crate::hub::{self, DatasetFile, Progress};
use crate::labelled::{HubRows, LabelledError, Task};
use crate::output::{NewFolders, OutputError, WholeFile, is_empty};
use crate::quote::counted;

/// The data set on the hub.
pub const GLUE_REPOSITORY: &str = "nyu-mll/glue";

/// Where GLUE's tasks are, unless another folder is named.
pub const DEFAULT_GLUE: &str = "data/glue";

/// A folder, compared with GLUE's sizes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GlueChecked {
    /// Where the tasks' folders are.
    pub folder: PathBuf,
    /// Whether every file is there with all its examples.
    pub complete: bool,
    /// The tasks' files, in order.
    pub files: Vec<GlueFile>,
}

/// A file of a task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GlueFile {
    /// The task's name.
    pub task: &'static str,
    /// Below the folder, with slashes.
    pub path: String,
    /// Its examples, as GLUE has them.
    pub examples: u64,
    /// How it is.
    pub state: GlueState,
    /// What is wrong with a file that is altered.
    pub why: Option<String>,
    #[serde(skip)]
    hub_path: String,
}

/// How a file compares with GLUE's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GlueState {
    /// There, with all its examples.
    Complete,
    /// There, and with other examples or not to be read.
    Altered,
    /// Not there.
    Missing,
}

/// What was done.
#[derive(Clone, Debug, PartialEq)]
pub struct GlueFetched {
    /// The folder's state afterwards.
    pub checked: GlueChecked,
    /// Paths of files that were not there.
    pub missing: Vec<String>,
    /// Paths of files that were there and other than they should be; each is kept as NAME.altered.
    pub altered: Vec<String>,
    /// What a reader of the files should know.
    pub remarks: Vec<String>,
}

impl GlueFetched {
    /// Whether all was there already.
    pub fn is_nothing(&self) -> bool {
        self.missing.is_empty() && self.altered.is_empty()
    }
}

/// Fills `output` with the files of some tasks, from a folder `from` with the hub's Parquet files, or from the hub.
///
/// Each file appears at once and whole. What is there and complete is left as it is, what was altered is kept as
/// NAME.altered. A folder that is not empty and has none of GLUE's tasks is refused.
///
/// # Errors
/// A file that cannot be had, is not of its task, or has other than GLUE's number of examples. What was written before it
/// stays, and the next call goes on there.
pub fn fetch_glue(
    output: &Path,
    from: Option<&Path>,
    tasks: &[&'static Task],
    progress: &mut dyn Progress,
) -> Result<GlueFetched, DatasetsError> {
    refuse_foreign(output)?;
    let before = check_tasks(output, tasks);
    let mut fetched = GlueFetched {
        checked: before.clone(),
        missing: Vec::new(),
        altered: Vec::new(),
        remarks: Vec::new(),
    };
    for file in before.files.iter().filter(|file| file.state != GlueState::Complete) {
        let task = Task::named(file.task)?;
        let found = Part::find(from, &file.hub_path, progress)?;
        let changed = found.write(task, file, &output.join(&file.path))?;
        if changed > 0 {
            let rows = counted(changed, "row");
            fetched.remarks.push(format!("{}: tabs or line breaks in {rows} are spaces now", file.path));
        }
        let done = if file.state == GlueState::Missing { &mut fetched.missing } else { &mut fetched.altered };
        done.push(file.path.clone());
    }
    fetched.checked = check_tasks(output, tasks);
    Ok(fetched)
}

/// Compares the tasks that a folder has with GLUE's sizes; none where it has no task.
///
/// # Errors
/// A folder that is not there.
pub fn check_glue(folder: &Path) -> Result<Option<GlueChecked>, DatasetsError> {
    if !folder.is_dir() {
        return Err(DatasetsError::NoFolder(folder.to_owned()));
    }
    let there: Vec<&'static Task> = tasks_in(folder).collect();
    Ok((!there.is_empty()).then(|| check_tasks(folder, &there)))
}

fn tasks_in(folder: &Path) -> impl Iterator<Item = &'static Task> {
    Task::all().iter().filter(move |task| folder.join(task.name).is_dir())
}

fn refuse_foreign(output: &Path) -> Result<(), DatasetsError> {
    if !output.exists() {
        return Ok(());
    }
    if !output.is_dir() {
        return Err(OutputError::NotAFolder(output.to_owned()).into());
    }
    let empty = is_empty(output).map_err(|source| DatasetsError::Read { path: output.to_owned(), source })?;
    match empty || tasks_in(output).next().is_some() {
        true => Ok(()),
        false => Err(DatasetsError::Foreign(output.to_owned())),
    }
}

fn check_tasks(folder: &Path, tasks: &[&'static Task]) -> GlueChecked {
    let files: Vec<_> = tasks
        .iter()
        .flat_map(|task| task.files().map(move |(name, part, rows)| (*task, name, part, rows)))
        .collect();
    let state = |&(task, name, part, examples): &(&'static Task, &str, &str, u64)| {
        let path = format!("{}/{name}.tsv", task.name);
        let (state, why) = state_of(&folder.join(&path), task, examples);
        let hub_path = format!("{}/{part}-00000-of-00001.parquet", task.hub_name);
        GlueFile { task: task.name, path, examples, state, why, hub_path }
    };
    let files: Vec<GlueFile> = files.par_iter().map(state).collect();
    let complete = files.iter().all(|file| file.state == GlueState::Complete);
    GlueChecked { folder: folder.to_owned(), complete, files }
}

fn state_of(path: &Path, task: &Task, examples: u64) -> (GlueState, Option<String>) {
    if path.symlink_metadata().is_err() {
        return (GlueState::Missing, None);
    }
    match task.read(path, examples) {
        Ok(read) if read.examples.len() as u64 == examples => (GlueState::Complete, None),
        Ok(read) => (GlueState::Altered, Some(counted(read.examples.len() as u64, "example"))),
        Err(error) => (GlueState::Altered, Some(error.to_string())),
    }
}

/// A Parquet file on disk.
enum Part {
    Given(PathBuf),
    OfHub(DatasetFile),
}

impl Part {
    fn find(from: Option<&Path>, file: &str, progress: &mut dyn Progress) -> Result<Self, DatasetsError> {
        match from {
            Some(folder) if !folder.is_dir() => Err(DatasetsError::FromIsNoFolder(folder.to_owned())),
            Some(folder) => Ok(Part::Given(folder.join(file))),
            None => Ok(Part::OfHub(hub::locate_dataset_file(&GLUE_REPOSITORY.parse()?, file, progress)?)),
        }
    }

    /// Writes it as GLUE's file, and gives how many rows were changed. A file of the hub that is not what it should be
    /// leaves the cache, so that the next run downloads it anew.
    fn write(self, task: &'static Task, file: &GlueFile, target: &Path) -> Result<u64, DatasetsError> {
        let path = match &self {
            Part::Given(path) => path.clone(),
            Part::OfHub(found) => found.path().to_owned(),
        };
        match (write(task, &path, file, target), self) {
            (
                Err(error @ (DatasetsError::Labelled(_) | DatasetsError::Examples { .. })),
                Part::OfHub(found),
            ) => {
                found.discard();
                Err(error)
            }
            (written, _) => written,
        }
    }
}

fn write(task: &'static Task, from: &Path, file: &GlueFile, target: &Path) -> Result<u64, DatasetsError> {
    let mut rows = HubRows::open(task, from)?;
    let failed = |source| OutputError::Write { path: target.to_owned(), source };
    let _new = NewFolders::above(target);
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    let mut whole = WholeFile::beside(target)?;
    let mut line = rows.header();
    loop {
        whole.write_all(line.as_bytes()).map_err(failed)?;
        match rows.next_line()? {
            Some(next) => line = next,
            None => break,
        }
    }
    if rows.given != file.examples {
        let (found, expected) = (rows.given, file.examples);
        return Err(DatasetsError::Examples { path: from.to_owned(), found, expected });
    }
    if file.state == GlueState::Altered {
        set_aside(target).map_err(failed)?;
    }
    whole.persist()?;
    Ok(rows.changed)
}

impl From<LabelledError> for DatasetsError {
    fn from(error: LabelledError) -> Self {
        DatasetsError::Labelled(Box::new(error))
    }
}
