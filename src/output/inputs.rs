//! What a command reads, so that nothing that it writes takes the place of it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::OutputError;

/// What makes two paths lead to the same file, whatever links, `..` or letter case are in them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity(Inner);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Inner {
    #[cfg(unix)]
    Inode { device: u64, inode: u64 },
    /// Of what does not exist yet: where it will be.
    Place(PathBuf),
}

impl Identity {
    pub fn of(path: &Path) -> Self {
        let metadata = fs::metadata(path);
        #[cfg(unix)]
        if let Ok(metadata) = &metadata {
            return Identity::of_metadata(metadata);
        }
        match metadata {
            Ok(_) => Identity(Inner::Place(path.canonicalize().unwrap_or_else(|_| path.to_owned()))),
            Err(_) => Identity(Inner::Place(place_of(path))),
        }
    }

    #[cfg(unix)]
    fn of_metadata(metadata: &fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Identity(Inner::Inode { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// Where a file will be that does not exist yet.
fn place_of(path: &Path) -> PathBuf {
    let path = follow(path).unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().or_else(|_| std::path::absolute(folder));
    let name = path.file_name().unwrap_or_default();
    // Where file systems usually take two cases for one name, so do we.
    let name = match cfg!(any(target_os = "macos", windows)) {
        true => name.to_ascii_lowercase(),
        false => name.to_owned(),
    };
    folder.map_or_else(|_| path.clone(), |folder| folder.join(name))
}

/// More links than this in a row are a circle.
const MOST_LINKS: usize = 40;

/// Where a path leads that may be a symbolic link, to something that need not exist.
pub(super) fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&path) {
            Ok(to) => path = path.parent().unwrap_or(Path::new("")).join(to),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many levels of symbolic links"))
}

/// A file or folder that a command reads.
struct Input {
    identity: Identity,
    /// What reads it: a flag.
    reader: String,
}

/// All that a command reads.
#[derive(Default)]
pub struct Inputs(Vec<Input>);

impl Inputs {
    /// A file or folder, which `reader` (a flag) names. One that does not exist is no input.
    pub fn add(&mut self, reader: &str, path: &Path) {
        if path.exists() {
            self.0.push(Input { identity: Identity::of(path), reader: reader.to_owned() });
        }
    }

    /// A file that is not there and would be read if it were: what is written in its place would be taken for it.
    pub fn add_absent(&mut self, reader: &str, path: &Path) {
        if !path.exists() {
            self.0.push(Input { identity: Identity::of(path), reader: reader.to_owned() });
        }
    }

    /// Standard input, where it is redirected from a file.
    pub fn add_stdin(&mut self) {
        #[cfg(unix)]
        if let Some(identity) = of_stream(&io::stdin()) {
            self.0.push(Input { identity, reader: "standard input".to_owned() });
        }
    }

    /// A folder, and every file below it for whose path there `is_read`.
    pub fn add_folder(&mut self, reader: &str, folder: &Path, is_read: impl Fn(&Path) -> bool) {
        self.add(reader, folder);
        self.add_below(reader, folder, Path::new(""), &is_read, 0);
    }

    fn add_below(
        &mut self,
        reader: &str,
        folder: &Path,
        below: &Path,
        is_read: &impl Fn(&Path) -> bool,
        depth: usize,
    ) {
        // Modules and data sets are two folders deep; this also ends circles of links.
        const DEEPEST: usize = 3;
        // A model or a data set has some hundred files; whatever has more is something else as well.
        const MOST: usize = 20_000;
        for entry in fs::read_dir(folder.join(below)).into_iter().flatten().flatten() {
            let name = below.join(entry.file_name());
            let path = folder.join(&name);
            if self.0.len() >= MOST {
                return;
            }
            if path.is_dir() {
                if depth < DEEPEST && !entry.file_name().as_encoded_bytes().starts_with(b".") {
                    self.add_below(reader, folder, &name, is_read, depth + 1);
                }
            } else if is_read(&name) {
                self.add(reader, &path);
            }
        }
    }

    /// What reads this file or folder, if something does.
    pub fn reader_of(&self, identity: &Identity) -> Option<&str> {
        self.0.iter().find(|input| input.identity == *identity).map(|input| input.reader.as_str())
    }

    /// Refuses an output that is an input.
    pub fn refuse(&self, flag: &str, path: &Path) -> Result<(), OutputError> {
        match self.reader_of(&Identity::of(path)) {
            Some(reader) => Err(OutputError::IsInput {
                output: format!("{flag} {}", path.display()),
                reader: reader.to_owned(),
            }),
            None => Ok(()),
        }
    }

    /// Refuses a folder to write to that is an input, or lies within one that is a folder.
    pub fn refuse_within(&self, flag: &str, folder: &Path) -> Result<(), OutputError> {
        self.refuse(flag, folder)?;
        let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        // What is not there yet will lie in the nearest folder that is, wherever links to it lead.
        let there = absolute.ancestors().find_map(|above| above.canonicalize().ok()).unwrap_or_default();
        for above in there.ancestors() {
            if let Some(reader) = self.reader_of(&Identity::of(above)) {
                return Err(OutputError::WithinInput {
                    output: format!("{flag} {}", folder.display()),
                    folder: above.to_owned(),
                    reader: reader.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Refuses a standard output or standard error that goes to a file that is read.
    pub fn refuse_streams(&self) -> Result<(), OutputError> {
        #[cfg(unix)]
        for (name, stream) in
            [("standard output", of_stream(&io::stdout())), ("standard error", of_stream(&io::stderr()))]
        {
            let name = format!("the file of {name}");
            if let Some(reader) = stream.and_then(|identity| self.reader_of(&identity)) {
                return Err(OutputError::IsInput { output: name, reader: reader.to_owned() });
            }
        }
        Ok(())
    }
}

/// The file that a stream is redirected to or from; none for terminals, pipes and devices.
#[cfg(unix)]
fn of_stream(stream: &impl std::os::fd::AsFd) -> Option<Identity> {
    let file = File::from(stream.as_fd().try_clone_to_owned().ok()?);
    let metadata = file.metadata().ok().filter(fs::Metadata::is_file)?;
    Some(Identity::of_metadata(&metadata))
}
