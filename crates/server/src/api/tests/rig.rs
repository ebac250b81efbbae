//! An API with everything around it made up, and a client for it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use metrics::Metrics;
use parking_lot::Mutex;
use seams::{NodeApi, NodeStats, Reviews, SystemClock};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::around::{Files, Judge, Lines, Node};
use super::super::{
    AccessSettings, Api, ApiParts, Pages, Switches,
    listener::{Transport, serve},
    stats::testing::Figures,
    tls::{Tls, TlsSettings},
};
use crate::health::Check;

mod around;
mod authority;
mod client;

pub(super) use authority::{Authority, Pair, write_pair};
pub(super) use client::{Ask, get};

/// Bound on everything that is waited for.
pub(super) const SOON: Duration = Duration::from_secs(20);

/// What a rig is made with.
pub(super) struct Setup {
    pub(super) anonymous: bool,
    pub(super) switches: Switches,
    pub(super) access_ttls: Option<(Duration, Duration)>,
    pub(super) read_only: bool,
    /// Without TLS, and with all routes.
    pub(super) plain: bool,
    pub(super) stream_idle: Duration,
    /// There are no figures of what is used.
    pub(super) broken_stats: bool,
}

impl Default for Setup {
    fn default() -> Self {
        let switches = Switches {
            debugging: true,
            system_logs: true,
            log_queries: true,
            profiling: true,
            debug_flags: true,
            split_streams: false,
            websockets: true,
            checkpoints: true,
            allocated_pods: true,
        };
        Self {
            anonymous: false,
            switches,
            access_ttls: Some((Duration::from_secs(300), Duration::from_secs(30))),
            read_only: false,
            plain: false,
            stream_idle: Duration::from_secs(3600),
            broken_stats: false,
        }
    }
}

/// A served API.
pub(super) struct Rig {
    pub(super) dir: tempfile::TempDir,
    pub(super) authority: Authority,
    pub(super) judge: Arc<Judge>,
    pub(super) node: Arc<Node>,
    pub(super) figures: Arc<Figures>,
    pub(super) verbosity: Arc<Mutex<u32>>,
    pub(super) address: SocketAddr,
    pub(super) api: Arc<Api>,
    pub(super) stop: CancellationToken,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Rig {
    pub(super) async fn start(setup: Setup) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::new("test");
        let (judge, node): (Arc<Judge>, Arc<Node>) = Default::default();
        let figures = Arc::new(Figures { broken: setup.broken_stats, ..Figures::default() });
        let verbosity = Arc::new(Mutex::new(0));
        let settings = TlsSettings {
            certificate: dir.path().join("tls.crt"),
            key: dir.path().join("tls.key"),
            client_ca: Some(dir.path().join("ca.crt")),
            only_tls13: false,
            cipher_suites: Vec::new(),
        };
        std::fs::write(dir.path().join("ca.crt"), &authority.pem).unwrap();
        write_pair(dir.path(), &authority.issue("node", "nodes", &["localhost"]));
        let tls = Arc::new(Tls::load(settings).unwrap());
        let level = Arc::clone(&verbosity);
        let parts = ApiParts {
            access: AccessSettings {
                node_name: "node".to_owned(),
                anonymous: setup.anonymous,
                token_ttl: Some(Duration::from_secs(120)),
                access_ttls: setup.access_ttls,
            },
            switches: setup.switches,
            stream_idle: setup.stream_idle,
            reviews: Some(Arc::clone(&judge) as Arc<dyn Reviews>),
            node: Arc::clone(&node) as Arc<dyn NodeApi>,
            stats: Arc::clone(&figures) as Arc<dyn NodeStats>,
            logs: Arc::new(Lines),
            node_logs: Arc::new(Files),
            checks: vec![Check::ping(), Check::new("log", || Ok(())), Check::new("syncloop", || Ok(()))],
            pages: Pages {
                configz: Bytes::from_static(b"{\"kubeletconfig\":{}}"),
                flags: Arc::from(vec![("v", "2".to_owned())]),
                started: jiff::Timestamp::UNIX_EPOCH,
                version: "1.37.2".to_owned(),
                set_verbosity: Arc::new(move |new| *level.lock() = new),
            },
            clock: Arc::new(SystemClock::start()),
            metrics: Metrics::new(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let (api, transport) = if setup.plain {
            (Api::new(parts, None), Transport::Plain)
        } else if setup.read_only {
            (Api::read_only(parts), Transport::Plain)
        } else {
            (Api::new(parts, Some(Arc::clone(&tls))), Transport::Tls(tls))
        };
        let api = Arc::new(api);
        tokio::spawn(serve(listener, transport, Arc::clone(&api), stop.clone()));
        Self { dir, authority, judge, node, figures, verbosity, address, api, stop }
    }
}
