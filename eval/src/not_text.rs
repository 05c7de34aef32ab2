//! Why a file is not a text of lines in UTF-8, and what makes it one: other encodings, compressed files, and the
//! binary forms that data sets come in.
//!
//! The form is recognised by the bytes, never by the file's name. Only beginnings that no text has are taken for a
//! form: a corpus may well begin with "BM" or "MZ".

use std::fmt;

pub use crate::text::decode;

/// A text that cannot be read, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotText {
    /// A file's path, or what else the text is called.
    pub name: String,
    /// What it is instead.
    pub reason: Reason,
}

/// What is there instead of lines in UTF-8. Lines count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A compressed file or an archive.
    Compressed(&'static Compression),
    /// A binary file of a known format.
    Binary(&'static Binary),
    /// UTF-16 or UTF-32, as iconv calls it.
    Wide(&'static str),
    /// As many NUL bytes in a line as no text has.
    Nul {
        /// The first line with one, from 1.
        line: u64,
    },
    /// A byte that is not UTF-8.
    NotUtf8 {
        /// The line of the first wrong byte, from 1.
        line: u64,
        /// Its place in the line, from 1.
        byte: usize,
        /// The encoding that it looks like, as iconv calls it.
        guess: Option<&'static str>,
    },
    /// Carriage returns alone end the lines.
    CarriageReturns,
}

/// A compressed format, and how one unpacks it.
#[derive(Debug, PartialEq, Eq)]
pub struct Compression {
    magic: &'static [u8],
    name: &'static str,
    /// Writes what is in a file to standard output.
    unpack: &'static str,
    /// The file name's ending.
    ending: &'static str,
}

/// A binary format, and what to convert it with.
#[derive(Debug, PartialEq, Eq)]
pub struct Binary {
    offset: usize,
    magic: &'static [u8],
    name: &'static str,
    advice: &'static str,
}

const fn compression(
    magic: &'static [u8],
    name: &'static str,
    unpack: &'static str,
    ending: &'static str,
) -> Compression {
    Compression { magic, name, unpack, ending }
}

const COMPRESSIONS: &[Compression] = &[
    compression(b"\x1f\x8b", "gzip", "zcat", ".gz"),
    compression(b"\x28\xb5\x2f\xfd", "zstd", "zstdcat", ".zst"),
    compression(b"BZh91AY&SY", "bzip2", "bzcat", ".bz2"),
    compression(b"\xfd7zXZ\0", "xz", "xzcat", ".xz"),
    compression(b"\x5d\0\0", "lzma", "xzcat", ".lzma"),
    compression(b"\x04\x22\x4d\x18", "lz4", "lz4cat", ".lz4"),
    compression(b"\x1f\x9d", "compress", "zcat", ".Z"),
    compression(b"LZIP\x01", "lzip", "lzip -dc", ".lz"),
    compression(b"\xff\x06\0\0sNaPpY", "snappy", "snzip -dc", ".sz"),
];

const COLUMNS: &str = "write its text column to a file, one sentence a line";
const DOCUMENT: &str = "save it as plain text in UTF-8";
const ARCHIVE: &str = "unpack it, and name the text file in it";
const NUMBERS: &str = "name the file of sentences instead";
const PICTURE: &str = "name a text file, one sentence a line";

const fn binary(offset: usize, magic: &'static [u8], name: &'static str, advice: &'static str) -> Binary {
    Binary { offset, magic, name, advice }
}

const BINARIES: &[Binary] = &[
    binary(0, b"PAR1", "a Parquet file", COLUMNS),
    binary(0, b"ARROW1\0\0", "an Arrow file", COLUMNS),
    binary(0, b"\xff\xff\xff\xff", "an Arrow stream", COLUMNS),
    binary(0, b"FEA1\0", "a Feather file", COLUMNS),
    binary(0, b"ORC\x0a", "an ORC file", COLUMNS),
    binary(0, b"Obj\x01", "an Avro file", COLUMNS),
    binary(0, b"\x89HDF\r", "an HDF5 file", COLUMNS),
    binary(0, b"SQLite format 3\0", "an SQLite database", COLUMNS),
    binary(0, b"\x93NUMPY", "a NumPy array", NUMBERS),
    binary(8, b"{\"", "a safetensors file", NUMBERS),
    binary(30, b"[Content_Types].xml", "an Office document", DOCUMENT),
    binary(30, b"_rels/.rels", "an Office document", DOCUMENT),
    binary(30, b"docProps/", "an Office document", DOCUMENT),
    binary(30, b"word/", "an Office document", DOCUMENT),
    binary(30, b"xl/", "an Office document", DOCUMENT),
    binary(30, b"ppt/", "an Office document", DOCUMENT),
    binary(30, b"mimetype", "an OpenDocument or EPUB file", DOCUMENT),
    binary(0, b"PK\x03\x04", "a zip archive", ARCHIVE),
    binary(0, b"PK\x05\x06", "a zip archive", ARCHIVE),
    binary(0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", ARCHIVE),
    binary(0, b"Rar!\x1a\x07", "a RAR archive", ARCHIVE),
    binary(257, b"ustar", "a tar archive", ARCHIVE),
    binary(0, b"%PDF-", "a PDF document", DOCUMENT),
    binary(0, b"{\\rtf", "an RTF document", DOCUMENT),
    binary(0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document", DOCUMENT),
    binary(0, b"\x89PNG\r", "a picture", PICTURE),
    binary(0, b"\xff\xd8\xff", "a picture", PICTURE),
    binary(0, b"GIF89a", "a picture", PICTURE),
    binary(0, b"\x7fELF", "a program", PICTURE),
];

/// Pickle's protocols 2 to 5 begin with their number.
const PICKLE: Binary = binary(0, b"\x80", "a Python pickle", COLUMNS);

impl Binary {
    fn begins(&self, bytes: &[u8]) -> bool {
        let place = || bytes.get(self.offset..self.offset + self.magic.len());
        let found = place() == Some(self.magic);
        match self.offset {
            // Letters that could begin a text.
            0 if self.magic == b"PAR1" => found && bytes.get(4).is_some_and(|&byte| is_control(byte)),
            0 => found,
            // A length of less than 2^32 before the header.
            8 => found && bytes[4..8] == [0; 4],
            30 => found && bytes.starts_with(b"PK\x03\x04"),
            _ => found && bytes[..self.offset].contains(&0),
        }
    }
}

impl Reason {
    /// By the first bytes of a text, its whole first line or more.
    pub fn of_beginning(bytes: &[u8]) -> Option<Self> {
        let wide: [(&[u8], &str); 4] = [
            (b"\xff\xfe\0\0", "UTF-32"),
            (b"\0\0\xfe\xff", "UTF-32"),
            (b"\xff\xfe", "UTF-16"),
            (b"\xfe\xff", "UTF-16"),
        ];
        if let Some((_, encoding)) = wide.iter().find(|(mark, _)| bytes.starts_with(mark)) {
            return Some(Reason::Wide(encoding));
        }
        if let Some(form) = COMPRESSIONS.iter().find(|form| bytes.starts_with(form.magic)) {
            return Some(Reason::Compressed(form));
        }
        if let Some(form) = BINARIES.iter().find(|form| form.begins(bytes)) {
            return Some(Reason::Binary(form));
        }
        matches!(bytes, [0x80, 2..=5, ..]).then_some(Reason::Binary(&PICKLE))
    }

    /// What is wrong with a line that is not text, if anything is.
    pub fn of_line(line: u64, bytes: &[u8]) -> Option<Self> {
        // A NUL or two among letters is dirt, which tokenizers drop; many are another encoding.
        let nuls = bytes.iter().filter(|&&byte| byte == 0).count();
        if nuls > 0 && nuls * 4 >= bytes.len() {
            return Some(wide_without_mark(bytes).unwrap_or(Reason::Nul { line }));
        }
        let error = std::str::from_utf8(bytes).err()?;
        let byte = error.valid_up_to() + 1;
        Some(Reason::NotUtf8 { line, byte, guess: single_byte(bytes).then_some("WINDOWS-1252") })
    }

    /// What is wrong with a whole text, if anything is. A byte order mark of UTF-8 is nothing wrong.
    pub fn of_text(bytes: &[u8]) -> Option<Self> {
        if let Some(reason) = Reason::of_beginning(bytes) {
            return Some(reason);
        }
        if bytes.contains(&0) || std::str::from_utf8(bytes).is_err() {
            let mut lines = (1..).zip(bytes.split(|&byte| byte == b'\n'));
            return lines.find_map(|(number, line)| Reason::of_line(number, line));
        }
        (!bytes.contains(&b'\n') && has_inner_return(bytes)).then_some(Reason::CarriageReturns)
    }
}

fn is_archive(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.contains(".tar.") || [".tgz", ".tbz2", ".txz"].iter().any(|ending| name.ends_with(ending))
}

fn is_control(byte: u8) -> bool {
    byte < 0x20 && !byte.is_ascii_whitespace()
}

/// Whether a carriage return stands before other text: one at the end may be half of an ending.
pub fn has_inner_return(bytes: &[u8]) -> bool {
    let inner = bytes.iter().rposition(|&byte| byte != b'\r').unwrap_or(0);
    bytes[..inner].contains(&b'\r')
}

/// UTF-16 of mostly Latin letters has a NUL for every second byte.
fn wide_without_mark(bytes: &[u8]) -> Option<Reason> {
    let nuls = |parity: usize| bytes.iter().skip(parity).step_by(2).filter(|&&byte| byte == 0).count();
    let half = bytes.len() / 2;
    match (nuls(0), nuls(1)) {
        _ if half < 2 => None,
        (0, odd) if odd * 10 >= half * 7 => Some(Reason::Wide("UTF-16LE")),
        (even, 0) if even * 10 >= half * 7 => Some(Reason::Wide("UTF-16BE")),
        _ => None,
    }
}

/// Whether bytes beyond ASCII stand alone between ASCII letters, as in Western text with a byte a character.
fn single_byte(bytes: &[u8]) -> bool {
    if bytes.iter().any(|&byte| is_control(byte)) {
        return false;
    }
    let high = |byte: &u8| *byte >= 0x80;
    let runs = bytes.split(|byte| !high(byte)).filter(|run| !run.is_empty());
    runs.clone().all(|run| run.len() <= 2) && bytes.iter().filter(|byte| high(byte)).count() * 3 < bytes.len()
}

impl fmt::Display for NotText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        let iconv = |encoding: &str| {
            format!(
                "iconv -f {encoding} -t UTF-8 {} > {}",
                shell_word(name),
                shell_word(&beside(name, "utf8"))
            )
        };
        match self.reason {
            Reason::Compressed(form) if is_archive(name) => {
                write!(
                    f,
                    "{name} is a compressed archive ({}); unpack it first: tar xf {}",
                    form.name,
                    shell_word(name)
                )
            }
            Reason::Compressed(form) => {
                let text = name.strip_suffix(form.ending).map_or_else(|| beside(name, "text"), str::to_owned);
                let (unpack, file, text) = (form.unpack, shell_word(name), shell_word(&text));
                write!(f, "{name} is compressed ({}); unpack it first: {unpack} {file} > {text}", form.name)
            }
            Reason::Binary(form) => write!(f, "{name} is {}, not text; {}", form.name, form.advice),
            Reason::Wide(encoding) => {
                write!(f, "{name} is {encoding}, not UTF-8; convert it: {}", iconv(encoding))
            }
            Reason::Nul { line } => write!(
                f,
                "{name}, line {line}: the line holds NUL bytes, as no text does; if the file is UTF-16, convert it: {}",
                iconv("UTF-16LE")
            ),
            Reason::NotUtf8 { line, byte, guess } => {
                write!(f, "{name}, line {line}: byte {byte} of the line is not valid UTF-8; ")?;
                match guess {
                    Some(encoding) => {
                        write!(f, "if the file is Latin-1 or Windows-1252, convert it: {}", iconv(encoding))
                    }
                    None => write!(
                        f,
                        "convert the file to UTF-8, with its encoding (UTF-16LE, GB18030, WINDOWS-1251, …) as ENCODING: {}",
                        iconv("ENCODING")
                    ),
                }
            }
            Reason::CarriageReturns => write!(
                f,
                "{name} ends its lines with carriage returns alone, as old Macs did; convert it: tr '\\r' '\\n' < {} > {}",
                shell_word(name),
                shell_word(&beside(name, "lines"))
            ),
        }
    }
}

impl std::error::Error for NotText {}

/// A name for a converted file beside the one that is there: "c.txt" becomes "c-utf8.txt".
pub fn beside(name: &str, what: &str) -> String {
    if name.starts_with("/dev/") {
        return format!("FILE-{what}.txt");
    }
    let folder = name.rfind(['/', '\\']).map_or(0, |slash| slash + 1);
    match name[folder..].rfind('.') {
        Some(dot) if dot > 0 => format!("{}-{what}{}", &name[..folder + dot], &name[folder + dot..]),
        _ => format!("{name}-{what}.txt"),
    }
}

/// A file name as one word of a shell's command line. What is no file ("standard input") is FILE.
pub fn shell_word(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:@%,".contains(c);
    match name {
        _ if name.starts_with("standard input") => name.replacen("standard input", "FILE", 1),
        _ if name.starts_with("/dev/fd/") => "FILE".to_owned(),
        _ if !name.is_empty() && name.chars().all(plain) => name.to_owned(),
        _ => format!("'{}'", name.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: &str, bytes: &[u8]) -> String {
        let reason = Reason::of_text(bytes);
        reason.map_or_else(String::new, |reason| NotText { name: name.to_owned(), reason }.to_string())
    }

    #[test]
    fn forms_are_named_with_what_to_do() {
        for (name, bytes, says) in [
            (
                "d/c.txt.gz",
                &b"\x1f\x8b\x08\0"[..],
                "d/c.txt.gz is compressed (gzip); unpack it first: zcat d/c.txt.gz > d/c.txt",
            ),
            ("c 1", b"\x28\xb5\x2f\xfd\0", "unpack it first: zstdcat 'c 1' > 'c 1-text.txt'"),
            (
                "c.tar.gz",
                b"\x1f\x8b\x08\0",
                "is a compressed archive (gzip); unpack it first: tar xf c.tar.gz",
            ),
            ("c.txt", b"\xca\x4e\x29\x59\x14\x6c\x88\x5f", "with its encoding (UTF-16LE"),
            ("c.bz2", b"BZh91AY&SY", "bzcat c.bz2 > c"),
            ("c.xz", b"\xfd7zXZ\0\0", "xzcat c.xz > c"),
            ("c.zip", b"PK\x03\x04\x14\0", "c.zip is a zip archive"),
            (
                "c.docx",
                b"PK\x03\x04\x14\0\x06\0\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x13\0\0\0[Content_Types].xml",
                "an Office document",
            ),
            ("c.parquet", b"PAR1\x15\x04", "c.parquet is a Parquet file, not text; write its text column"),
            ("c.arrow", b"ARROW1\0\0", "an Arrow file"),
            ("e.npy", b"\x93NUMPY\x01\0", "a NumPy array, not text; name the file of sentences"),
            ("m", b"\x40\0\0\0\0\0\0\0{\"a\":", "a safetensors file"),
            ("c.pdf", b"%PDF-1.7\n", "a PDF document"),
            (
                "c.txt",
                b"\xff\xfeA\0\n\0",
                "c.txt is UTF-16, not UTF-8; convert it: iconv -f UTF-16 -t UTF-8 c.txt > c-utf8.txt",
            ),
            ("c.txt", b"\xff\xfe\0\0A\0\0\0", "is UTF-32,"),
            ("c.txt", b"A\0 \0m\0a\0n\0\n\0b\0", "iconv -f UTF-16LE -t UTF-8 c.txt"),
            ("c.txt", b"\0A\0 \0m\0\n\0b", "iconv -f UTF-16BE -t UTF-8 c.txt"),
            ("c.txt", b"fine\na\0b", "c.txt, line 2: the line holds NUL bytes"),
            (
                "c.txt",
                b"fine\nun caf\xe9 noir",
                "c.txt, line 2: byte 7 of the line is not valid UTF-8; if the file is Latin-1",
            ),
            (
                "c.txt",
                b"\xc4\xe3\xba\xc3\xca\xc0\xbd\xe7\n",
                "line 1: byte 1 of the line is not valid UTF-8; convert the file to UTF-8, with its encoding",
            ),
            (
                "c.txt",
                b"one\rtwo\rthree\r",
                "carriage returns alone, as old Macs did; convert it: tr '\\r' '\\n' < c.txt > c-lines.txt",
            ),
            ("standard input", b"\x1f\x8b\x08\0", "zcat FILE > FILE-text.txt"),
        ] {
            let sentence = said(name, bytes);
            assert!(sentence.contains(says) && sentence.lines().count() == 1, "{says:?} in {sentence:?}");
        }
    }

    #[test]
    fn text_is_text_however_it_begins() {
        for text in [
            "",
            "\u{feff}a\n",
            "BMW and MZ\n",
            "PK is a name\nPAR1\n",
            "BZh\n",
            "a\rb\nc",
            "a\r",
            "\r\n",
            "GIF\n",
            "%PD",
            "\u{85}\u{2028}é\n",
            "\0null and void\n",
        ] {
            assert_eq!(said("c.txt", text.as_bytes()), "", "{text:?}");
        }
    }
}
