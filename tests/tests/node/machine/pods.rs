//! Pods of every class of service, with what cgroup v2 has a file for.

/// Their label.
pub(super) const LABEL: &str = "set=machine";
/// Their names.
pub(super) const NAMES: [&str; 4] = ["guaranteed", "burstable", "besteffort", "whole"];
/// Their manifests. `burstable` may use swap: it wants less memory than it is allowed.
pub(super) const PODS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: guaranteed, labels: {set: machine}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: registry.test/busybox:1
    command: [sleep, '100000']
    resources: {limits: {cpu: 250m, memory: 64Mi}}
---
apiVersion: v1
kind: Pod
metadata: {name: burstable, labels: {set: machine}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: registry.test/busybox:1
    command: [sleep, '100000']
    resources: {requests: {cpu: 100m, memory: 32Mi}, limits: {memory: 128Mi}}
  - name: side
    image: registry.test/busybox:1
    command: [sleep, '100000']
    resources: {requests: {cpu: 10m}, limits: {cpu: 1}}
---
apiVersion: v1
kind: Pod
metadata: {name: besteffort, labels: {set: machine}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: registry.test/busybox:1
    command: [sleep, '100000']
---
apiVersion: v1
kind: Pod
metadata: {name: whole, labels: {set: machine}}
spec:
  terminationGracePeriodSeconds: 1
  resources: {requests: {cpu: 200m, memory: 64Mi}, limits: {cpu: 500m, memory: 256Mi}}
  containers:
  - name: main
    image: registry.test/busybox:1
    command: [sleep, '100000']
  - name: side
    image: registry.test/busybox:1
    command: [sleep, '100000']
    resources: {limits: {memory: 64Mi}}
";
