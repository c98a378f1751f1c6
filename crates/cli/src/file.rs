//! Small files that options name.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Reads a text of at most `limit` bytes.
pub(crate) fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(limit + 1).read_to_string(&mut text)?;
    if text.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {limit} bytes")));
    }
    Ok(text)
}

/// The first line of a file, without its end: how secrets are kept in files.
pub(crate) fn read_first_line(path: &Path) -> io::Result<String> {
    const LIMIT: u64 = 64 * 1024;
    let text = read_text(path, LIMIT)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
