//! What a download reports while it runs.

use indicatif::{ProgressBar, ProgressStyle};

/// Hears of each file that is downloaded, one after the other; files in the cache are not mentioned.
pub trait Progress {
    /// A file of `total` bytes (if the server declares it) begins, `present` bytes of it being there from
    /// an earlier run. Called again for the same file when it has to be started over.
    fn start(&mut self, file: &str, total: Option<u64>, present: u64);
    /// More bytes have arrived.
    fn advance(&mut self, bytes: u64);
    /// The file is complete and checked.
    fn finish(&mut self);
}

/// Tells nobody.
impl Progress for () {
    fn start(&mut self, _file: &str, _total: Option<u64>, _present: u64) {}
    fn advance(&mut self, _bytes: u64) {}
    fn finish(&mut self) {}
}

const WITH_TOTAL: &str = "{msg} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec} ({eta} left)";
const WITHOUT_TOTAL: &str = "{msg} {bytes} {bytes_per_sec}";

/// A bar on stderr for each file; nothing where stderr is no terminal.
#[derive(Default)]
pub struct DownloadBar {
    bar: Option<ProgressBar>,
}

impl Progress for DownloadBar {
    fn start(&mut self, file: &str, total: Option<u64>, present: u64) {
        let template = if total.is_some() { WITH_TOTAL } else { WITHOUT_TOTAL };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new).with_style(style);
        bar.set_message(file.to_owned());
        // The speed shown is that of this run: bytes of an earlier one do not count.
        bar.set_position(present);
        bar.reset_eta();
        self.bar = Some(bar);
    }

    fn advance(&mut self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
        }
    }

    fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_begins_where_an_earlier_run_ended() {
        assert!(ProgressStyle::with_template(WITH_TOTAL).is_ok());
        assert!(ProgressStyle::with_template(WITHOUT_TOTAL).is_ok());
        let mut bar = DownloadBar::default();
        bar.start("model.safetensors", Some(100), 30);
        bar.advance(20);
        let shown = bar.bar.clone().unwrap();
        assert_eq!((shown.position(), shown.length()), (50, Some(100)));
        bar.finish();
        assert!(shown.is_finished());
    }
}
