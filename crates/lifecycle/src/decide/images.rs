//! The image of a container that is about to be created (contract §16).

use k8s_openapi::api::core::v1::PodSpec;

use crate::{
    Reason,
    action::{Action, ActionKey, Done, Failure, FailureStep},
    decide::{
        absorb,
        backoff::{PULL_FAILURE_SHOWN, TOLD_AGAIN, look_delay},
        plan::Target,
        work::{Asked, Work},
    },
    ids::ContainerName,
    spec::containers::{find, image_of, images},
    state::{ImageMemo, Look, Shown, Told, Trouble},
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
    let siblings = siblings(work, target);
    // One at a time: what a look finds and what a pull brings could overtake each other, and two containers with one
    // image want one pull.
    let waits = flying(work, &target.name) || siblings.iter().any(|name| flying(work, name));
    if !waits {
        share_back_off(work, target, &siblings);
    }
    show_back_off(work, target);
    if waits {
        return None;
    }
    match work.ask(Action::EnsureImage { container: target.name.clone() }) {
        Asked::Now => work.memo(&target.name).pulling = Some(target.image.to_owned()),
        Asked::Later => look_meanwhile(work, target),
        Asked::InFlight => {}
    }
    None
}

/// Whether something about the container's image is under way.
pub(super) fn flying(work: &Work<'_>, name: &ContainerName) -> bool {
    [ActionKey::EnsureImage(name.clone()), ActionKey::FindImage(name.clone())]
        .iter()
        .any(|key| work.flying(key))
}

/// The other containers with the same image.
fn siblings(work: &Work<'_>, target: &Target<'_>) -> Vec<ContainerName> {
    let others = images(work.spec)
        .filter(|(name, image)| *image == Some(target.image) && *name != target.name.as_str());
    others.map(|(name, _)| name.into()).collect()
}

/// A pull that failed for one container backs off for all of the pod that want the same image.
fn share_back_off(work: &mut Work<'_>, target: &Target<'_>, siblings: &[ContainerName]) {
    let now = work.now.mono;
    let own = work.state.setbacks.get(&ActionKey::EnsureImage(target.name.clone())).map(|own| own.retry_at);
    let newest = siblings
        .iter()
        .filter_map(|name| {
            let setback = work.state.setbacks.get(&ActionKey::EnsureImage(name.clone()))?;
            let image = &work.state.containers.get(name)?.image;
            matches!(image, ImageMemo::Failed { .. }).then_some((setback, image))
        })
        .filter(|(setback, _)| setback.retry_at > now && own.is_none_or(|own| own < setback.retry_at))
        .max_by_key(|(setback, _)| setback.retry_at)
        .map(|(setback, image)| (setback.clone(), image.clone()));
    let Some((setback, ImageMemo::Failed { reason, message, .. })) = newest else { return };
    let Some(policy) = policy_of(work.spec, &target.name).filter(|policy| policy != "Never") else { return };
    let look = first_look(work, &policy);
    let shown = Shown::Failure;
    work.memo(&target.name).image = ImageMemo::Failed { reason, message, back_off_from: now, shown, look };
    work.state.setbacks.insert(ActionKey::EnsureImage(target.name.clone()), setback);
}

/// While its pull backs off, the image may be loaded by hand or pulled for another pod.
fn look_meanwhile(work: &mut Work<'_>, target: &Target<'_>) {
    let now = work.now.mono;
    let ImageMemo::Failed { look, .. } = &work.memo(&target.name).image else { return };
    let Some(at) = look.as_ref().map(|look| look.at) else { return };
    if at > now {
        work.wake_at(at);
    } else {
        work.ask(Action::FindImage { container: target.name.clone() });
    }
}

/// A look that found the image ends the wait; what the pulls met is forgotten as if one had succeeded.
pub(super) fn looked(work: &mut Work<'_>, name: &ContainerName, done: &Done) {
    if matches!(done, Done::Image { .. }) {
        work.state.setbacks.remove(&ActionKey::EnsureImage(name.clone()));
        ensured(work, name, done);
        return;
    }
    let (now, uid) = (work.now.mono, work.pod.metadata.uid.as_deref().unwrap_or_default());
    if let ImageMemo::Failed { look: Some(look), .. } = &mut work.memo(name).image {
        look.times = look.times.saturating_add(1);
        look.at = now.saturating_add(look_delay(look.times, uid));
    }
}

/// Some time after its failure a pull is reported as waiting for its next try.
fn show_back_off(work: &mut Work<'_>, target: &Target<'_>) {
    let now = work.now.mono;
    let ImageMemo::Failed { reason, message, back_off_from, shown, .. } = &mut work.memo(&target.name).image
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
    let (Some(container), Some(image)) = (absorb::reference(work, name), asked_for(work, name)) else {
        return;
    };
    if let Some(pulled) = pulled {
        work.because(Reason::ImagePulled { container, image, pulled: pulled.clone() });
    }
}

pub(super) fn failed(work: &mut Work<'_>, name: &ContainerName, failure: &Failure) {
    let (Some(container), Some(image)) = (absorb::reference(work, name), asked_for(work, name)) else {
        return;
    };
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
    let now = work.now.mono;
    let back_off_from = now.saturating_add(PULL_FAILURE_SHOWN);
    let uid = work.pod.metadata.uid.as_deref().unwrap_or_default();
    let look = policy_of(work.spec, name).and_then(|policy| first_look(work, &policy));
    let memo = work.memo(name);
    memo.trouble = Some(Trouble { reason: waiting, message: text.clone() });
    memo.image = if pull {
        ImageMemo::Failed { reason: waiting, message: text, back_off_from, shown: Shown::Failure, look }
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
        // Not a pull: looked at again with the pod, and the pull's growing delay stays as it was.
        let key = ActionKey::EnsureImage(name.clone());
        if let Some(setback) = work.state.setbacks.get_mut(&key) {
            setback.tries = setback.tries.saturating_sub(1);
            setback.retry_at = now.saturating_add(look_delay(0, uid));
        }
    }
}

/// The image that was asked for; the spec may name another one by now.
fn asked_for(work: &mut Work<'_>, name: &ContainerName) -> Option<String> {
    let asked = work.memo(name).pulling.take();
    asked.or_else(|| image_of(work.spec, name.as_str()).map(str::to_owned))
}

fn policy_of(spec: &PodSpec, name: &ContainerName) -> Option<String> {
    let (_, container) = find(spec, name.as_str())?;
    Some(container.image_pull_policy.clone().unwrap_or_default())
}

/// When an image whose pull failed is looked for; never where only a pull will do.
fn first_look(work: &Work<'_>, policy: &str) -> Option<Look> {
    let uid = work.pod.metadata.uid.as_deref().unwrap_or_default();
    let at = work.now.mono.saturating_add(look_delay(0, uid));
    (policy != "Always").then_some(Look { at, times: 0 })
}

/// The runtime's text begins with a well-known word; upstream replaces it by a sentence.
fn unavailable(image: &str, why: &str, word: &str, message: &str) -> String {
    let rest = message.strip_prefix(word).unwrap_or(message);
    format!("image pull failed for {image} because {why}{rest}")
}
