//! Git's C-style quoting: how paths, names and other foreign text are printed on one line.
//!
//! The form is git's own (`quote.c`, documented under `core.quotePath` in git-config(1)): inside double quotes, with
//! `\a \b \t \n \v \f \r \" \\` and three-digit octal escapes. As with `core.quotePath=false`, printable UTF-8 stays
//! readable; beyond git, everything Unicode calls non-printable (controls, line separators, bidirectional marks) is
//! escaped too, so that it reaches neither a terminal nor another language's parser.

use std::borrow::Cow;
use std::fmt::Write as _;

use bstr::ByteSlice;

/// Returns `bytes` as they are where that is plain text, else quoted.
pub fn quote(bytes: &[u8]) -> Cow<'_, str> {
    quote_avoiding(bytes, &[])
}

/// Returns `bytes` as [`quote`] does, and free of each of `forbidden` (ASCII sequences, such as a comment's end).
pub fn quote_avoiding<'a>(bytes: &'a [u8], forbidden: &[&str]) -> Cow<'a, str> {
    if let Ok(text) = std::str::from_utf8(bytes)
        && text.chars().all(is_plain)
        && !forbidden.iter().any(|sequence| text.contains(sequence))
        && text.trim() == text
        && !text.is_empty()
    {
        return Cow::Borrowed(text);
    }
    let mut quoted = String::with_capacity(bytes.len() + 2);
    quoted.push('"');
    for (start, end, character) in bytes.char_indices() {
        let raw = &bytes[start..end];
        let begins_forbidden = forbidden.iter().any(|sequence| bytes[start..].starts_with(sequence.as_bytes()));
        if begins_forbidden || (!is_plain(character) && escape_letter(character).is_none()) || raw.to_str().is_err() {
            for byte in raw {
                let _ = write!(quoted, "\\{byte:03o}");
            }
        } else if let Some(letter) = escape_letter(character) {
            quoted.push('\\');
            quoted.push(letter);
        } else {
            quoted.push(character);
        }
    }
    quoted.push('"');
    Cow::Owned(quoted)
}

/// Returns the bytes that `text` stands for: itself, or what is quoted in it. `None` if the quoting is broken.
pub fn unquote(text: &str) -> Option<Cow<'_, [u8]>> {
    let Some(inner) = text.strip_prefix('"') else {
        return Some(Cow::Borrowed(text.as_bytes()));
    };
    let inner = inner.strip_suffix('"')?.as_bytes();
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'"' => return None,
            b'\\' => {
                let [escape, tail @ ..] = rest else { return None };
                rest = tail;
                match escape {
                    b'a' => bytes.push(7),
                    b'b' => bytes.push(8),
                    b't' => bytes.push(b'\t'),
                    b'n' => bytes.push(b'\n'),
                    b'v' => bytes.push(11),
                    b'f' => bytes.push(12),
                    b'r' => bytes.push(b'\r'),
                    b'"' | b'\\' => bytes.push(*escape),
                    b'0'..=b'3' => {
                        let [second @ b'0'..=b'7', third @ b'0'..=b'7', tail @ ..] = rest else { return None };
                        bytes.push((escape - b'0') << 6 | (second - b'0') << 3 | (third - b'0'));
                        rest = tail;
                    }
                    _ => return None,
                }
            }
            byte => bytes.push(*byte),
        }
    }
    Some(Cow::Owned(bytes))
}

/// How bytes that need not be text are kept in JSON: quoted where they are not plain text.
pub(crate) mod quoted_bytes {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::quote(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = super::unquote(&text).ok_or_else(|| D::Error::custom("the quoting is broken"))?;
        Ok(bytes.into_owned())
    }
}

/// Returns `bytes` as one word of a shell, for a command that somebody may paste: nothing in it is special.
pub fn shell(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && text.bytes().all(is_plain_word) => text.to_owned(),
        Ok(text) if text.chars().all(|character| is_plain(character) || matches!(character, '"' | '\\')) => {
            format!("'{}'", text.replace('\'', r"'\''"))
        }
        // The only form with escapes; a shell that does not know it takes them for what they look like, and runs nothing.
        _ => {
            let mut word = "$'".to_owned();
            for byte in bytes {
                if is_plain_word(*byte) {
                    word.push(char::from(*byte));
                } else {
                    let _ = write!(word, "\\{byte:03o}");
                }
            }
            word + "'"
        }
    }
}

/// Returns whether `byte` means nothing to a shell.
pub(crate) fn is_plain_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._/+@,".contains(&byte)
}

/// Returns `text` on one line and harmless to a terminal: what does not print is escaped, and nothing else is.
///
/// For talk, which nobody reads back; what is read back is [quoted](quote).
pub fn printable(text: &str) -> Cow<'_, str> {
    let prints = |character: char| matches!(character, '"' | '\'' | '\\') || character.escape_debug().len() == 1;
    if text.chars().all(prints) {
        return Cow::Borrowed(text);
    }
    let mut printable = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if prints(character) {
            printable.push(character);
        } else {
            printable.extend(character.escape_debug());
        }
    }
    Cow::Owned(printable)
}

/// Returns whether `character` may stand unescaped.
fn is_plain(character: char) -> bool {
    match character {
        '"' | '\\' | char::REPLACEMENT_CHARACTER => false,
        ' '..='~' => true,
        // `escape_debug` escapes exactly what Unicode lists as non-printable or as a combining mark.
        _ => character.escape_debug().len() == 1,
    }
}

/// Returns the letter of the short escape for `character`.
fn escape_letter(character: char) -> Option<char> {
    Some(match character {
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '"' => '"',
        '\\' => '\\',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_text_stays_and_the_rest_is_quoted_as_git_does() {
        assert_eq!(quote(b"src/a b.py"), "src/a b.py");
        assert_eq!(quote("docs/é.md".as_bytes()), "docs/é.md");
        assert_eq!(quote(b"a\nb.txt"), r#""a\nb.txt""#);
        assert_eq!(quote(b"caf\xe9.txt"), r#""caf\351.txt""#);
        assert_eq!(quote(b"say \"hi\""), r#""say \"hi\"""#);
        assert_eq!(quote(b" lead"), r#"" lead""#);
        assert_eq!(quote(b""), r#""""#);
        assert_eq!(quote("a\u{2028}b\u{202e}".as_bytes()), r#""a\342\200\250b\342\200\256""#);
        assert_eq!(quote(b"\x1b[31m"), r#""\033[31m""#);
    }

    #[test]
    fn a_shell_takes_every_word_as_it_is() {
        assert_eq!(shell(b"src/a-b.py"), "src/a-b.py");
        assert_eq!(shell("it's $(é) \"\\".as_bytes()), r#"'it'\''s $(é) "\'"#);
        assert_eq!(shell(b"a\n$(x)\xff'"), r"$'a\012\044\050x\051\377\047'");
        assert_eq!(shell(b""), "''");
    }

    #[test]
    fn forbidden_sequences_disappear() {
        assert_eq!(quote_avoiding(b"a*/b", &["*/"]), r#""a\052/b""#);
        assert_eq!(quote_avoiding(b"a---b", &["--"]), r#""a\055\055-b""#);
    }

    #[test]
    fn talk_is_one_line_without_controls() {
        assert_eq!(printable("it's \"é\" \\ fine"), "it's \"é\" \\ fine");
        assert_eq!(printable("a\nb\u{1b}[31m\u{9b}\u{202e}"), r"a\nb\u{1b}[31m\u{9b}\u{202e}");
    }

    #[test]
    fn broken_quoting_is_refused() {
        for text in [r#"""#, r#""a"#, r#""a"b""#, r#""\"#, r#""\x""#, r#""\40""#, r#""\400""#, r#""\8""#] {
            assert_eq!(unquote(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn unquote_undoes_quote(bytes: Vec<u8>) {
            let quoted = quote_avoiding(&bytes, &["*/", "--", "?>"]);
            let unsafe_characters = ['\n', '\r', '\u{1b}', '\u{2028}'];
            prop_assert!(!quoted.contains(unsafe_characters));
            prop_assert!(!quoted.contains("--") && !quoted.contains("*/"));
            prop_assert_eq!(unquote(&quoted).map(Cow::into_owned), Some(bytes));
        }
    }
}
