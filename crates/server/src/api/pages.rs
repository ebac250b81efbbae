//! Pages that tell about this process: `/configz`, `/flagz`, `/statusz`, and the one that changes its verbosity.

use std::{fmt::Write as _, sync::Arc};

use bytes::Bytes;
use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use jiff::Timestamp;

use super::{
    answer::{Body, JSON, TEXT, full, of_type, text},
    small_body,
};
use crate::catalog::routes::{Endpoint, ROUTES, Server};

/// Sets the verbosity of the log.
pub type SetVerbosity = Arc<dyn Fn(u32) + Send + Sync>;

/// What does not change while the process runs, and how to change its verbosity.
#[derive(Clone)]
pub struct Pages {
    /// `{"kubeletconfig": …}`.
    pub configz: Bytes,
    /// Name and value of each flag, in order.
    pub flags: Arc<[(&'static str, String)]>,
    /// When the process started.
    pub started: Timestamp,
    /// Release of Kubernetes that it stands for: `1.37.2`.
    pub version: String,
    /// Sets the verbosity.
    pub set_verbosity: SetVerbosity,
}

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pages").field("version", &self.version).finish_non_exhaustive()
    }
}

const WARNING: &str = "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is for debugging purposes only.";

impl Pages {
    pub(super) fn configz(&self) -> Response<Body> {
        of_type(StatusCode::OK, JSON, full(self.configz.clone()))
    }

    pub(super) fn flagz(&self) -> Response<Body> {
        let mut page = format!("\nkubelet flagz\n{WARNING}\n");
        for (name, value) in self.flags.iter() {
            let _ = writeln!(page, "{name}:{value}");
        }
        of_type(StatusCode::OK, TEXT, full(page))
    }

    pub(super) fn statusz(&self, now: Timestamp) -> Response<Body> {
        let up = now.as_second().saturating_sub(self.started.as_second()).max(0);
        let started = self.started.strftime("%a %b %e %H:%M:%S UTC %Y");
        let emulated = self.version.rsplit_once('.').map_or(self.version.as_str(), |(minor, _)| minor);
        let page = format!(
            "\nkubelet statusz\n{WARNING}\n\nStarted= {started}\nUp= {} hr {:02} min {:02} sec\nGo version= none\n\
             Binary version= {}\nEmulation version= {emulated}\nPaths= {}\n",
            up / 3600,
            up / 60 % 60,
            up % 60,
            self.version,
            roots()
        );
        of_type(StatusCode::OK, TEXT, full(page))
    }

    /// `PUT /debug/flags/v`, in upstream's words.
    pub(super) async fn set_verbosity(&self, request: Request<Incoming>) -> Response<Body> {
        if request.method() != Method::PUT {
            return text(StatusCode::NOT_ACCEPTABLE, "unsupported http method");
        }
        let body = match small_body(request).await {
            Ok(body) => body,
            Err(cause) => {
                return text(StatusCode::BAD_REQUEST, format!("error reading request body: {cause}"));
            }
        };
        let value = String::from_utf8_lossy(&body).into_owned();
        match value.parse() {
            Ok(level) => {
                (self.set_verbosity)(level);
                text(StatusCode::OK, format!("successfully set klog.logging.verbosity to {value}"))
            }
            Err(error) => {
                text(StatusCode::BAD_REQUEST, format!("failed set klog.logging.verbosity {value}: {error}"))
            }
        }
    }
}

/// First elements of what is served besides pods and containers, as upstream lists them.
fn roots() -> String {
    let served = ROUTES.iter().filter(|route| route.server == Server::Main);
    let shown = served.filter(|route| {
        matches!(
            route.endpoint,
            Endpoint::Health | Endpoint::Configz | Endpoint::Flagz | Endpoint::DebugFlags
        )
    });
    let mut roots: Vec<_> = shown.filter_map(|route| route.path.split('/').nth(1)).collect();
    roots.sort_unstable();
    roots.dedup();
    roots.iter().map(|root| format!("/{root}")).collect::<Vec<_>>().join(" ")
}
