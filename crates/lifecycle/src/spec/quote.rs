//! Go's double-quoted form of a text (`%q`, `strconv.Quote`), which upstream writes into downward API files and errors.

use std::fmt::Write;

/// True for what Go calls printable: letters, marks, numbers, punctuation, symbols and the ASCII space.
fn is_printable(character: char) -> bool {
    if character.is_ascii() {
        return (' '..='~').contains(&character);
    }
    // The standard library keeps its table to itself; its escape form tells. A leading letter stops it from escaping
    // a combining mark, which Go counts as printable.
    let text: String = ['a', character].iter().collect();
    !text.escape_debug().skip(1).any(|escaped| escaped == '\\')
}

/// The quoted form of a text.
#[must_use]
pub fn go_quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        let code = u32::from(character);
        let _ = match character {
            '"' | '\\' => write!(out, "\\{character}"),
            '\x07' => out.write_str("\\a"),
            '\x08' => out.write_str("\\b"),
            '\x0c' => out.write_str("\\f"),
            '\n' => out.write_str("\\n"),
            '\r' => out.write_str("\\r"),
            '\t' => out.write_str("\\t"),
            '\x0b' => out.write_str("\\v"),
            _ if is_printable(character) => out.write_char(character),
            _ if code < 0x20 || code == 0x7f => write!(out, "\\x{code:02x}"),
            _ if code < 0x1_0000 => write!(out, "\\u{code:04x}"),
            _ => write!(out, "\\U{code:08x}"),
        };
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::go_quote;

    #[test]
    fn table() {
        // Expected values are what Go's strconv.Quote prints.
        for (text, expected) in [
            ("", r#""""#),
            ("a b", r#""a b""#),
            ("\"\\", r#""\"\\""#),
            ("\x07\x08\x0c\n\r\t\x0b", r#""\a\b\f\n\r\t\v""#),
            ("\0\x1b\x7f", r#""\x00\x1b\x7f""#),
            ("äß漢🙂", "\"äß漢🙂\""),
            ("\u{a0}", r#""\u00a0""#),
            ("\u{200b}\u{feff}", r#""\u200b\ufeff""#),
            ("e\u{301}", "\"e\u{301}\""),
            ("\u{e0001}", r#""\U000e0001""#),
        ] {
            assert_eq!(go_quote(text), expected, "{text:?}");
        }
    }
}
