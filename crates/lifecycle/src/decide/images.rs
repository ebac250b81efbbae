//! The image of a container that is about to be created (contract §16).

use crate::{
    Reason,
    action::{Action, ActionKey, Done, Failure, FailureStep},
    decide::{
        absorb,
        backoff::{PULL_FAILURE_SHOWN, TOLD_AGAIN},
        plan::Target,
        work::Work,
    },
    ids::ContainerName,
    spec::containers::image_of,
    state::{ImageMemo, Shown, Told, Trouble},
};

/// Waiting reasons that end when the image is there.
const IMAGE_TROUBLES: [&str; 7] = [
    "InvalidImageName",
    "ImageInspectError",
    "ErrImageNeverPull",
    "RegistryUnavailable",
    "SignatureValidationFailed",
    "ErrImagePull",
    "ImagePullBackOff",
];

/// Has the image present. Returns its reference when a container may be created from it, and whether its presence was
/// told; a creation uses it up: the next asks again, as the pull policy wants.
pub(super) fn pursue(work: &mut Work<'_>, target: &Target<'_>) -> Option<(String, Told)> {
    if let ImageMemo::Ready { image_ref, told } = &work.memo(&target.name).image {
        return Some((image_ref.clone(), *told));
    }
    show_back_off(work, target);
    work.ask(Action::EnsureImage { container: target.name.clone() });
    None
}

/// Some time after its failure a pull is reported as waiting for its next try.
fn show_back_off(work: &mut Work<'_>, target: &Target<'_>) {
    let now = work.now.mono;
    let ImageMemo::Failed { reason, message, back_off_from, shown } = &mut work.memo(&target.name).image
    else {
        return;
    };
    match shown {
        Shown::Failure if *back_off_from > now => {
            let at = *back_off_from;
            work.wake_at(at);
            return;
        }
        Shown::BackOff { told_at } if now.saturating_sub(*told_at) < TOLD_AGAIN => return,
        Shown::Failure | Shown::BackOff { .. } => {}
    }
    *shown = Shown::BackOff { told_at: now };
    let text = format!("Back-off pulling image \"{}\": {reason}: {message}", target.image);
    work.memo(&target.name).trouble = Some(Trouble { reason: "ImagePullBackOff", message: text });
    let container = target.reference();
    work.because(Reason::ImageBackOff { container: container.clone(), image: target.image.to_owned() });
    work.because(Reason::ContainerFailed { container, message: "ImagePullBackOff".to_owned() });
}

pub(super) fn ensured(work: &mut Work<'_>, name: &ContainerName, done: &Done) {
    let Done::Image { image_ref, pulled } = done else { return };
    let memo = work.memo(name);
    // That it was there already is said when it is used: nobody asks for it while the sandbox is not there.
    let told = if pulled.is_some() { Told::Yes } else { Told::NotYet };
    memo.image = ImageMemo::Ready { image_ref: image_ref.clone(), told };
    // A creation that failed stays in sight until the next one goes well: the image was never its trouble.
    memo.trouble = memo.trouble.take().filter(|trouble| !IMAGE_TROUBLES.contains(&trouble.reason));
    let image = image_of(work.spec, name.as_str()).map(str::to_owned);
    let (Some(container), Some(image)) = (absorb::reference(work, name), image) else { return };
    if let Some(pulled) = pulled {
        work.because(Reason::ImagePulled { container, image, pulled: pulled.clone() });
    }
}

pub(super) fn failed(work: &mut Work<'_>, name: &ContainerName, failure: &Failure) {
    let image = image_of(work.spec, name.as_str()).map(str::to_owned);
    let (Some(container), Some(image)) = (absorb::reference(work, name), image) else { return };
    let message = match failure.step {
        FailureStep::ImageInspect => format!("Failed to inspect image \"{image}\": {}", failure.message),
        _ => failure.message.clone(),
    };
    let (waiting, text, pull) = match failure.step {
        FailureStep::ImageName => ("InvalidImageName", message.clone(), false),
        FailureStep::ImageInspect => ("ImageInspectError", message.clone(), false),
        FailureStep::ImageNeverPull => ("ErrImageNeverPull", message.clone(), false),
        FailureStep::RegistryUnavailable => (
            "RegistryUnavailable",
            unavailable(&image, "the registry is unavailable", "RegistryUnavailable", &message),
            true,
        ),
        FailureStep::SignatureValidation => (
            "SignatureValidationFailed",
            unavailable(&image, "the signature validation failed", "SignatureValidationFailed", &message),
            true,
        ),
        _ => ("ErrImagePull", message.clone(), true),
    };
    let back_off_from = work.now.mono.saturating_add(PULL_FAILURE_SHOWN);
    let memo = work.memo(name);
    memo.trouble = Some(Trouble { reason: waiting, message: text.clone() });
    memo.image = if pull {
        ImageMemo::Failed { reason: waiting, message: text, back_off_from, shown: Shown::Failure }
    } else {
        ImageMemo::Unknown
    };
    work.because(match failure.step {
        FailureStep::ImageNeverPull => Reason::ImageNeverPull { container: container.clone(), message },
        FailureStep::ImageName | FailureStep::ImageInspect => {
            Reason::ImageInspectFailed { container: container.clone(), message }
        }
        _ => Reason::ImagePullFailed { container: container.clone(), image, message },
    });
    work.because(Reason::ContainerFailed { container, message: waiting.to_owned() });
    if !pull {
        // Not a pull: looked at again with the pod, not with the pull's growing delay.
        let key = ActionKey::EnsureImage(name.clone());
        if let Some(setback) = work.state.setbacks.get_mut(&key) {
            setback.tries = 0;
        }
    }
}

/// The runtime's text begins with a well-known word; upstream replaces it by a sentence.
fn unavailable(image: &str, why: &str, word: &str, message: &str) -> String {
    let rest = message.strip_prefix(word).unwrap_or(message);
    format!("image pull failed for {image} because {why}{rest}")
}
