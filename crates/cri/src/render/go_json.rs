//! JSON as Go's `encoding/json` writes the two API types that are kept in annotations: fields in the order of
//! upstream's structs, empty ones left out, `<`, `>` and `&` escaped. Other kubelets read these annotations, and
//! comparing them byte for byte is how a swap of kubelets is tested.

use k8s_openapi::{
    api::core::v1::{ContainerPort, HTTPGetAction, LifecycleHandler, TCPSocketAction},
    apimachinery::pkg::util::intstr::IntOrString,
};
use lifecycle::spec::hash::go_json_string;

/// A `LifecycleHandler`.
#[must_use]
pub fn handler(handler: &LifecycleHandler) -> String {
    let mut object = Object::new();
    if let Some(exec) = &handler.exec {
        let mut inner = Object::new();
        if let Some(command) = exec.command.as_ref().filter(|c| !c.is_empty()) {
            let items: Vec<String> = command.iter().map(|c| quoted(c)).collect();
            inner.raw("command", &format!("[{}]", items.join(",")));
        }
        object.raw("exec", &inner.end());
    }
    if let Some(http) = &handler.http_get {
        object.raw("httpGet", &http_get(http));
    }
    if let Some(tcp) = &handler.tcp_socket {
        object.raw("tcpSocket", &tcp_socket(tcp));
    }
    if let Some(sleep) = &handler.sleep {
        object.raw("sleep", &format!("{{\"seconds\":{}}}", sleep.seconds));
    }
    object.end()
}

/// A list of `ContainerPort`.
#[must_use]
pub fn ports(ports: &[ContainerPort]) -> String {
    let items: Vec<String> = ports
        .iter()
        .map(|port| {
            let mut object = Object::new();
            object.text("name", port.name.as_deref());
            if let Some(host) = port.host_port.filter(|p| *p != 0) {
                object.raw("hostPort", &host.to_string());
            }
            object.raw("containerPort", &port.container_port.to_string());
            object.text("protocol", port.protocol.as_deref());
            object.text("hostIP", port.host_ip.as_deref());
            object.end()
        })
        .collect();
    format!("[{}]", items.join(","))
}

fn http_get(http: &HTTPGetAction) -> String {
    let mut object = Object::new();
    object.text("path", http.path.as_deref());
    object.raw("port", &int_or_string(&http.port));
    object.text("host", http.host.as_deref());
    object.text("scheme", http.scheme.as_deref());
    if let Some(headers) = http.http_headers.as_ref().filter(|h| !h.is_empty()) {
        let items: Vec<String> = headers
            .iter()
            .map(|h| format!("{{\"name\":{},\"value\":{}}}", quoted(&h.name), quoted(&h.value)))
            .collect();
        object.raw("httpHeaders", &format!("[{}]", items.join(",")));
    }
    object.end()
}

fn tcp_socket(tcp: &TCPSocketAction) -> String {
    let mut object = Object::new();
    object.raw("port", &int_or_string(&tcp.port));
    object.text("host", tcp.host.as_deref());
    object.end()
}

fn int_or_string(value: &IntOrString) -> String {
    match value {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(text) => quoted(text),
    }
}

struct Object(String);

impl Object {
    fn new() -> Self {
        Self(String::from("{"))
    }

    fn raw(&mut self, name: &str, json: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push_str(&format!("\"{name}\":{json}"));
    }

    /// Left out when empty, as `omitempty` does.
    fn text(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text.filter(|t| !t.is_empty()) {
            self.raw(name, &quoted(text));
        }
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    go_json_string(&mut out, text);
    out
}
