//! A bar on standard error, where that is a terminal.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A progress bar that clears itself; nothing where standard error is no terminal or nothing is to be said.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Starts a bar over `total` bytes.
    pub(crate) fn bytes(label: &'static str, total: u64, quiet: bool) -> Self {
        Self::start(label, total, quiet, "{spinner} {msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
    }

    /// Starts a bar over `total` things.
    pub(crate) fn count(label: &'static str, total: u64, quiet: bool) -> Self {
        Self::start(label, total, quiet, "{spinner} {msg} {bar:30} {pos}/{len} {eta}")
    }

    fn start(label: &'static str, total: u64, quiet: bool, template: &str) -> Self {
        let target = if quiet || !std::io::stderr().is_terminal() {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(Some(total), target).with_style(style).with_message(label);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// Says how far it has come.
    pub(crate) fn set(&self, done: u64) {
        self.0.set_position(done);
    }

    /// Says something above the bar.
    pub(crate) fn above(&self, say: impl FnOnce()) {
        self.0.suspend(say);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
