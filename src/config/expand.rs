//! `${VAR}` in text: the environment's value.

/// Why a text could not be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// The variable has no value.
    #[error("environment variable `{name}` is not set")]
    Unset {
        /// The variable.
        name: String,
    },
    /// A `${` without a variable's name and `}` after it.
    #[error("`${{` is not followed by the name of a variable and `}}`; write `$${{` for a plain one")]
    Malformed,
}

/// Returns `text` with every `${VAR}` replaced by what `lookup` returns, and every `$${` by `${`.
///
/// What a variable holds is not expanded again.
pub fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<String, ExpandError> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let after = &rest[start + 2..];
        if let Some(before) = rest[..start].strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = after;
            continue;
        }
        let (name, tail) = after.split_once('}').filter(|(name, _)| is_name(name)).ok_or(ExpandError::Malformed)?;
        expanded.push_str(&rest[..start]);
        expanded.push_str(&lookup(name).ok_or_else(|| ExpandError::Unset { name: name.to_owned() })?);
        rest = tail;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// Returns whether `text` would read a variable.
pub(super) fn has_variables(text: &str) -> bool {
    // An escaped `$${` expands without any lookup; what fails to expand asks for more than nothing too.
    expand(text, |_| None).is_err()
}

/// Returns `text` without its variables: what stands in the file itself.
pub(super) fn without_variables(text: &str) -> String {
    expand(text, |_| Some(String::new())).unwrap_or_else(|_| text.to_owned())
}

fn is_name(text: &str) -> bool {
    !text.starts_with(|first: char| first.is_ascii_digit())
        && !text.is_empty()
        && text.len() <= 256
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand_a(text: &str) -> Result<String, ExpandError> {
        expand(text, |name| (name == "A").then(|| "${B}".to_owned()))
    }

    #[test]
    fn variables_are_replaced_once() {
        assert_eq!(expand_a("x${A}y${A}"), Ok("x${B}y${B}".to_owned()));
        assert_eq!(expand_a("$A $ $$ {A}"), Ok("$A $ $$ {A}".to_owned()));
        assert_eq!(expand_a("$${A}"), Ok("${A}".to_owned()));
        assert_eq!(expand_a("${B}"), Err(ExpandError::Unset { name: "B".to_owned() }));
    }

    #[test]
    fn broken_variables_are_errors() {
        for text in ["${", "${}", "${A", "${1A}", "${A-b}", "${ A}", "${A:-x}", "${é}"] {
            assert_eq!(expand_a(text), Err(ExpandError::Malformed), "{text}");
            assert!(has_variables(text), "{text}");
        }
    }

    #[test]
    fn an_escaped_brace_reads_no_variable() {
        assert!(!has_variables("$${A} $A"));
        assert!(has_variables("$${A} ${A}"));
        assert_eq!(without_variables("a${A}b"), "ab");
    }
}
