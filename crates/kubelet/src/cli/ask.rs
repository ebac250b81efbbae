//! `kubelet explain` and `kubelet timeline`: ask the running kubelet of this machine over its local socket.
//!
//! ```text
//!   arguments ─► question ─► GET over the socket ─► document ─► text, or the document as it came
//! ```
//!
//! The answer comes from the process that decides; nothing is concluded here.

use std::path::PathBuf;

use seams::explain::{Explanation, PodList, Refusal, Timeline};
use serde::de::DeserializeOwned;

use super::Refusal as StartRefusal;
use crate::{
    config::{Problem, problem::Stage},
    flags,
};

mod explanation;
mod fetch;
mod layout;
mod timeline;

use fetch::{Answer, AskError};
use layout::Zone;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Why a pod is where it is.
    Explain,
    /// Where the time of its start went.
    Timeline,
}

impl Topic {
    fn word(self) -> &'static str {
        match self {
            Self::Explain => "explain",
            Self::Timeline => "timeline",
        }
    }

    fn about(self) -> &'static str {
        match self {
            Self::Explain => {
                "Tells why a pod is where it is: what is blocked, since when, why, whose turn it is, what comes next."
            }
            Self::Timeline => "Tells where each millisecond of a pod's start went, and what happened since.",
        }
    }
}

/// How the answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    Text,
    Json,
}

/// A question for the running kubelet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    topic: Topic,
    /// `[NAMESPACE/]NAME`; `None`: all pods are listed.
    pod: Option<String>,
    uid: Option<String>,
    socket: PathBuf,
    output: Output,
}

/// What the arguments ask for.
#[derive(Debug)]
pub(super) enum Parsed {
    Ask(Question),
    Help(String),
    Refuse(Box<Problem>),
}

const DEFAULT_ROOT: &str = "/var/lib/kubelet";

/// Reads the arguments after the word itself.
pub(super) fn parse(topic: Topic, args: &[String]) -> Parsed {
    let mut question = Question {
        topic,
        pod: None,
        uid: None,
        socket: PathBuf::from(DEFAULT_ROOT).join(server::local::FILE),
        output: Output::Text,
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let (name, joined) = match arg.split_once('=') {
            Some((name, value)) if name.starts_with('-') => (name, Some(value.to_owned())),
            _ => (arg.as_str(), None),
        };
        if matches!(name, "-h" | "--help") {
            return Parsed::Help(help(topic));
        }
        if !name.starts_with('-') {
            if question.pod.is_some() {
                return refuse(arg, "one pod at a time", "leave it out to list all pods");
            }
            question.pod = Some(arg.clone());
            continue;
        }
        if !matches!(name, "--root-dir" | "--socket" | "--uid" | "-o" | "--output") {
            let known = ["--root-dir", "--socket", "--uid", "--output"];
            let hint = match flags::nearest(name, known.into_iter()) {
                Some(close) => format!("did you mean {close}?"),
                None => format!("`kubelet {} --help` lists the flags", topic.word()),
            };
            return refuse(name, &format!("unknown flag: {name}"), &hint);
        }
        let Some(value) = joined.or_else(|| args.next().cloned()) else {
            return refuse(name, &format!("flag needs an argument: {name}"), "write it after the flag");
        };
        match name {
            "--root-dir" => question.socket = PathBuf::from(value).join(server::local::FILE),
            "--socket" => question.socket = PathBuf::from(value),
            "--uid" => question.uid = Some(value),
            _ => {
                question.output = match value.as_str() {
                    "text" => Output::Text,
                    "json" => Output::Json,
                    other => {
                        let cause = format!("invalid argument {other:?} for {name}");
                        return refuse(name, &cause, "write text or json");
                    }
                };
            }
        }
    }
    Parsed::Ask(question)
}

fn refuse(at: &str, cause: &str, hint: &str) -> Parsed {
    Parsed::Refuse(Box::new(Problem::new(Stage::Parse, at, cause, hint)))
}

impl Parsed {
    /// As the start of the program that it is.
    pub(super) fn start(self) -> super::Start {
        match self {
            Self::Ask(question) => super::Start::Ask(question),
            Self::Help(text) => super::Start::Print(text),
            Self::Refuse(problem) => StartRefusal::of(vec![*problem]),
        }
    }
}

fn help(topic: Topic) -> String {
    format!(
        "{}\n\n\
         Usage:\n  kubelet {} [NAMESPACE/]POD [flags]\n  kubelet {} [flags]                  list the pods\n\n\
         It asks the running kubelet of this machine over a socket that only root may open; no API server is needed.\n\
         A static pod may be named as in its manifest. Pods that went lately can still be asked for.\n\n\
         Flags:\n  \
         --root-dir string     --root-dir of the running kubelet (default {DEFAULT_ROOT})\n  \
         --socket string       its socket, where it is not <root-dir>/{}\n  \
         --uid string          which of several pods of one name\n  \
         -o, --output string   text or json (default text)\n",
        topic.about(),
        topic.word(),
        topic.word(),
        server::local::FILE,
    )
}

/// Asks, and renders the answer.
///
/// # Errors
/// What went wrong, with a hint, for standard error.
pub async fn ask(question: &Question) -> Result<String, String> {
    rendered(question).await.map_err(|text| layout::shown_lines(&text))
}

async fn rendered(question: &Question) -> Result<String, String> {
    let zone = Zone::system();
    let Some(pod) = &question.pod else {
        let answer = fetch::get(&question.socket, "/v1/pods").await.map_err(told)?;
        let list: PodList = read(&answer).map_err(told)?;
        return Ok(match question.output {
            Output::Json => answer.body,
            Output::Text => layout::pods(&list, &zone),
        });
    };
    let mut target = format!("/v1/{}?pod={}", question.topic.word(), fetch::encoded(pod));
    if let Some(uid) = &question.uid {
        target.push_str(&format!("&uid={}", fetch::encoded(uid)));
    }
    let answer = fetch::get(&question.socket, &target).await.map_err(told)?;
    if answer.status != 200 {
        return Err(refused(question, pod, &answer).await);
    }
    match (question.output, question.topic) {
        (Output::Json, _) => Ok(answer.body),
        (Output::Text, Topic::Explain) => {
            Ok(explanation::render(&read::<Explanation>(&answer).map_err(told)?, &zone))
        }
        (Output::Text, Topic::Timeline) => {
            Ok(timeline::render(&read::<Timeline>(&answer).map_err(told)?, &zone))
        }
    }
}

fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, AskError> {
    serde_json::from_str(&answer.body).map_err(|cause| AskError::Foreign { cause: cause.to_string() })
}

fn told(error: AskError) -> String {
    format!("error: {error}\n")
}

/// The kubelet knows no such pod, or several: those that may have been meant are listed.
async fn refused(question: &Question, pod: &str, answer: &Answer) -> String {
    let Ok(refusal) = read::<Refusal>(answer) else {
        return format!("error: the kubelet answered {}: {}\n", answer.status, answer.body.trim());
    };
    let mut text = format!("error: {}\n", refusal.message);
    if !refusal.pods.is_empty() {
        for name in &refusal.pods {
            text.push_str(&format!("  {}/{}  --uid {}\n", name.namespace, name.name, name.uid));
        }
        text.push_str("hint: name the namespace, or give --uid\n");
        return text;
    }
    let list = match fetch::get(&question.socket, "/v1/pods").await {
        Ok(answer) => read::<PodList>(&answer).ok(),
        Err(_) => None,
    };
    let Some(list) = list else { return text };
    let close = layout::close_to(pod, &list);
    if close.is_empty() {
        text.push_str(&format!(
            "hint: is it bound to node {}? `kubelet {}` lists the pods that are here\n",
            list.node,
            question.topic.word()
        ));
    } else {
        text.push_str("hint: did you mean one of these?\n");
        close.iter().for_each(|name| text.push_str(&format!("  {name}\n")));
    }
    text
}

#[cfg(test)]
mod tests;
