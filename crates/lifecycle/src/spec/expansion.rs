//! `$(VAR)` references in `env[].value`, `command`, `args` and `subPathExpr` (contract §13).
//!
//! `$(NAME)` becomes the value of `NAME`, or stays as it is when there is none; `$$` is a literal `$`; any other `$`
//! stays. Values are bytes (a secret may hold any), so expansion works on bytes.

/// Expands references. `lookup` gives the value of a name; `None` leaves the reference as it was written.
pub fn expand_bytes(text: &[u8], mut lookup: impl FnMut(&str) -> Option<Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&byte| byte == b'$') {
        let (before, from) = rest.split_at(at);
        out.extend_from_slice(before);
        rest = match from {
            [b'$', b'$', after @ ..] => {
                out.push(b'$');
                after
            }
            [b'$', b'(', after @ ..] => match after.iter().position(|&byte| byte == b')') {
                Some(end) => {
                    let (name, closed) = after.split_at(end);
                    match std::str::from_utf8(name).ok().and_then(&mut lookup) {
                        Some(value) => out.extend_from_slice(&value),
                        None => {
                            out.extend_from_slice(b"$(");
                            out.extend_from_slice(name);
                            out.push(b')');
                        }
                    }
                    closed.get(1..).unwrap_or_default()
                }
                None => {
                    out.extend_from_slice(b"$(");
                    after
                }
            },
            [dollar, after @ ..] => {
                out.push(*dollar);
                after
            }
            [] => from,
        };
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// [`expand_bytes`] of texts.
    fn expand(text: &str, mut lookup: impl FnMut(&str) -> Option<String>) -> String {
        let bytes = expand_bytes(text.as_bytes(), |name| lookup(name).map(String::into_bytes));
        // Whole values are put between whole characters.
        String::from_utf8(bytes).unwrap()
    }

    fn known(name: &str) -> Option<String> {
        match name {
            "VAR_A" => Some("A".into()),
            "VAR_B" => Some("B".into()),
            "VAR_C" => Some("C".into()),
            "VAR_REF" => Some("$(VAR_A)".into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn table() {
        for (text, expected) in [
            ("$(VAR_A)", "A"),
            ("___$(VAR_B)___", "___B___"),
            ("$(VAR_A)_$(VAR_B)", "A_B"),
            ("$$(VAR_B)_$(VAR_A)", "$(VAR_B)_A"),
            ("$$$(VAR_A)", "$A"),
            ("$$$$(VAR_A)", "$$(VAR_A)"),
            ("$(VAR_REF)", "$(VAR_A)"),
            ("$(EMPTY)&", "&"),
            ("$(UNKNOWN)", "$(UNKNOWN)"),
            ("$()", "$()"),
            ("$(VAR_A", "$(VAR_A"),
            ("$(VAR_A$(VAR_B)", "$(VAR_A$(VAR_B)"),
            ("$VAR_A", "$VAR_A"),
            ("$ä$(VAR_C)", "$äC"),
            ("$", "$"),
            ("a$", "a$"),
            ("$$", "$"),
            ("$((VAR_A))", "$((VAR_A))"),
            ("\n$(VAR_A)\t", "\nA\t"),
            ("", ""),
        ] {
            assert_eq!(expand(text, known), expected, "{text}");
        }
    }

    #[test]
    fn values_may_be_any_bytes() {
        assert_eq!(expand_bytes(b"x$(B)y", |_| Some(vec![0xff, 0])), b"x\xff\0y");
    }

    proptest! {
        #[test]
        fn text_without_dollars_stays(text in "[^$]*") {
            prop_assert_eq!(expand(&text, |_| Some("no".into())), text);
        }

        #[test]
        fn doubling_every_dollar_protects_any_text(text in ".*") {
            prop_assert_eq!(expand(&text.replace('$', "$$"), |_| Some("no".into())), text);
        }

        #[test]
        fn unknown_names_change_nothing_but_doubled_dollars(text in "[a-zA-Z$()äö ]*") {
            let once = expand(&text, |_| None);
            prop_assert!(once.len() <= text.len());
            if !text.contains("$$") {
                prop_assert_eq!(once, text);
            }
        }

        #[test]
        fn a_value_is_never_expanded_again(name in "[A-Z]{1,8}", value in ".*") {
            prop_assert_eq!(expand(&format!("<$({name})>"), |_| Some(value.clone())), format!("<{value}>"));
        }
    }
}
