//! Text that a command reads: a file, or standard input.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use super::Ending;
use crate::corpus::Lines;

/// Whether this names standard input.
pub fn is_stdin(path: Option<&Path>) -> bool {
    path.is_none_or(|path| path == Path::new("-"))
}

/// The lines of a file, or of standard input where there is none or it is `-`. `flag` is what took the path.
pub fn lines(path: Option<&Path>, flag: &str) -> Result<Lines<Box<dyn BufRead>>, Ending> {
    let Some(path) = path.filter(|path| !is_stdin(Some(path))) else {
        return Ok(Lines::new(Box::new(BufReader::new(io::stdin())), "standard input"));
    };
    let name = path.display().to_string();
    let file = File::open(path).map_err(|e| anyhow::anyhow!("cannot read {name}: {e}"))?;
    if file.metadata().is_ok_and(|m| m.is_dir()) {
        return Err(anyhow::anyhow!("{name} is a folder; {flag} takes a text file").into());
    }
    Ok(Lines::new(Box::new(BufReader::new(file)), name))
}
