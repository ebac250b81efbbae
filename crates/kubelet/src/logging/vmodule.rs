//! `--vmodule`: verbosity per source file, by shell pattern.

use crate::config::v1beta1::VModuleItem;

/// The patterns, in order; the first that fits counts.
#[derive(Clone, Debug, Default)]
pub struct VModule {
    items: Vec<(String, u32)>,
}

impl VModule {
    /// From the configuration.
    #[must_use]
    pub fn new(items: &[VModuleItem]) -> Self {
        Self { items: items.iter().map(|item| (item.file_pattern.clone(), item.verbosity)).collect() }
    }

    /// The highest level that any pattern gives.
    #[must_use]
    pub fn most(&self) -> u32 {
        self.items.iter().map(|(_, level)| *level).max().unwrap_or(0)
    }

    /// The level of a source file; `None` when no pattern fits. A pattern with a slash is matched against the whole
    /// path, one without against the file name; the extension counts in neither.
    #[must_use]
    pub fn level(&self, file: &str) -> Option<u32> {
        if self.items.is_empty() {
            return None;
        }
        let path = file.strip_suffix(".rs").unwrap_or(file);
        let name = path.rsplit('/').next().unwrap_or(path);
        let fits = |pattern: &str| {
            let text = if pattern.contains('/') { path } else { name };
            matches(pattern.as_bytes(), text.as_bytes())
        };
        self.items.iter().find(|(pattern, _)| fits(pattern)).map(|(_, level)| *level)
    }
}

/// Shell pattern: `*` any run, `?` any byte, `[a-z]` and `[^a-z]` a set. Linear in pattern × text.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            retry = Some((p, t));
            p += 1;
            continue;
        }
        match one(&pattern[p..], text[t]) {
            Some(used) => {
                p += used;
                t += 1;
            }
            None => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    (p, t) = (star + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Whether the pattern's first element takes the byte, and how long that element is.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern.first()? {
        b'?' => Some(1),
        b'[' => {
            let close = pattern.iter().skip(1).position(|b| *b == b']')? + 1;
            let (negated, set) = match &pattern[1..close] {
                [b'^' | b'!', rest @ ..] => (true, rest),
                set => (false, set),
            };
            let mut found = false;
            let mut index = 0;
            while index < set.len() {
                let range = set.get(index + 1) == Some(&b'-') && index + 2 < set.len();
                let last = if range { set[index + 2] } else { set[index] };
                found |= (set[index]..=last).contains(&byte);
                index += if range { 3 } else { 1 };
            }
            (found != negated).then_some(close + 1)
        }
        literal => (*literal == byte).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, fits) in [
            ("worker", "worker", true),
            ("worker", "workers", false),
            ("w*r", "worker", true),
            ("*", "", true),
            ("w??ker", "worker", true),
            ("[a-w]orker", "worker", true),
            ("[^w]orker", "worker", false),
            ("*a*b*c", "xxaxxbxxc", true),
            ("*a*b*c", "xxaxxcxxb", false),
            ("[", "[", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn names_and_paths() {
        let item = |pattern: &str, verbosity| VModuleItem { file_pattern: pattern.to_owned(), verbosity };
        let vmodule = VModule::new(&[item("work*", 4), item("crates/agent/*", 2)]);
        assert_eq!(vmodule.level("crates/agent/src/worker.rs"), Some(4));
        assert_eq!(vmodule.level("crates/agent/src/images.rs"), Some(2));
        assert_eq!(vmodule.level("crates/cri/src/client.rs"), None);
        assert_eq!(vmodule.most(), 4);
    }
}
