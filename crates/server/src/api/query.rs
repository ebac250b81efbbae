//! Queries of requests, as Go reads them: pairs that are not well encoded are left out.

/// Whether a plus sign stands for a blank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plus {
    /// In queries.
    IsBlank,
    /// In paths.
    IsPlus,
}

/// Pairs of a query, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';'));
        let pairs = pairs.filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decoded(key, Plus::IsBlank)?, decoded(value, Plus::IsBlank)?))
        });
        Self(pairs.collect())
    }

    /// All values of a key.
    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// The first value of a key.
    pub(crate) fn first(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// Percent-encoding undone; `None` where it is none, or no UTF-8.
pub(super) fn decoded(text: &str, plus: Plus) -> Option<String> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => digit(rest.next()?)? << 4 | digit(rest.next()?)?,
            b'+' if plus == Plus::IsBlank => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn queries_are_read_as_go_does() {
        let query = Query::parse("command=sh&command=-c&command=a+b%26c&empty&bad=%zz&x;y=1&=v");
        assert_eq!(query.all("command").collect::<Vec<_>>(), ["sh", "-c", "a b&c"]);
        assert_eq!(query.first("empty"), Some(""));
        assert_eq!((query.first("bad"), query.first("x"), query.first("")), (None, None, Some("v")));
        assert_eq!(decoded("a+b", Plus::IsPlus).as_deref(), Some("a+b"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn what_was_encoded_is_decoded(values in proptest::collection::vec(".{0,12}", 0..6)) {
            let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
            let text = values.iter().map(|value| format!("v={}", encode(value))).collect::<Vec<_>>().join("&");
            let query = Query::parse(&text);
            prop_assert_eq!(query.all("v").collect::<Vec<_>>(), values);
        }

        #[test]
        fn nothing_makes_it_panic(text in "\\PC{0,60}") {
            let _ = Query::parse(&text);
        }
    }
}
