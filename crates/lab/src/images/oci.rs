//! From files and settings to an OCI image layout in a tar (image-spec v1: `oci-layout`, `index.json`, `blobs/sha256`).

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    ImageArchive,
    tar::{self, Entry},
};

/// An image to be.
pub(super) struct Image {
    /// Its name.
    pub(super) reference: &'static str,
    /// Files by layer.
    pub(super) layers: Vec<Vec<Entry>>,
    /// `ENTRYPOINT`.
    pub(super) entrypoint: Vec<&'static str>,
    /// `CMD`.
    pub(super) command: Vec<&'static str>,
    /// `ENV`, as `NAME=VALUE`.
    pub(super) environment: Vec<String>,
    /// `USER`; empty for root.
    pub(super) user: &'static str,
    /// `LABEL`s.
    pub(super) labels: Vec<(&'static str, String)>,
}

impl Image {
    /// Write the archive into the cache, unless it is there.
    pub(super) fn archive(&self, cache: &Path) -> Result<ImageArchive> {
        let layers = self.layers.iter().map(|entries| tar::archive(entries)).collect::<Result<Vec<_>>>()?;
        let config = self.config(&layers).to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": layers.iter().map(|layer| descriptor("application/vnd.oci.image.layer.v1.tar", layer)).collect::<Vec<_>>(),
        })
        .to_string()
        .into_bytes();

        let digest = digest(&manifest);
        let tag = self.reference.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        let mut described = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
        described["platform"] = json!({ "os": "linux", "architecture": architecture() });
        // The first is containerd's name for the image, the second the standard's.
        described["annotations"] = json!({
            "io.containerd.image.name": self.reference,
            "org.opencontainers.image.ref.name": tag,
        });
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [described],
        });

        let name = self.reference.replace(['/', ':'], "_");
        // The reference is in the name and the digest covers the rest: equal names mean equal contents.
        let path = cache.join(format!("{name}-{}.tar", &digest["sha256:".len()..][..16]));
        let archive = ImageArchive { reference: self.reference.to_owned(), digest, tar: path };
        if archive.tar.exists() {
            return Ok(archive);
        }
        let mut entries = vec![
            Entry::file("oci-layout", json!({ "imageLayoutVersion": "1.0.0" }).to_string()),
            Entry::file("index.json", index.to_string()),
            Entry::folder("blobs"),
            Entry::folder("blobs/sha256"),
        ];
        for blob in layers.into_iter().chain([config, manifest]) {
            entries.push(Entry::file(&format!("blobs/sha256/{}", hex(&blob)), blob));
        }
        let bytes = tar::archive(&entries)?;
        write_whole(&archive.tar, &bytes)?;
        Ok(archive)
    }

    fn config(&self, layers: &[Vec<u8>]) -> Value {
        let labels: serde_json::Map<String, Value> =
            self.labels.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {
                "Entrypoint": self.entrypoint,
                "Cmd": self.command,
                "Env": self.environment,
                "User": self.user,
                "WorkingDir": "/",
                "Labels": labels,
            },
            "rootfs": { "type": "layers", "diff_ids": layers.iter().map(|layer| digest(layer)).collect::<Vec<_>>() },
            "history": layers.iter().map(|_| json!({ "created_by": "kubelet-rs node lab" })).collect::<Vec<_>>(),
        })
    }
}

/// Write beside, then rename: a reader sees all of it or nothing.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let part = path.with_extension(format!("{}.part", std::process::id()));
    std::fs::write(&part, bytes).with_context(|| format!("cannot write {}", part.display()))?;
    std::fs::rename(&part, path).with_context(|| format!("cannot rename to {}", path.display()))
}

/// SHA-256 in lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(bytes))
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": digest(bytes), "size": bytes.len() })
}

/// Go's name of the architecture, as image configurations have it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
