//! The configuration file that `init` writes.

use super::schema::KEYS;

/// Returns the text of a configuration file in which every key stands with its default, commented out.
pub fn template() -> String {
    use std::fmt::Write as _;
    let mut text = "\
## Configuration of git-archive-tomb. Every line below is a default: remove the first `#` of those to change.
## `git archive-tomb config-show` prints what is in force, and where it is from. Flags and environment variables
## (CODEX_ARCHIVE_URL and others) beat this file; git config (archivetomb.retry.maxAttempts) stands behind it.
## Keep passwords out of here: `${VAR}` in a string is the environment's value.
"
    .to_owned();
    let mut section = "";
    for key in KEYS {
        if key.section() != section {
            section = key.section();
            let _ = writeln!(text, "\n[{section}]");
        }
        match key.default {
            Some(default) => {
                let _ = writeln!(text, "# {} = {default}  # {}", key.last(), key.help);
            }
            // There is no default to uncomment, so it takes both signs away.
            None => {
                let _ = writeln!(text, "## {} = 0  # {}", key.last(), key.help);
            }
        }
    }
    text
}
