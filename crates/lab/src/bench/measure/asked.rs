//! What it costs to ask the kubelet something: scrapes, and answers beside clients that say nothing.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::{Measure, Visit};
use crate::{
    bench::{
        pod::{self, Probe},
        process,
        quantity::{self, Beside},
        samples::Samples,
    },
    wait::{Since, pause},
};

/// What Prometheus and the metrics server read of a node, and what people do.
const PAGES: [&str; 5] =
    ["/metrics", "/metrics/cadvisor", "/metrics/resource", "/metrics/probes", "/stats/summary"];
/// Between two scrapes: longer than any figure is kept, so that each scrape makes its own.
const SCRAPE_PAUSE: Duration = Duration::from_secs(11);
/// Questions of each kind beside each number of silent clients.
const QUESTIONS: usize = 100;
/// Clients that only connect, and clients that say nothing after the handshake.
const FEW: (usize, usize) = (50, 50);
const MANY: (usize, usize) = (500, 50);

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

impl Visit<'_> {
    /// Scrape every page, again and again, and see what processor time that takes. Time between the scrapes is not counted.
    pub(super) fn scrape(&mut self) -> Result<()> {
        self.fill()?;
        self.node.watch.during(self.options.settle, |_| {})?;
        let pid = self.node.pid()?;
        // The first makes what is kept between scrapes: names, connections.
        self.scrape_once()?;
        let count = self.options.samples_a_round();
        let mut used = Duration::ZERO;
        for _ in 0..count {
            pause(SCRAPE_PAUSE);
            let (time, begun) = (process::processor_time(pid)?, Since::now());
            let bytes = self.scrape_once()?;
            self.push(quantity::SCRAPE_TIME, milliseconds(begun.elapsed()));
            self.push(quantity::SCRAPE_SIZE, super::number(bytes) / 1e6);
            used += process::processor_time(pid)?.saturating_sub(time);
        }
        // The kernel tells the time in steps of 10 ms: over all scrapes of a visit that evens out.
        self.push(quantity::SCRAPE_CPU, milliseconds(used) / super::number(u64::try_from(count)?));
        Ok(())
    }

    fn scrape_once(&self) -> Result<u64> {
        let mut bytes = 0;
        for page in PAGES {
            bytes += u64::try_from(self.node.kubelet.get(page)?.len())?;
        }
        Ok(bytes)
    }

    /// Ask for health and for a log, each time over a new connection: alone, and beside clients that connect and say
    /// nothing.
    pub(super) fn silent(&mut self) -> Result<()> {
        let name = self.name(Measure::Silent, 0);
        let mut pod = pod::manifest(&name, Probe::None);
        pod["spec"]["containers"][0]["args"] = json!(["log", "--lines", "200", "--stay"]);
        self.node.run_as(&name, &pod)?;
        let log = format!("/containerLogs/default/{name}/main?tailLines=100");
        for (path, into) in [("/healthz", quantity::SILENT_HEALTH), (log.as_str(), quantity::SILENT_LOG)] {
            self.ask_beside_silent(path, &into)?;
        }
        self.node.clear()
    }

    fn ask_beside_silent(&mut self, path: &str, into: &Beside) -> Result<()> {
        let mut alone = Samples::default();
        for time in self.ask_often(path)? {
            alone.push(time);
            self.push(into.alone, time);
        }
        let usual = alone.p50().unwrap_or_default();
        for ((plain, shaken), quantity) in [(FEW, into.few), (MANY, into.many)] {
            let silent = self.node.kubelet.silent(plain, shaken)?;
            let times = self.ask_often(path)?;
            eprintln!("bench:   {} of {} silent clients are left", silent.left(), plain + shaken);
            for time in times {
                self.push(quantity, time - usual);
            }
        }
        Ok(())
    }

    fn ask_often(&self, path: &str) -> Result<Vec<f64>> {
        self.node.kubelet.get_anew(path)?;
        let ask = |_| {
            let begun = Since::now();
            self.node.kubelet.get_anew(path)?;
            Ok(milliseconds(begun.elapsed()))
        };
        (0..QUESTIONS).map(ask).collect()
    }
}
