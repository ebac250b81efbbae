//! The HTTP side: the HTTPS API on 10250 with its read-only port, the local socket, and the table of what upstream
//! serves.

pub mod api;
pub mod catalog;
pub mod health;
pub mod local;
pub mod port;
mod spdy;
