//! The operating system's answers in Go's words, which upstream's texts carry.

use std::io;

/// In lower case, without the number.
#[must_use]
pub fn go_error(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_answers_look_like_upstreams() {
        assert_eq!(go_error(&io::Error::from_raw_os_error(2)), "no such file or directory");
        assert_eq!(go_error(&io::Error::other("Own words")), "own words");
    }
}
