//! Who may use an image that is there already (contract §16 "Ensure secret pulled images").
//!
//! An image that was pulled with one pod's secret is no other pod's: who wants it without a pull has to present a
//! credential that pulled it before, or else pulls it himself. What was pulled, and with what, stands in files that
//! upstream's kubelet reads and writes too, so that a swap of kubelets forgets nothing.
//!
//! ```text
//!   image_manager/pulling/sha256-<hex of the name>       a pull is under way: written before, removed after it
//!   image_manager/pulled/sha256-<hex of the reference>   pulled, by these credentials per repository
//! ```
//!
//! Invariants: a file is whole (written beside it, then renamed), private to root, and holds hashes of credentials, never
//! credentials; what cannot be read or written makes a pull necessary, never an image accessible.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use metrics::{Metrics, images::Check};
use parking_lot::Mutex;
use seams::runtime::ImageInfo;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use lifecycle::spec::image_reference;

use crate::whole_file::{self, Lasting};

/// `apiVersion` of the files; the alpha version of earlier kubelets has the same fields.
const API_VERSION: &str = "kubelet.config.k8s.io/v1beta1";
const API_VERSIONS: [&str; 2] = [API_VERSION, "kubelet.config.k8s.io/v1alpha1"];
/// Secrets of one repository of an image beyond which none is added by mere use, as upstream.
const ADDED_BY_USE: usize = 100;

/// When credentials are checked for images that are on the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Verification {
    /// The feature is off: nothing is checked and nothing is recorded.
    #[default]
    Off,
    /// `NeverVerify`.
    Never,
    /// `NeverVerifyPreloadedImages`: images that no kubelet pulled are everybody's.
    Preloaded,
    /// `NeverVerifyAllowlistedImages`: repositories, or what they begin with (`…/*`), that are everybody's.
    Allowlisted(Vec<String>),
    /// `AlwaysVerify`.
    Always,
}

impl Verification {
    fn wanted(&self, image: &str, pulled_by_kubelet: bool) -> bool {
        match self {
            Self::Off | Self::Never => false,
            Self::Preloaded => pulled_by_kubelet,
            Self::Always => true,
            Self::Allowlisted(patterns) => {
                let name = repository(image);
                !patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
                    Some(prefix) => name.starts_with(prefix),
                    None => name == pattern,
                })
            }
        }
    }
}

/// What pulled an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PulledWith {
    /// No credential, or one of the node's: every pod here may use the image.
    Node,
    /// A pod's secret.
    Secret(PullSecret),
}

/// A pull secret, by its coordinates and a hash of the credential in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PullSecret {
    /// Of the secret.
    pub uid: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Hex SHA-256 of the credential as JSON; empty: not known.
    pub credential_hash: String,
}

impl PullSecret {
    fn is_at(&self, other: &Self) -> bool {
        (&self.uid, &self.namespace, &self.name) == (&other.uid, &other.namespace, &other.name)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Intent {
    kind: String,
    api_version: String,
    image: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pulled {
    kind: String,
    api_version: String,
    last_updated_time: Option<String>,
    image_ref: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    credential_mapping: BTreeMap<String, Credentials>,
}

#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Credentials {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    kubernetes_secrets: Vec<PullSecret>,
    /// Of credential plugins; kept for the kubelet that wrote them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    kubernetes_service_accounts: Vec<serde_json::Value>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    node_pods_accessible: bool,
}

/// Pulls of one image name by this process.
#[derive(Clone, Copy, Debug, Default)]
struct UnderWay {
    count: u32,
    /// The runtime may still bring what a pull was to bring that nobody waits for any more: the record of its beginning
    /// stays until another one has brought it, or it is known what became of it. Since when.
    given_up: Option<Instant>,
}

/// The records. Every method works on the disk, and at most one at a time.
#[derive(Debug)]
pub struct Records {
    pulling: PathBuf,
    pulled: PathBuf,
    verification: Verification,
    under_way: Mutex<HashMap<String, UnderWay>>,
    metrics: Arc<Metrics>,
}

impl Records {
    /// Below the kubelet's root directory.
    #[must_use]
    pub fn new(root_dir: &Path, verification: Verification, metrics: Arc<Metrics>) -> Self {
        let (pulling, pulled) = folders(root_dir);
        Self { pulling, pulled, verification, under_way: Mutex::default(), metrics }
    }

    /// Whether images are checked at all.
    #[must_use]
    pub fn on(&self) -> bool {
        self.verification != Verification::Off
    }

    /// Whether a pod with these secrets has to pull an image that is there. `image` is as written in the spec,
    /// `image_ref` what the runtime calls it.
    #[must_use]
    pub fn must_pull(&self, image: &str, image_ref: &str, secrets: &[PullSecret], now: Timestamp) -> bool {
        if !self.on() {
            return false;
        }
        let check = self.check(image, image_ref, secrets, now);
        self.metrics.images.checks.inc(&check);
        matches!(check, Check::MustAuthenticate | Check::Error)
    }

    fn check(&self, image: &str, image_ref: &str, secrets: &[PullSecret], now: Timestamp) -> Check {
        let under_way = self.under_way.lock();
        let (record, intended) = match (self.record(image_ref), self.intends(image, &under_way)) {
            (Ok(record), Ok(intended)) => (record, intended),
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(image, %error, "Cannot read the records of image pulls; the image is pulled anew");
                return Check::Error;
            }
        };
        if !self.verification.wanted(image, record.is_some() || intended) {
            return Check::AllowedByPolicy;
        }
        let Some(record) = record else { return Check::MustAuthenticate };
        let Some(known) = record.credential_mapping.get(repository(image)) else {
            return Check::MustAuthenticate;
        };
        if known.node_pods_accessible {
            return Check::RecordFound;
        }
        let hash = |secret: &PullSecret| !secret.credential_hash.is_empty();
        for secret in secrets {
            let same = known
                .kubernetes_secrets
                .iter()
                .find(|k| hash(k) && k.credential_hash == secret.credential_hash)
                .or_else(|| known.kubernetes_secrets.iter().find(|k| k.is_at(secret)));
            let Some(same) = same else { continue };
            let room = known.kubernetes_secrets.len() < ADDED_BY_USE;
            if !room && same.credential_hash != secret.credential_hash {
                continue;
            }
            if same != secret && room {
                // The same credential in another secret, or a secret whose content changed: known from now on.
                self.add(image, image_ref, Some(&PulledWith::Secret(secret.clone())), now);
            }
            return Check::RecordFound;
        }
        Check::MustAuthenticate
    }

    /// A pull begins.
    ///
    /// # Errors
    /// The record cannot be written: the pull must not begin, since its result would look like everybody's.
    pub fn begin(&self, image: &str) -> Result<(), String> {
        if !self.on() {
            return Ok(());
        }
        let mut under_way = self.under_way.lock();
        let intent = Intent {
            kind: "ImagePullIntent".to_owned(),
            api_version: API_VERSION.to_owned(),
            image: image.to_owned(),
        };
        write(&self.pulling, &file_name(image), &intent)
            .map_err(|error| format!("failed to record image pull intent: {error}"))?;
        under_way.entry(image.to_owned()).or_default().count += 1;
        Ok(())
    }

    /// A pull went well. When that cannot be written, the record of its beginning stays, so that nobody takes the image
    /// for preloaded.
    pub fn succeeded(&self, image: &str, image_ref: &str, with: &PulledWith, now: Timestamp) {
        if !self.on() {
            return;
        }
        let mut under_way = self.under_way.lock();
        if self.add(image, image_ref, Some(with), now) {
            under_way.entry(image.to_owned()).or_default().given_up = None;
            self.end(image, &mut under_way);
        }
    }

    /// Nobody waits for a pull any more; what becomes of it is not known.
    pub fn given_up(&self, image: &str) {
        if self.on()
            && let Some(known) = self.under_way.lock().get_mut(image)
        {
            known.count = known.count.saturating_sub(1);
            known.given_up = Some(Instant::now());
        }
    }

    /// A pull failed.
    pub fn failed(&self, image: &str) {
        if self.on() {
            self.end(image, &mut self.under_way.lock());
        }
    }

    /// Names of images whose pull a former process began and did not end.
    #[must_use]
    pub fn unfinished(&self) -> Vec<String> {
        if !self.on() {
            return Vec::new();
        }
        let Ok(entries) = std::fs::read_dir(&self.pulling) else { return Vec::new() };
        let records = entries.flatten().filter(|entry| is_record(&entry.file_name().to_string_lossy()));
        let texts = records.filter_map(|entry| std::fs::read(entry.path()).ok());
        texts.filter_map(|text| parse::<Intent>(&text).ok()).map(|intent| intent.image).collect()
    }

    /// Takes the unfinished pulls of former processes for given up.
    pub fn adopt(&self, unfinished: &[String]) {
        let mut under_way = self.under_way.lock();
        for image in unfinished {
            let given_up = UnderWay { count: 0, given_up: Some(Instant::now()) };
            under_way.entry(image.clone()).or_insert(given_up);
        }
    }

    /// Names of images whose pull was given up at least so long ago, and that nobody pulls now.
    #[must_use]
    pub fn given_up_for(&self, age: Duration) -> Vec<String> {
        let under_way = self.under_way.lock();
        let old = |known: &UnderWay| known.given_up.is_some_and(|since| since.elapsed() >= age);
        let all = under_way.iter().filter(|(_, known)| known.count == 0 && old(known));
        all.map(|(image, _)| image.clone()).collect()
    }

    /// What came of a pull that was given up is known. An image that is there was pulled, by whom is not known, so that
    /// everybody has to present credentials; `None`: there is none.
    pub fn settle(&self, image: &str, present: Option<&ImageInfo>, now: Timestamp) {
        let mut under_way = self.under_way.lock();
        let Some(known) = under_way.get_mut(image).filter(|known| known.count == 0) else { return };
        if present.is_none_or(|info| self.add(image, &info.id, None, now)) {
            known.given_up = None;
            self.end(image, &mut under_way);
        }
    }

    fn end(&self, image: &str, under_way: &mut HashMap<String, UnderWay>) {
        if let Some(known) = under_way.get_mut(image) {
            known.count = known.count.saturating_sub(1);
            if known.count > 0 || known.given_up.is_some() {
                return;
            }
        }
        match std::fs::remove_file(self.pulling.join(file_name(image))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(image, %error, "Cannot remove the record of an image pull");
            }
            _ => drop(under_way.remove(image)),
        }
    }

    fn intends(&self, image: &str, under_way: &HashMap<String, UnderWay>) -> io::Result<bool> {
        if under_way.contains_key(image) {
            return Ok(true);
        }
        match std::fs::read(self.pulling.join(file_name(image))) {
            Ok(text) => Ok(parse::<Intent>(&text)?.image == image),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn record(&self, image_ref: &str) -> io::Result<Option<Pulled>> {
        match std::fs::read(self.pulled.join(file_name(image_ref))) {
            Ok(text) => Ok(Some(parse::<Pulled>(&text)?).filter(|record| record.image_ref == image_ref)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Adds what an image was pulled with; `None`: nobody knows. True when the record is as it has to be.
    fn add(&self, image: &str, image_ref: &str, with: Option<&PulledWith>, now: Timestamp) -> bool {
        let known = self.record(image_ref).unwrap_or_else(|error| {
            tracing::warn!(image, %error, "Cannot read the record of an image; it is written anew");
            None
        });
        let fresh = known.is_none();
        let mut record = known.unwrap_or_else(|| Pulled {
            kind: "ImagePulledRecord".to_owned(),
            api_version: API_VERSION.to_owned(),
            last_updated_time: None,
            image_ref: image_ref.to_owned(),
            credential_mapping: BTreeMap::new(),
        });
        let changed = with.is_some_and(|with| {
            record.credential_mapping.entry(repository(image).to_owned()).or_default().add(with)
        });
        if !fresh && !changed {
            return true;
        }
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        record.last_updated_time = Some(now.to_string());
        API_VERSION.clone_into(&mut record.api_version);
        match write(&self.pulled, &file_name(image_ref), &record) {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(image, %error, "Cannot write the record of a pulled image");
                false
            }
        }
    }
}

impl Credentials {
    /// True when something changed.
    fn add(&mut self, with: &PulledWith) -> bool {
        if self.node_pods_accessible {
            return false;
        }
        match with {
            PulledWith::Node => {
                *self = Self { node_pods_accessible: true, ..Self::default() };
                true
            }
            PulledWith::Secret(secret) if self.kubernetes_secrets.contains(secret) => false,
            PulledWith::Secret(secret) => {
                self.kubernetes_secrets.retain(|known| !known.is_at(secret));
                self.kubernetes_secrets.push(secret.clone());
                self.kubernetes_secrets
                    .sort_by(|a, b| (&a.namespace, &a.name, &a.uid).cmp(&(&b.namespace, &b.name, &b.uid)));
                true
            }
        }
    }
}

/// Where records of begun pulls are below the kubelet's root directory, and those of ended ones.
pub(crate) fn folders(root_dir: &Path) -> (PathBuf, PathBuf) {
    let folder = root_dir.join("image_manager");
    (folder.join("pulling"), folder.join("pulled"))
}

/// The name without tag and digest.
fn repository(image: &str) -> &str {
    let Ok(parsed) = image_reference::parse(image) else { return image };
    let digest = parsed.digest.map_or(0, |digest| digest.len() + 1);
    let tag = parsed.tag.map_or(0, |tag| tag.len() + 1);
    image.get(..image.len().saturating_sub(digest + tag)).unwrap_or(image)
}

fn file_name(name: &str) -> String {
    format!("sha256-{}", hex(&Sha256::digest(name)))
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn is_record(name: &str) -> bool {
    name.starts_with("sha256-") && !name.ends_with(".tmp")
}

fn parse<T: Versioned + for<'de> Deserialize<'de>>(text: &[u8]) -> io::Result<T> {
    let record: T = serde_json::from_slice(text)?;
    if API_VERSIONS.contains(&record.api_version()) {
        Ok(record)
    } else {
        Err(io::Error::other(format!("apiVersion {:?} is not known", record.api_version())))
    }
}

trait Versioned {
    fn api_version(&self) -> &str;
}

impl Versioned for Intent {
    fn api_version(&self) -> &str {
        &self.api_version
    }
}

impl Versioned for Pulled {
    fn api_version(&self) -> &str {
        &self.api_version
    }
}

fn write(folder: &Path, name: &str, record: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec(record)?;
    text.push(b'\n');
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    whole_file::write(&folder.join(name), &text, 0o600, Lasting::No)
}

#[cfg(test)]
mod tests;
