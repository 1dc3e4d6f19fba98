//! Comment syntaxes: the closed table of leaders and closers, and what values must not hold inside them.
//!
//! The table being closed lets a reader tell a stub from prose without knowing templates, and makes one place answer for
//! what foreign text could do to each language.

/// One way to write comments.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Comment {
    /// What opens a comment; empty for bare lines.
    pub(super) leader: &'static str,
    /// What ends it; empty where the line's end does.
    pub(super) closer: &'static str,
    /// Whether a comment goes on over lines until it is closed.
    pub(super) block: bool,
    /// What values must not hold besides [`FORBIDDEN`].
    forbidden: &'static [&'static str],
}

/// What no value holds under any leader or in JSON, since a repository's own template may put any leader into any language.
pub(super) const FORBIDDEN: &[&str] = &[
    // Ends of comments, and openings where comments nest.
    "*/",
    "/*",
    "-->",
    "<!--",
    "?>",
    "%>",
    "*)",
    "(*",
    "#}",
    "}}",
    "*}",
    "*@",
    "#>",
    "</",
    // What template engines evaluate, inside the comments of the language they generate too.
    "{{",
    "{%",
    "<%",
    "<?",
    "${",
    "#{",
    "$(",
    // A file's encoding, which Python and Ruby take from a comment near the top; where JavaScript's source map is; a
    // backslash in C, which continues a line comment.
    "coding:",
    "coding=",
    "sourceMappingURL",
    "??/",
    // Emacs' file variables and Vim's modelines.
    "-*-",
    "Local Variables:",
    "vi:",
    "ex:",
    "vim:",
    "vim<",
    "vim=",
    "vim>",
    "vim0",
    "vim1",
    "vim2",
    "vim3",
    "vim4",
    "vim5",
    "vim6",
    "vim7",
    "vim8",
    "vim9",
];

impl Comment {
    const fn line(leader: &'static str, forbidden: &'static [&'static str]) -> Self {
        Self { leader, closer: "", block: false, forbidden }
    }

    const fn block(leader: &'static str, closer: &'static str, forbidden: &'static [&'static str]) -> Self {
        Self { leader, closer, block: true, forbidden }
    }

    /// Returns the comment that `leader` opens.
    pub(super) fn find(leader: &[u8]) -> Option<&'static Self> {
        COMMENTS.iter().find(|comment| comment.leader.as_bytes() == leader)
    }

    /// Returns every sequence that values must not hold.
    pub(super) fn forbidden(&self) -> Vec<&'static str> {
        [FORBIDDEN, self.forbidden].concat()
    }
}

/// Every way to write comments that a stub may use.
const COMMENTS: &[Comment] = &[
    // Bare lines: a comma-separated file stays one column.
    Comment::line("", &[",", ";", "|"]),
    Comment::line("#", &[]),
    Comment::line("##", &[]),
    Comment::line("//", &[]),
    Comment::line("//-", &[]),
    // SQL*Plus substitutes `&name` even in comments.
    Comment::line("--", &["&"]),
    Comment::line(";", &[]),
    Comment::line(";;", &[]),
    Comment::line("%", &[]),
    // BibTeX takes any `@` between entries for the start of one.
    Comment::line("%%", &["@"]),
    Comment::line("\"", &[]),
    Comment::line("'", &[]),
    Comment::line("!", &[]),
    // The command interpreter expands variables and some options on `rem` lines too.
    Comment::line("@rem", &["%", "^", "!", "&", "<", ">", "|", "/?"]),
    Comment::line("dnl", &[]),
    Comment::line("@c", &[]),
    Comment::line(".\\\"", &[]),
    Comment::line("-#", &[]),
    Comment::line("*>", &[]),
    Comment::line("      *>", &[]),
    Comment::line("\\", &[]),
    Comment::block("/*", "*/", &[]),
    Comment::block("<!--", "-->", &["--"]),
    // OCaml lexes quoted strings and characters inside comments.
    Comment::block("(*", "*)", &["|", "'"]),
    Comment::block("<%#", "%>", &[]),
    Comment::block("<%--", "--%>", &["--"]),
    Comment::block("{#", "#}", &[]),
    Comment::block("{{--", "--}}", &["--"]),
    Comment::block("{{!--", "--}}", &["--"]),
    Comment::block("{{!", "}}", &[]),
    Comment::block("@*", "*@", &[]),
    Comment::block("{*", "*}", &[]),
    Comment::block("<#--", "-->", &["--"]),
    Comment::block("{/*", "*/}", &[]),
    // reStructuredText: a comment lasts as long as its indentation.
    Comment::block("..", "", &[]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_can_close_no_comment_of_the_table() {
        for comment in COMMENTS.iter().filter(|comment| !comment.closer.is_empty()) {
            let forbidden = comment.forbidden();
            let held = |sequence: &str| forbidden.iter().any(|part| sequence.contains(part));
            assert!(held(comment.closer), "{comment:?}");
        }
    }
}
