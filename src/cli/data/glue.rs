//! GLUE's tasks, fetched and checked.

use std::io::{self, Write};
use std::path::PathBuf;

use crate::cli::progress::say;
use crate::cli::{Done, Ending, usage};
use crate::datasets::{DEFAULT_GLUE, GLUE_REPOSITORY, GlueChecked, GlueState, fetch_glue};
use crate::hub::DownloadBar;
use crate::labelled::Task;

pub fn fetch(output: Option<PathBuf>, from: Option<PathBuf>, names: &[String]) -> Done {
    let named = names.iter().map(|name| Task::named(name)).collect::<Result<Vec<_>, _>>().map_err(usage)?;
    // In the registry's order, each once.
    let wanted = |task: &&'static Task| named.is_empty() || named.contains(task);
    let tasks: Vec<&'static Task> = Task::all().iter().filter(wanted).collect();
    let output = output.unwrap_or_else(|| DEFAULT_GLUE.into());
    let fetched = fetch_glue(&output, from.as_deref(), &tasks, &mut DownloadBar::default())?;
    fetched.missing.iter().for_each(|path| say(&format!("added {path}")));
    let replaced = |path: &String| say(&format!("replaced {path} (the old file is kept as {path}.altered)"));
    fetched.altered.iter().for_each(replaced);
    fetched.remarks.iter().for_each(|remark| say(remark));
    let done = match &from {
        _ if fetched.is_nothing() => "all was there already".to_owned(),
        Some(folder) => format!("from {}", folder.display()),
        None => format!("from {GLUE_REPOSITORY}"),
    };
    let examples: u64 = fetched.checked.files.iter().map(|file| file.examples).sum();
    let (shown, tasks, files) = (output.display(), tasks.len(), fetched.checked.files.len());
    writeln!(
        io::stdout(),
        "{shown}: tasks {tasks}, files {files}, examples {examples}, all counted; {done}"
    )?;
    Ok(())
}

/// A row a file, or JSON.
pub fn report(checked: &GlueChecked, json: bool) -> Done {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, checked).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{:<25}  {:>8}  state", "file", "examples")?;
        for file in &checked.files {
            let state = match file.state {
                GlueState::Complete => "complete",
                GlueState::Altered => "altered",
                GlueState::Missing => "missing",
            };
            let why = file.why.as_ref().map_or(String::new(), |why| format!(": {why}"));
            writeln!(out, "{:<25}  {:>8}  {state}{why}", file.path, file.examples)?;
        }
    }
    out.flush()?;
    if checked.complete {
        return Ok(());
    }
    let lacking = checked.files.iter().filter(|file| file.state != GlueState::Complete);
    let tasks: std::collections::BTreeSet<&str> = lacking.map(|file| file.task).collect();
    let (shown, tasks) = (checked.folder.display(), tasks.into_iter().collect::<Vec<_>>().join(" "));
    Err(Ending::Failure(anyhow::anyhow!(
        "{shown} is not complete: files are altered or missing; mirror data fetch glue {tasks} --output {shown} brings them"
    )))
}
