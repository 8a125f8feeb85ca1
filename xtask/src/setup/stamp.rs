//! A file that says what a folder was made from, so that work is done again only when that changes.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// Holds the text that the folder around it was made from.
pub(super) struct Stamp {
    file: PathBuf,
}

impl Stamp {
    pub(super) fn new(file: PathBuf) -> Self {
        Self { file }
    }

    /// Whether the work was finished for exactly this text.
    pub(super) fn holds(&self, text: &str) -> bool {
        std::fs::read_to_string(&self.file).is_ok_and(|held| held == text)
    }

    /// Written last: work that was cut off is done again.
    pub(super) fn write(&self, text: &str) -> Result<()> {
        std::fs::write(&self.file, text).with_context(|| format!("cannot write {}", self.file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_holds_only_for_the_text_it_was_written_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let stamp = Stamp::new(folder.path().join("stamp"));
        assert!(!stamp.holds("duckdb==2"), "nothing was made yet");
        stamp.write("duckdb==2").expect("written");
        assert!(stamp.holds("duckdb==2"));
        assert!(!stamp.holds("duckdb==3"), "the requirements changed");
    }
}
