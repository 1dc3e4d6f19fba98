//! Lines for a terminal of 80 columns.

/// How wide the lines of an old terminal are.
const WIDTH: usize = 80;

/// Returns `text` in lines that are no wider than an old terminal where words allow it. The first begins with `lead`, the others
/// with `hang`.
pub(crate) fn wrap(lead: &str, hang: &str, text: &str) -> String {
    let (mut lines, mut line, mut is_empty) = (String::new(), lead.to_owned(), true);
    for word in text.split(' ') {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push_str(&line);
            lines.push('\n');
            hang.clone_into(&mut line);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    lines + &line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_as_wide_as_a_terminal_and_no_wider() {
        let text = ["word"; 31].join(" ");
        let wrapped = wrap("  # ", "  # ", &text);
        let widths: Vec<usize> = wrapped.lines().map(str::len).collect();
        assert_eq!(widths, [78, 78, 8]);
        assert_eq!(wrapped.replace("\n  # ", " "), format!("  # {text}"));
        // What is one word stays one.
        let long = "x".repeat(100);
        assert_eq!(wrap("a: ", "   ", &format!("{long} y")), format!("a: {long}\n   y"));
    }
}
