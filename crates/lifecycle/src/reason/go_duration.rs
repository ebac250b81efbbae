//! Durations as Go prints them: messages of upstream carry them, and tools parse those messages.

use std::time::Duration;

/// Renders like Go's `time.Duration.String`, to the millisecond: `0s`, `850ms`, `1.5s`, `2m40s`, `1h0m0s`.
#[must_use]
pub fn go_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis == 0 {
        return "0s".to_owned();
    }
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let (minutes, rest) = (millis / 60_000, millis % 60_000);
    let fraction = match rest % 1000 {
        0 => String::new(),
        part => format!(".{part:03}").trim_end_matches('0').to_owned(),
    };
    let seconds = format!("{}{fraction}s", rest / 1000);
    match (minutes / 60, minutes % 60) {
        (0, 0) => seconds,
        (0, minutes) => format!("{minutes}m{seconds}"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_go_does() {
        for (millis, want) in [
            (0, "0s"),
            (850, "850ms"),
            (1_000, "1s"),
            (1_234, "1.234s"),
            (1_500, "1.5s"),
            (10_000, "10s"),
            (80_000, "1m20s"),
            (160_000, "2m40s"),
            (300_000, "5m0s"),
            (3_600_000, "1h0m0s"),
            (3_661_050, "1h1m1.05s"),
        ] {
            assert_eq!(go_duration(Duration::from_millis(millis)), want);
        }
    }
}
