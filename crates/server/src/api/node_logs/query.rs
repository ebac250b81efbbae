//! `/logs/?query=…`: what is asked for, checked before anything is done (contract §17).
//!
//! ```text
//!   no known option                          ─▶ nothing is asked for: the tree of files
//!   an option that cannot be read, no name   ─▶ 400
//!   options that do not go together          ─▶ 406
//!   a slash in the one name                  ─▶ that file; other names ─▶ services
//! ```

use hyper::StatusCode;
use jiff::Timestamp;
use seams::node_logs::ServiceQuery;

use crate::api::query::Query;

/// Names in one query, and the length of one.
const MOST_SERVICES: usize = 4;
const LONGEST_NAME: usize = 256;
/// Lines at the end of a journal that may be asked for.
const MOST_LINES: i64 = 100_000;
/// Longest pattern, bytes; upstream has no limit but that of a request.
const LONGEST_PATTERN: usize = 1024;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The file of the path.
    Nothing,
    /// A file below the log directory, whatever the path.
    File(String),
    /// Lines of services.
    Services(ServiceQuery),
}

/// Why not: status and text.
pub(super) type Refusal = (StatusCode, String);

pub(super) fn asked(query: &Query, path: &str) -> Result<Asked, Refusal> {
    let bad = |text: String| (StatusCode::BAD_REQUEST, text);
    let names: Vec<&str> = query.all("query").collect();
    let (files, services): (Vec<&str>, Vec<&str>) = names
        .iter()
        .copied()
        .filter(|name| !name.trim().is_empty())
        .partition(|name| name.contains(['/', '\\']));
    if !names.is_empty() && files.is_empty() && services.is_empty() {
        return Err(bad("query: query cannot be empty".to_owned()));
    }
    let option = |name: &str| query.first(name).map(str::to_owned).filter(|text| !text.is_empty());
    let time = |name: &str| match option(name) {
        None => Ok(None),
        Some(text) => text
            .parse::<Timestamp>()
            .map(Some)
            .map_err(|_| bad(format!("{name}: {text:?} is not a time of RFC 3339"))),
    };
    let number = |name: &str| match option(name) {
        None => Ok(None),
        Some(text) => {
            text.parse::<i64>().map(Some).map_err(|_| bad(format!("{name}: {text:?} is not a number")))
        }
    };
    let (since, until) = (time("sinceTime")?, time("untilTime")?);
    let (lines, boot, pattern) = (number("tailLines")?, number("boot")?, option("pattern"));
    let has_options =
        since.is_some() || until.is_some() || lines.is_some() || boot.is_some() || pattern.is_some();
    if names.is_empty() && !has_options {
        return Ok(Asked::Nothing);
    }
    let refuse = |text: &str| Err((StatusCode::NOT_ACCEPTABLE, text.to_owned()));
    if !path.is_empty() {
        return refuse("path not allowed in query mode");
    }
    match (files.as_slice(), services.as_slice()) {
        ([], []) => return refuse("query: cannot be empty with options"),
        ([_, ..], [_, ..]) => return refuse("query: cannot specify a file and service"),
        ([_, _, ..], []) => return refuse("query: cannot specify more than one file"),
        ([_], []) if has_options => return refuse("query: cannot specify file with options"),
        // Clients on Windows write it the other way.
        ([file], []) => return Ok(Asked::File(file.replace('\\', "/").trim_matches('/').to_owned())),
        ([], _) => {}
    }
    if services.len() > MOST_SERVICES {
        return refuse("query: more than 4 services");
    }
    if services.iter().any(|name| !is_safe(name)) {
        return refuse("query: a service has at most 256 of the characters a-z, A-Z, 0-9 and -_.:@");
    }
    if since.zip(until).is_some_and(|(since, until)| since > until) {
        return refuse("untilTime: must be after `sinceTime`");
    }
    let Ok(boot) = boot.filter(|boot| *boot <= 0).map(i32::try_from).transpose() else {
        return refuse("boot: out of range");
    };
    if number("boot")?.is_some() && boot.is_none() {
        return refuse("boot: must be less than 1");
    }
    if lines.is_some_and(|lines| !(0..=MOST_LINES).contains(&lines)) {
        return refuse("tailLines: must be between 0 and 100000, inclusive");
    }
    let is_bad = |text: &String| text.len() > LONGEST_PATTERN || text.contains(char::is_control);
    if pattern.as_ref().is_some_and(is_bad) {
        return refuse("pattern: at most 1024 bytes, and no control characters");
    }
    Ok(Asked::Services(ServiceQuery {
        services: services.into_iter().map(str::to_owned).collect(),
        since,
        until,
        tail_lines: lines.and_then(|lines| u32::try_from(lines).ok()),
        pattern,
        boot,
    }))
}

/// A name that can be an argument and a file's name: nothing in it has a meaning of its own, and it leads nowhere else.
fn is_safe(name: &str) -> bool {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-_.:@".contains(char);
    name.len() <= LONGEST_NAME && name.chars().all(is_plain) && name != "." && name != ".."
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(query: &str) -> Result<Asked, Refusal> {
        asked(&Query::parse(query), "")
    }

    #[test]
    fn services_and_their_options() {
        assert_eq!(of(""), Ok(Asked::Nothing));
        assert_eq!(of("x=y&tailLines="), Ok(Asked::Nothing));
        let services = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let kubelet = ServiceQuery { services: services(&["kubelet"]), ..ServiceQuery::default() };
        assert_eq!(of("query=kubelet"), Ok(Asked::Services(kubelet.clone())));
        let all = "query=a&query=b%401&sinceTime=1970-01-01T00:00:05Z&untilTime=1970-01-01T02:00:06%2B02:00&tailLines=0&pattern=x+y&boot=-1";
        let expected = ServiceQuery {
            services: services(&["a", "b@1"]),
            since: Timestamp::from_second(5).ok(),
            until: Timestamp::from_second(6).ok(),
            tail_lines: Some(0),
            pattern: Some("x y".to_owned()),
            boot: Some(-1),
        };
        assert_eq!(of(all), Ok(Asked::Services(expected)));
        assert_eq!(
            of("query=kubelet&boot=0"),
            Ok(Asked::Services(ServiceQuery { boot: Some(0), ..kubelet }))
        );
        assert_eq!(of("query=/foo.log"), Ok(Asked::File("foo.log".to_owned())));
        assert_eq!(of("query=pods%5Cfoo.log"), Ok(Asked::File("pods/foo.log".to_owned())));
    }

    #[test]
    fn what_cannot_be_is_refused_as_upstream_does() {
        for (query, status) in [
            ("query=", 400),
            ("query=+++", 400),
            ("query=a&sinceTime=yesterday", 400),
            ("query=a&untilTime=1", 400),
            ("query=a&tailLines=many", 400),
            ("query=a&boot=x", 400),
            ("tailLines=5", 406),
            ("pattern=x", 406),
            ("query=a&query=/b", 406),
            ("query=/a&query=/b", 406),
            ("query=/a&boot=0", 406),
            ("query=a&query=b&query=c&query=d&query=e", 406),
            ("query=a%20b", 406),
            ("query=a;b", 406),
            ("query=..", 406),
            ("query=%24(reboot)", 406),
            ("query=a&boot=1", 406),
            ("query=a&boot=-9999999999", 406),
            ("query=a&tailLines=-1", 406),
            ("query=a&tailLines=100001", 406),
            ("query=a&pattern=a%00b", 406),
            ("query=a&sinceTime=1970-01-01T00:00:07Z&untilTime=1970-01-01T00:00:06Z", 406),
        ] {
            // A semicolon makes Go drop the pair, and then nothing is asked for.
            match of(query) {
                Ok(Asked::Nothing) => assert!(query.contains(';'), "{query}"),
                other => assert_eq!(other.unwrap_err().0.as_u16(), status, "{query}"),
            }
        }
        let long = format!("query={}", "x".repeat(257));
        assert_eq!(of(&long).unwrap_err().0.as_u16(), 406);
        assert_eq!(asked(&Query::parse("query=a"), "pods").unwrap_err().1, "path not allowed in query mode");
        assert_eq!(asked(&Query::parse(""), "pods"), Ok(Asked::Nothing));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn no_service_is_more_than_a_name(query in "(query|boot|pattern|tailLines)=[ -~]{0,20}(&(query|boot|pattern|sinceTime)=\\PC{0,12}){0,3}") {
            if let Ok(Asked::Services(asked)) = of(&query) {
                for name in asked.services {
                    prop_assert!(!name.contains(['/', ' ', '$', ';', '\0', '\n']) && name != "..");
                }
            }
        }
    }
}
