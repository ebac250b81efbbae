//! The HTTP side: the local socket, and the catalogue of what the API on 10250 serves; that server is not built yet.

pub mod catalog;
pub mod local;
