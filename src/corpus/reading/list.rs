//! The files that a command line names: files, folders, patterns, standard input.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern, glob_with};

use super::ReadingError;
use super::form::Form;
use super::options::CorpusOptions;
use crate::corpus::{CorpusError, is_stdin};
use crate::output::Identity;

/// Folders within folders that are looked into.
const DEEPEST: usize = 16;

/// Where text comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
}

impl Input {
    /// What messages call it.
    pub fn name(&self) -> String {
        match self {
            Input::Stdin => "standard input".to_owned(),
            Input::File(path) => path.display().to_string(),
        }
    }

    fn is_in(&self, folder: &Path) -> bool {
        matches!(self, Input::File(path) if path.starts_with(folder))
    }

    /// The form that its name promises.
    pub fn form(&self) -> Option<Form> {
        match self {
            Input::Stdin => None,
            Input::File(path) => Form::of_name(path),
        }
    }
}

/// All inputs of a command, in the order in which they are read: as they were named, in a folder by name.
#[derive(Debug, Default)]
pub struct Listed {
    /// Files, and standard input where it is named.
    pub inputs: Vec<Input>,
    /// Folders that were looked into.
    pub folders: Vec<PathBuf>,
    /// Files of these folders that are no text by their names.
    pub(in crate::corpus) passed: Vec<PathBuf>,
    /// Files that were named more than once, and are read once.
    pub(in crate::corpus) twice: u64,
    seen: HashSet<Identity>,
}

/// Finds the files that `flag` names.
///
/// # Errors
/// Files that are not there, patterns that nothing matches, folders without text, options that fit none of the files.
pub fn list(flag: &'static str, paths: &[PathBuf], options: &CorpusOptions) -> Result<Listed, CorpusError> {
    let mut listed = Listed::default();
    for path in paths {
        listed.add(flag, path)?;
    }
    listed.check(options)?;
    Ok(listed)
}

impl Listed {
    /// What errors and reports call all of them together.
    pub fn name(&self) -> String {
        match (&self.folders[..], &self.inputs[..]) {
            (_, [input]) => input.name(),
            ([folder], inputs) if inputs.iter().all(|input| input.is_in(folder)) => {
                folder.display().to_string()
            }
            (_, [first, rest @ ..]) => format!("{} and {} more", first.name(), rest.len()),
            (_, []) => "the corpus".to_owned(),
        }
    }

    fn add(&mut self, flag: &'static str, path: &Path) -> Result<(), CorpusError> {
        if is_stdin(path) {
            if self.inputs.contains(&Input::Stdin) {
                return Err(ReadingError::StdinTwice { flag }.into());
            }
            self.inputs.push(Input::Stdin);
            return Ok(());
        }
        if let Some(pattern) = pattern(path) {
            return self.add_matches(flag, &pattern);
        }
        let cannot_read = |source| CorpusError::Read { name: path.display().to_string(), source };
        if !fs::metadata(path).map_err(cannot_read)?.is_dir() {
            self.add_file(path);
            return Ok(());
        }
        if is_ours_or_a_model(path) {
            return Err(ReadingError::Model { flag, path: path.to_owned() }.into());
        }
        let before = (self.inputs.len(), self.twice, self.passed.len());
        self.folders.push(path.to_owned());
        self.add_folder(path, 0).map_err(cannot_read)?;
        if (self.inputs.len(), self.twice) == (before.0, before.1) {
            let passed = self.passed.split_off(before.2);
            return Err(ReadingError::NoText { path: path.to_owned(), passed }.into());
        }
        Ok(())
    }

    fn add_matches(&mut self, flag: &'static str, pattern: &str) -> Result<(), CorpusError> {
        // As in a shell: hidden files are not meant by a star.
        let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::default() };
        let mut found = false;
        for path in glob_with(pattern, options).into_iter().flatten() {
            let path = path.map_err(|error| CorpusError::Read {
                name: error.path().display().to_string(),
                source: error.into(),
            })?;
            if !path.is_dir() {
                found = true;
                self.add_file(&path);
            }
        }
        if !found {
            return Err(ReadingError::NoMatch { flag, pattern: pattern.to_owned() }.into());
        }
        Ok(())
    }

    fn add_file(&mut self, path: &Path) {
        // A pipe can only be read once anyway, and has no other name.
        if self.seen.insert(Identity::of(path)) {
            self.inputs.push(Input::File(path.to_owned()));
        } else {
            self.twice += 1;
        }
    }

    /// The files of a folder and of those in it, by name, as far as their names promise text.
    fn add_folder(&mut self, folder: &Path, depth: usize) -> io::Result<()> {
        let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            // Hidden, or another tool's: .git, _SUCCESS.
            if entry.file_name().as_encoded_bytes().starts_with(b".")
                || entry.file_name().as_encoded_bytes().starts_with(b"_")
            {
                continue;
            }
            if path.is_dir() {
                // A link to a folder may lead in a circle.
                if depth < DEEPEST && !entry.file_type()?.is_symlink() && !is_ours_or_a_model(&path) {
                    self.add_folder(&path, depth + 1)?;
                }
            } else if Form::in_folder(&path).is_some() {
                self.add_file(&path);
            } else {
                self.passed.push(path);
            }
        }
        Ok(())
    }

    /// Refuses options that are for other forms than those of the files.
    fn check(&self, options: &CorpusOptions) -> Result<(), ReadingError> {
        let Some(first) = self.inputs.first() else { return Ok(()) };
        let fits = |wanted: fn(Form) -> bool| self.inputs.iter().any(|input| input.form().is_none_or(wanted));
        let (name, form) = (first.name(), first.form().unwrap_or(Form::Text));
        if !options.column.is_empty() && !fits(Form::has_columns) {
            return Err(ReadingError::NoColumns { name, form });
        }
        if !options.field.is_empty() && !fits(|form| form == Form::JsonLines) {
            return Err(ReadingError::NoFields { name, form });
        }
        Ok(())
    }
}

/// The pattern that a path is, where no file has this name.
fn pattern(path: &Path) -> Option<String> {
    let text = path.to_str().filter(|text| text.contains(['*', '?', '[']))?;
    (!path.exists() && Pattern::new(text).is_ok()).then(|| text.to_owned())
}

/// Whether a folder holds a model or a run: its vocabulary and its log are no corpus.
fn is_ours_or_a_model(folder: &Path) -> bool {
    let has = |name: &&str| folder.join(name).is_file();
    let of_models =
        ["model.safetensors", "pytorch_model.bin", "tokenizer.json", "tokenizer_config.json", "vocab.txt"];
    ["train.toml", ".mirror.json", "modules.json"].iter().any(has)
        || (has(&"config.json") && of_models.iter().any(has))
}

/// A path of a command line as it means the same from any folder. What a pattern is relative to is no part of it.
pub fn settled(path: &Path) -> io::Result<PathBuf> {
    if is_stdin(path) {
        return Ok(path.to_owned());
    }
    if pattern(path).is_none() || path.is_absolute() {
        return std::path::absolute(path);
    }
    let here = std::env::current_dir()?;
    match here.to_str() {
        Some(here) => Ok(Path::new(&Pattern::escape(here)).join(path)),
        None => std::path::absolute(path),
    }
}
