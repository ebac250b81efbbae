//! The catalogue of what the HTTP API on 10250 serves; the server itself is not built yet.

pub mod catalog;
