//! Certificates, protocol versions and cipher suites of the HTTPS API as a client meets them, and certificates and
//! authorities that are exchanged while the kubelet runs.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lab::{
    Lab, Mode, Runtime,
    pki::{Authority, Purpose},
};
use node_tests::Node;
use serde_json::{Map, Value, json};

/// Longest for new files to be seen: the kubelet looks once a second.
const BOUND: Duration = Duration::from_secs(20);
/// curl's codes: the handshake failed; the server's certificate is not believed.
const NO_HANDSHAKE: i32 = 35;
const NOT_BELIEVED: i32 = 60;

/// A folder of keys and certificates, and what the kubelet is told about them.
struct Files {
    folder: PathBuf,
}

impl Files {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Puts a file in place of another, whole at once.
    fn place(&self, from: &str, to: &str) -> Result<()> {
        let partial = self.path("partial");
        fs::copy(self.path(from), &partial).with_context(|| format!("copy {from}"))?;
        fs::rename(&partial, self.path(to)).with_context(|| format!("place {to}"))
    }

    fn serve(&self, name: &str) -> Result<()> {
        self.place(&format!("{name}.key"), "serving.key")?;
        self.place(&format!("{name}.crt"), "serving.crt")
    }

    /// KubeletConfiguration with this pair and these rules.
    fn config(&self, rules: Value) -> Map<String, Value> {
        let mut config = json!({
            "tlsCertFile": self.path("serving.crt"),
            "tlsPrivateKeyFile": self.path("serving.key"),
            "authentication": { "x509": { "clientCAFile": self.path("clients.crt") } },
        });
        if let (Value::Object(config), Value::Object(rules)) = (&mut config, rules) {
            config.extend(rules);
        }
        match config {
            Value::Object(config) => config,
            _ => Map::new(),
        }
    }

    /// Asks for the pods: curl's exit code and the status of the answer, 0 without one.
    fn ask(&self, lab: &Lab, authority: &str, client: &str, options: &[&str]) -> Result<(i32, u16)> {
        let plan = lab.plan();
        let done = lab
            .command("curl")
            .args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--max-time", "20"])
            .args(options)
            .arg("--cacert")
            .arg(self.path(&format!("{authority}.crt")))
            .arg("--cert")
            .arg(self.path(&format!("{client}.crt")))
            .arg("--key")
            .arg(self.path(&format!("{client}.key")))
            .arg(format!("https://{}:{}/pods", plan.addresses.node, plan.ports.kubelet))
            .output()
            .context("curl")?;
        let status = String::from_utf8_lossy(&done.stdout).trim().parse().context("curl's answer")?;
        Ok((done.status.code().unwrap_or(-1), status))
    }
}

/// Two authorities; each has signed a serving pair for the node's address and a client.
fn files(folder: &Path, lab: &Lab) -> Result<Files> {
    for name in ["one", "two"] {
        let authority = Authority::new(folder, name)?;
        let address = Purpose::server_at(lab.plan().addresses.node);
        authority.sign(folder, &format!("{name}-serving"), "node", None, address)?;
        authority.sign(
            folder,
            &format!("{name}-client"),
            "admin",
            Some("system:masters"),
            Purpose::Client,
        )?;
    }
    Ok(Files { folder: folder.to_owned() })
}

fn certificates(name: &str) -> Result<()> {
    let mut node = Node::without_kubelet(name, Mode::Standalone, Runtime::Containerd2)?;
    let folder = tempfile::tempdir()?;
    let files = files(folder.path(), &node)?;
    files.serve("one-serving")?;
    files.place("one.crt", "clients.crt")?;

    // Versions.
    node.lab()?.kubelet().set_config(files.config(json!({ "tlsMinVersion": "VersionTLS13" })))?;
    node.lab()?.kubelet().start()?;
    let ask = |lab: &Lab, options: &[&str]| files.ask(lab, "one", "one-client", options);
    ensure!(ask(&node, &["--tls-max", "1.2"])? == (NO_HANDSHAKE, 0), "TLS 1.2 is spoken");
    ensure!(ask(&node, &["--tlsv1.3"])? == (0, 200), "TLS 1.3 is not spoken");

    // Suites of TLS 1.2; those of 1.3 are not for choosing.
    let suites = json!({ "tlsCipherSuites": ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"] });
    node.lab()?.kubelet().set_config(files.config(suites))?;
    node.lab()?.kubelet().stop()?;
    node.lab()?.kubelet().start()?;
    let with_suite = |suite| ["--tls-max", "1.2", "--ciphers", suite];
    ensure!(
        ask(&node, &with_suite("ECDHE-ECDSA-AES256-GCM-SHA384"))? == (0, 200),
        "an allowed suite is refused"
    );
    ensure!(
        ask(&node, &with_suite("ECDHE-ECDSA-AES128-GCM-SHA256"))? == (NO_HANDSHAKE, 0),
        "a suite that is not allowed is taken"
    );
    ensure!(ask(&node, &["--tlsv1.3"])? == (0, 200), "TLS 1.3 is not spoken beside 1.2");
    // Nobody speaks 1.1 any more, whoever asks.
    ensure!(
        ask(&node, &["--tlsv1.0", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"])?
            == (NO_HANDSHAKE, 0),
        "TLS 1.1 is spoken"
    );

    // A new pair is served, without a restart. Half of one changes nothing.
    ensure!(
        files.ask(&node, "two", "one-client", &[])?.0 == NOT_BELIEVED,
        "the second authority is known early"
    );
    files.place("two-serving.key", "serving.key")?;
    lab::wait::pause(Duration::from_secs(2));
    ensure!(ask(&node, &[])? == (0, 200), "a key without its certificate broke the API");
    files.serve("two-serving")?;
    node.eventually("the new pair", BOUND, |lab| {
        let answer = files.ask(lab, "two", "one-client", &[])?;
        ensure!(answer == (0, 200), "{answer:?}");
        Ok(())
    })?;

    // So is a new authority for clients: a bundle of both during the change, then the new one alone.
    let ask = |lab: &Lab, client: &str| files.ask(lab, "two", client, &[]);
    ensure!(ask(&node, "two-client")? == (0, 401), "a stranger's client is let in, or not answered");
    let both = fs::read_to_string(files.path("one.crt"))? + &fs::read_to_string(files.path("two.crt"))?;
    fs::write(files.path("both.crt"), both)?;
    for (bundle, old, new) in [("both.crt", 200, 200), ("two.crt", 401, 200)] {
        files.place(bundle, "clients.crt")?;
        node.eventually(bundle, BOUND, |lab| {
            let answers = (ask(lab, "one-client")?, ask(lab, "two-client")?);
            ensure!(answers == ((0, old), (0, new)), "{answers:?}");
            Ok(())
        })?;
    }
    // What cannot be read leaves the one before in use.
    fs::write(files.path("broken.crt"), "-----BEGIN CERTIFICATE-----\nnonsense\n")?;
    files.place("broken.crt", "clients.crt")?;
    lab::wait::pause(Duration::from_secs(2));
    ensure!(ask(&node, "two-client")? == (0, 200), "a broken bundle shut the administrator out");
    node.down()
}

#[test]
#[ignore = "wants root and containerd: make test"]
fn certificates_versions_and_suites() {
    certificates("t-tls").unwrap();
}
