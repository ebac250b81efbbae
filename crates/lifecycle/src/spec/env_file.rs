//! Environment files of `fileKeyRef`: `KEY='value'` lines, a strict subset of POSIX shell (contract §13).

/// Longest line that upstream's line reader takes.
const MAX_LINE: usize = 64 * 1024;

/// Why a file cannot be read. Users only see `couldn't parse env file`; this goes to the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvFileError {
    /// A line does not fit the format.
    #[error("invalid environment variable format at line {line}: {problem}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// A quote is never closed.
    #[error("invalid environment variable format starting at line {line}: unclosed single quote")]
    Unclosed {
        /// Line that opened it, counted from 1.
        line: usize,
    },
    /// A line is longer than 64 KiB.
    #[error("line {line} is longer than {MAX_LINE} bytes")]
    TooLong {
        /// Counted from 1.
        line: usize,
    },
}

/// The value of `key`, empty when the file does not have it (upstream treats both alike). Reads no further than the
/// key, so errors behind it stay unnoticed.
///
/// # Errors
/// A line before the key that does not fit the format.
pub fn parse(text: &str, key: &str) -> Result<String, EnvFileError> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let mut lines = text
        .split('\n')
        .map(|line| line.strip_suffix('\r').unwrap_or(line))
        .enumerate()
        .map(|(n, l)| (n + 1, l));
    while let Some((number, line)) = lines.next() {
        let wrong = |problem| EnvFileError::Line { line: number, problem };
        if line.len() >= MAX_LINE {
            return Err(EnvFileError::TooLong { line: number });
        }
        let line = line.trim_start_matches([' ', '\t']);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = line.split_once('=').ok_or_else(|| wrong("missing '='"))?;
        let trimmed = name.trim_end_matches([' ', '\t']);
        if trimmed.is_empty() {
            return Err(wrong("empty variable name"));
        }
        if trimmed != name {
            return Err(wrong("whitespace before '=' is not allowed"));
        }
        if value.starts_with([' ', '\t']) {
            if name == key {
                return Ok(String::new());
            }
            continue;
        }
        let mut rest =
            value.strip_prefix('\'').ok_or_else(|| wrong("value must be enclosed in single quotes"))?;
        let mut found = String::new();
        let after = loop {
            if let Some((head, after)) = rest.split_once('\'') {
                found.push_str(head);
                break after;
            }
            found.push_str(rest);
            found.push('\n');
            let (next_number, next) = lines.next().ok_or(EnvFileError::Unclosed { line: number })?;
            if next.len() >= MAX_LINE {
                return Err(EnvFileError::TooLong { line: next_number });
            }
            rest = next;
        };
        let after = after.trim_start_matches([' ', '\t']);
        if !after.is_empty() && !after.starts_with('#') {
            return Err(wrong("unexpected content after closing quote"));
        }
        if name == key {
            return Ok(found);
        }
    }
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let text =
            "# c\n\n  A='1'\n\tB='two words' # note\r\nC='a\nb\n'\nD= 'x'\nE=''\nF='x=y#z'\nA='second'\n";
        for (key, expected) in
            [("A", "1"), ("B", "two words"), ("C", "a\nb\n"), ("D", ""), ("E", ""), ("F", "x=y#z"), ("Z", "")]
        {
            assert_eq!(parse(text, key).as_deref(), Ok(expected), "{key}");
        }
        assert_eq!(parse("", "A").as_deref(), Ok(""));
    }

    #[test]
    fn errors() {
        for (text, expected) in [
            ("A", "invalid environment variable format at line 1: missing '='"),
            ("='x'", "invalid environment variable format at line 1: empty variable name"),
            (
                "\nA ='x'",
                "invalid environment variable format at line 2: whitespace before '=' is not allowed",
            ),
            ("A=x", "invalid environment variable format at line 1: value must be enclosed in single quotes"),
            (
                "A='x'y",
                "invalid environment variable format at line 1: unexpected content after closing quote",
            ),
            ("\nA='x\ny\n", "invalid environment variable format starting at line 2: unclosed single quote"),
        ] {
            assert_eq!(parse(text, "Z").unwrap_err().to_string(), expected, "{text:?}");
        }
        assert_eq!(parse("A='x'\nnonsense", "A").as_deref(), Ok("x"));
        assert!(parse(&format!("A='{}'", "x".repeat(MAX_LINE)), "A").is_err());
    }
}
