//! The forms in which `mirror eval` gives its findings, and where each goes.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use sts_eval::format::{Format, Html, Json, Latex, Markdown, Table, mteb};
use sts_eval::{Bootstrap, Report};

use super::{Done, Ending, failure, files, usage};
use crate::output::{Form, Inputs, OutputError, OutputFile, OutputFiles, write_json};

const STDOUT: &str = "-";

#[derive(Args)]
pub struct Forms {
    /// Write all findings as JSON (- for standard output)
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write markdown tables (- for standard output)
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write LaTeX tables (- for standard output)
    #[arg(long, value_name = "FILE")]
    latex: Option<PathBuf>,
    /// Write a page to look at: scores, intervals, drawings, the pairs most wrong (- for standard output)
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write results as MTEB keeps them, a file a task, into results/MODEL/… below this folder
    #[arg(long, value_name = "DIR")]
    mteb: Option<PathBuf>,
    /// Replace files that mirror eval did not write; never one that is read
    #[arg(long)]
    overwrite: bool,
    /// Resamples of the paired bootstrap that intervals and differences in these forms come from; 0 for none
    #[arg(long, value_name = "N", default_value_t = Bootstrap::default().resamples)]
    resamples: usize,
}

impl Forms {
    /// Settles where each form goes. Refuses two forms on standard output, targets that could not be written when all
    /// is scored, and what must stay as it is.
    pub fn claim(&self, inputs: &Inputs, models: &[String]) -> Result<Targets, Ending> {
        if let Some(bootstrap) = self.bootstrap() {
            bootstrap.check().map_err(usage)?;
        }
        inputs.refuse_streams()?;
        if self.files().filter(|asked| is_stdout(asked.path)).count() > 1 {
            return Err(usage(
                "only one of --json, --markdown, --latex and --html can go to standard output",
            ));
        }
        let mut outputs = OutputFiles::new(inputs, self.overwrite);
        let mut targets = Vec::new();
        for asked in self.files() {
            if is_stdout(asked.path) {
                targets.push(None);
                continue;
            }
            let folder = asked.path.parent().filter(|folder| !folder.as_os_str().is_empty());
            if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
                let (path, folder) = (asked.path.display(), folder.display());
                return Err(failure(format!("cannot write {path}: the folder {folder} does not exist")));
            }
            targets.push(Some(outputs.claim(asked.flag, asked.path, asked.known)?));
        }
        if let Some(folder) = &self.mteb {
            self.check_mteb(folder, inputs, models)?;
        }
        Ok(Targets(targets))
    }

    /// Refuses a folder of results in which files not written by mirror would be replaced.
    fn check_mteb(&self, folder: &Path, inputs: &Inputs, models: &[String]) -> Done {
        if folder.exists() && !folder.is_dir() {
            return Err(failure(format!("{} is a file; --mteb takes a folder", folder.display())));
        }
        for model in models {
            let results = folder.join(mteb::folder(model));
            for entry in fs::read_dir(&results).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.extension().is_some_and(|extension| extension == "json") {
                    OutputFiles::new(inputs, self.overwrite).claim("--mteb", &path, files::MTEB)?;
                }
            }
        }
        Ok(())
    }

    /// Whether some form has more than the table of scores.
    pub fn are_full(&self) -> bool {
        self.mteb.is_some() || self.files().next().is_some()
    }

    /// The settings of the bootstrap, where one is wanted. The seed is always the same, so that reports are, too.
    pub fn bootstrap(&self) -> Option<Bootstrap> {
        let wanted = self.resamples > 0 && self.files().next().is_some();
        wanted.then(|| Bootstrap { resamples: self.resamples, ..Bootstrap::default() })
    }

    /// Writes each form to its place, and the table to standard output unless another form goes there.
    pub fn write(&self, targets: &Targets, reports: &[Report], metas: &[mteb::ModelMeta]) -> Done {
        if !targets.0.iter().any(Option::is_none) {
            print(&rendered("", |bytes| Table.write(reports, bytes))?)?;
        }
        for (asked, target) in self.files().zip(&targets.0) {
            let bytes = rendered(asked.mark, |bytes| asked.form.write(reports, bytes))?;
            match target {
                Some(file) => file.write(&bytes)?,
                None => print(&bytes)?,
            }
        }
        if let Some(folder) = &self.mteb {
            for (report, meta) in reports.iter().zip(metas) {
                write_results(folder, report, meta)?;
            }
        }
        Ok(())
    }

    /// Whether JSON, and whether markdown, is asked for.
    pub fn json_and_markdown(&self) -> (bool, bool) {
        (self.json.is_some(), self.markdown.is_some())
    }

    fn files<'a>(&'a self) -> impl Iterator<Item = Asked<'a>> {
        let asked = |flag, form: &'static dyn Format, known, mark, path: &'a Option<PathBuf>| {
            Some(Asked { flag, form, known, mark, path: path.as_deref()? })
        };
        let all = [
            asked("--json", &Json, files::JSON, "", &self.json),
            asked("--markdown", &Markdown, files::MARKDOWN, files::MARKDOWN_MARK, &self.markdown),
            asked("--latex", &Latex, files::LATEX, files::LATEX_MARK, &self.latex),
            asked("--html", &Html, files::HTML, "", &self.html),
        ];
        all.into_iter().flatten()
    }
}

/// A form that is asked for.
struct Asked<'a> {
    flag: &'static str,
    form: &'static dyn Format,
    /// How one of an earlier run is known.
    known: Form,
    /// What it begins with, to be known by.
    mark: &'static str,
    path: &'a Path,
}

/// Where the forms go, in the order of their flags; None is standard output.
pub struct Targets(Vec<Option<OutputFile>>);

impl Targets {
    /// Those that are files.
    pub fn files(&self) -> impl Iterator<Item = &OutputFile> {
        self.0.iter().flatten()
    }

    pub fn iter(&self) -> impl Iterator<Item = Option<&OutputFile>> {
        self.0.iter().map(Option::as_ref)
    }
}

/// What a form writes after its mark.
pub fn rendered(mark: &str, write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<Vec<u8>> {
    let mut bytes = mark.as_bytes().to_vec();
    write(&mut bytes)?;
    Ok(bytes)
}

fn is_stdout(target: &Path) -> bool {
    target == Path::new(STDOUT)
}

pub fn print(bytes: &[u8]) -> Done {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    Ok(out.flush()?)
}

fn write_results(folder: &Path, report: &Report, meta: &mteb::ModelMeta) -> Done {
    for (name, content) in mteb::files(report, meta) {
        let path = folder.join(name);
        if let Some(above) = path.parent() {
            fs::create_dir_all(above)
                .map_err(|source| OutputError::Write { path: above.to_owned(), source })?;
        }
        write_json(&path, &content)?;
    }
    Ok(())
}
