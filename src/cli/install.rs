//! What a package of the program carries beside it: completions for shells, and manual pages.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Done, files};
use crate::output::{Inputs, OutputError, OutputFiles};

/// Print completions of commands and flags for a shell.
#[derive(Args)]
#[command(after_help = "Examples:
  mirror completions bash > ~/.local/share/bash-completion/completions/mirror
  mirror completions zsh > ~/.zfunc/_mirror
  mirror completions fish > ~/.config/fish/completions/mirror.fish")]
pub struct Completions {
    /// bash, zsh, fish, elvish or powershell
    shell: Shell,
}

impl Completions {
    pub fn run(self) -> Done {
        // Into memory first: a broken pipe is a panic in the generator and no error here.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::command(), "mirror", &mut script);
        Ok(io::stdout().write_all(&script)?)
    }
}

/// Write manual pages, one a command.
#[derive(Args)]
#[command(after_help = "Example:
  mirror man ~/.local/share/man/man1")]
pub struct ManualPages {
    /// Folder for mirror.1, mirror-train.1, …; made where it is missing
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Replace pages of these names that mirror did not write
    #[arg(long)]
    overwrite: bool,
}

impl ManualPages {
    pub fn run(self) -> Done {
        let failed = |source| OutputError::Write { path: self.folder.clone(), source };
        std::fs::create_dir_all(&self.folder).map_err(failed)?;
        let mut program = super::command().disable_help_subcommand(true);
        program.build();
        let mut pages = Vec::new();
        render(&program, "mirror", &mut pages)?;
        // None is written before all may be.
        let inputs = Inputs::default();
        let mut outputs = OutputFiles::new(&inputs, self.overwrite);
        let claimed = pages.into_iter().map(|(name, page)| {
            let path = self.folder.join(name);
            outputs.claim("DIR", &path, files::MANUAL_PAGE).map(|output| (output, page))
        });
        let claimed: Vec<_> = claimed.collect::<Result<_, _>>()?;
        Ok(claimed.iter().try_for_each(|(output, page)| output.write(page))?)
    }
}

/// The page of a command and of all below it, each with its file's name.
fn render(command: &clap::Command, name: &str, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    let mut page = files::MANUAL_MARK.as_bytes().to_vec();
    Man::new(command.clone().display_name(name)).render(&mut page)?;
    pages.push((format!("{name}.1"), page));
    command
        .get_subcommands()
        .try_for_each(|child| render(child, &format!("{name}-{}", child.get_name()), pages))
}
