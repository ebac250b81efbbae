//! Reasons that are kept must not hold a runtime's whole stack trace.

use super::{Cause, Reason};

impl Reason {
    /// Cuts every text of unbounded length to so many bytes, with an ellipsis.
    pub(crate) fn shorten(&mut self, most: usize) {
        for text in self.texts() {
            cut(text, most);
        }
    }

    /// Bytes of text that it holds.
    pub(crate) fn text_bytes(&mut self) -> usize {
        self.texts().into_iter().map(|text| text.len()).sum()
    }

    /// Its texts that come from others and have no bound of their own.
    fn texts(&mut self) -> Vec<&mut String> {
        match self {
            Self::ImagePulled { image, .. }
            | Self::ImagePresent { image, .. }
            | Self::ImageBackOff { image, .. } => vec![image],
            Self::ImagePullFailed { image, message, .. } => vec![image, message],
            Self::ImageNeverPull { message, .. }
            | Self::ImageInspectFailed { message, .. }
            | Self::ContainerFailed { message, .. }
            | Self::SandboxFailed { message }
            | Self::NetworkNotReady { message }
            | Self::DirsFailed { message }
            | Self::CgroupFailed { message }
            | Self::VolumesFailed { message }
            | Self::KillFailed { message }
            | Self::TeardownFailed { message, .. }
            | Self::StatusUnknown { message } => vec![message],
            Self::Terminating { cause } | Self::Terminated { cause } => match cause {
                Cause::Killed { reason, message } | Cause::Rejected { reason, message } => {
                    vec![reason, message]
                }
                Cause::Deleted
                | Cause::Removed
                | Cause::DeadlineExceeded
                | Cause::Completed
                | Cause::AlreadyTerminal => Vec::new(),
            },
            Self::ContainerCreated { .. }
            | Self::ContainerStarted { .. }
            | Self::ContainerAdopted { .. }
            | Self::Killing { .. }
            | Self::CrashLoop { .. }
            | Self::PostStartHookFailed { .. }
            | Self::PreStopHookFailed { .. }
            | Self::SandboxChanged { .. }
            | Self::Gone => Vec::new(),
        }
    }
}

/// Cuts a text to so many bytes, at a character's border, with an ellipsis; what is cut gives its memory back.
pub fn cut(text: &mut String, most: usize) {
    const MARK: &str = "…";
    if text.len() <= most {
        return;
    }
    let mut end = most.saturating_sub(MARK.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text.push_str(MARK);
    text.shrink_to_fit();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_at_a_characters_border() {
        let mut text = "äöü€".repeat(10);
        cut(&mut text, 10);
        assert_eq!(text, "äöü…");
        let mut short = "abc".to_owned();
        cut(&mut short, 3);
        assert_eq!(short, "abc");
        let mut reason = Reason::VolumesFailed { message: "x".repeat(900) };
        reason.shorten(100);
        assert_eq!(reason.text_bytes(), 100);
    }
}
