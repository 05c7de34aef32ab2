//! `mirror data`

mod glue;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::progress::say;
use super::{Done, Ending, usage};
use crate::datasets::{ARCHIVE, Checked, Fetched, Manifest, REPOSITORY, check, check_glue, fetch};
use crate::hub::DownloadBar;
use crate::output::Inputs;
use crate::trainer::plan::DEFAULT_DATA;

/// Fetch the public STS data sets or GLUE's tasks, or check those that are there.
#[derive(Args)]
pub struct Data {
    #[command(subcommand)]
    command: DataCommand,
}

#[derive(Subcommand)]
enum DataCommand {
    Fetch(Fetch),
    Check(Check),
}

/// Fetch public data sets: STS12-16, STS-B and SICK-R in SentEval's layout, or GLUE's tasks in GLUE's own.
///
/// STS: one archive, the one that SimCSE's download_dataset.sh takes (senteval.tar of the hub's data set
/// princeton-nlp/datasets-for-simcse), checked file by file. GLUE: the files of nyu-mll/glue that hold the training and
/// the development sets, written as TSV, their examples counted. A download that breaks off is continued by the next run.
/// HF_ENDPOINT, HF_HOME, HF_TOKEN, HF_HUB_OFFLINE, HTTPS_PROXY and SSL_CERT_FILE are honoured.
#[derive(Args)]
#[command(after_help = "Examples:
  mirror data fetch
  mirror data fetch --from senteval.tar --output data/sts
  mirror data fetch glue RTE MRPC")]
struct Fetch {
    /// Which data sets
    #[arg(value_enum, default_value_t = Sets::Sts, value_name = "SETS")]
    sets: Sets,
    /// Tasks of GLUE [default: all]
    #[arg(value_name = "TASK")]
    tasks: Vec<String>,
    /// Take what is at hand: of STS the archive, a tar or a tar.gz; of GLUE a folder with the hub's Parquet files
    #[arg(long, value_name = "PATH")]
    from: Option<PathBuf>,
    /// Folder for the data sets [default: data/sts, or data/glue]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sets {
    Sts,
    Glue,
}

/// Report which data sets are there and complete; a folder of GLUE's tasks is known by their folders.
#[derive(Args)]
struct Check {
    /// Folder of the data sets
    #[arg(default_value = DEFAULT_DATA, value_name = "DIR")]
    folder: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Data {
    pub fn run(self) -> Done {
        match self.command {
            DataCommand::Fetch(fetch) => fetch.run(),
            DataCommand::Check(check) => check.run(),
        }
    }
}

impl Fetch {
    fn run(self) -> Done {
        let mut inputs = Inputs::default();
        self.from.iter().for_each(|path| inputs.add("--from", path));
        inputs.refuse_streams()?;
        match self.sets {
            Sets::Sts if !self.tasks.is_empty() => Err(usage(
                "STS's data sets come all together: leave their names out, or fetch GLUE's tasks with glue",
            )),
            Sets::Sts => self.sts(),
            Sets::Glue => glue::fetch(self.output, self.from, &self.tasks),
        }
    }

    fn sts(self) -> Done {
        let output = self.output.unwrap_or_else(|| DEFAULT_DATA.into());
        let fetched = fetch(&output, self.from.as_deref(), &Manifest::sts(), &mut DownloadBar::default())?;
        let shown = output.display();
        if let Fetched::Completed { missing, altered, .. } = &fetched {
            missing.iter().for_each(|path| say(&format!("added {path}")));
            altered
                .iter()
                .for_each(|path| say(&format!("replaced {path} (the old file is kept as {path}.altered)")));
        }
        let files: usize = fetched.checked().sets.iter().map(|(_, set)| set.files).sum();
        let sets = fetched.checked().sets.len();
        let done = match (&fetched, &self.from) {
            (Fetched::AlreadyThere(_), _) => "all was there already".to_owned(),
            (_, Some(archive)) => format!("from {}", archive.display()),
            (_, None) => format!("from {ARCHIVE} of {REPOSITORY}"),
        };
        writeln!(io::stdout(), "{shown}: {sets} data sets, {files} files, each checked; {done}")?;
        Ok(())
    }
}

impl Check {
    fn run(self) -> Done {
        let checked = check(&self.folder, &Manifest::sts())?;
        if checked.is_empty()
            && let Some(tasks) = check_glue(&self.folder)?
        {
            return glue::report(&tasks, self.json);
        }
        let mut out = io::stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, &checked).map_err(io::Error::from)?;
            writeln!(out)?;
        } else {
            table(&checked, &mut out)?;
        }
        out.flush()?;
        if checked.complete {
            return Ok(());
        }
        let (shown, count) = (self.folder.display(), checked.lacking().count());
        Err(Ending::Failure(anyhow::anyhow!(
            "{shown} is not complete: {count} files are altered or missing; mirror data fetch --output {shown} brings them"
        )))
    }
}

/// A row a data set, and below it the files that are not as they should be.
fn table(checked: &Checked, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{:<6}  {:>5}  {:>8}  {:>7}  {:>7}  {:>6}",
        "set", "files", "complete", "altered", "missing", "pairs"
    )?;
    for (name, set) in checked.sets.iter() {
        let pairs = set.pairs.map_or("-".to_owned(), |pairs| pairs.to_string());
        let (altered, missing) = (set.altered.len(), set.missing.len());
        writeln!(
            out,
            "{name:<6}  {:>5}  {:>8}  {altered:>7}  {missing:>7}  {pairs:>6}",
            set.files, set.complete
        )?;
    }
    for (_, set) in checked.sets.iter() {
        for (what, paths) in [("altered", &set.altered), ("missing", &set.missing)] {
            paths.iter().try_for_each(|path| writeln!(out, "{what}: {path}"))?;
        }
    }
    Ok(())
}
