//! The forms in which `mirror eval` gives its findings, and where each goes.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use sts_eval::format::{Format, Html, Json, Latex, Markdown, Table, mteb};
use sts_eval::{Bootstrap, Report};

use super::{Done, Ending, usage};
use crate::output::{OutputError, write_whole};

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
    /// Resamples of the paired bootstrap that intervals and differences in these forms come from; 0 for none
    #[arg(long, value_name = "N", default_value_t = Bootstrap::default().resamples)]
    resamples: usize,
}

impl Forms {
    /// Refuses two forms on standard output, and targets that could not be written when all is scored.
    pub fn check(&self) -> Done {
        if let Some(bootstrap) = self.bootstrap() {
            bootstrap.check().map_err(usage)?;
        }
        if self.files().filter(|(_, target)| is_stdout(target)).count() > 1 {
            return Err(usage(
                "only one of --json, --markdown, --latex and --html can go to standard output",
            ));
        }
        for (_, target) in self.files().filter(|(_, target)| !is_stdout(target)) {
            let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
            if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
                let message = format!(
                    "cannot write {}: the folder {} does not exist",
                    target.display(),
                    folder.display()
                );
                return Err(Ending::Failure(anyhow::anyhow!(message)));
            }
        }
        if let Some(folder) = self.mteb.as_ref().filter(|folder| folder.exists() && !folder.is_dir()) {
            let message = format!("{} is a file; --mteb takes a folder", folder.display());
            return Err(Ending::Failure(anyhow::anyhow!(message)));
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
    pub fn write(&self, reports: &[Report], metas: &[mteb::ModelMeta]) -> Done {
        if !self.files().any(|(_, target)| is_stdout(target)) {
            print(&Table, reports)?;
        }
        for (form, target) in self.files() {
            if is_stdout(target) {
                print(form, reports)?;
            } else {
                let mut bytes = Vec::new();
                form.write(reports, &mut bytes)?;
                write_whole(target, &bytes)?;
            }
        }
        if let Some(folder) = &self.mteb {
            for (report, meta) in reports.iter().zip(metas) {
                write_results(folder, report, meta)?;
            }
        }
        Ok(())
    }

    /// Where JSON goes, if it is asked for.
    pub fn json(&self) -> Option<&Path> {
        self.json.as_deref()
    }

    /// Where markdown goes, if it is asked for.
    pub fn markdown(&self) -> Option<&Path> {
        self.markdown.as_deref()
    }

    fn files(&self) -> impl Iterator<Item = (&'static dyn Format, &Path)> {
        let asked: [(&'static dyn Format, &Option<PathBuf>); 4] =
            [(&Json, &self.json), (&Markdown, &self.markdown), (&Latex, &self.latex), (&Html, &self.html)];
        asked.into_iter().filter_map(|(form, target)| Some((form, target.as_deref()?)))
    }
}

fn is_stdout(target: &Path) -> bool {
    target == Path::new(STDOUT)
}

fn print(form: &dyn Format, reports: &[Report]) -> Done {
    let mut out = io::stdout().lock();
    form.write(reports, &mut out)?;
    Ok(out.flush()?)
}

fn write_results(folder: &Path, report: &Report, meta: &mteb::ModelMeta) -> Done {
    for (name, content) in mteb::files(report, meta) {
        let path = folder.join(name);
        if let Some(above) = path.parent() {
            fs::create_dir_all(above)
                .map_err(|source| OutputError::Write { path: above.to_owned(), source })?;
        }
        let mut bytes = serde_json::to_vec_pretty(&content)?;
        bytes.push(b'\n');
        write_whole(&path, &bytes)?;
    }
    Ok(())
}
