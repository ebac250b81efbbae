//! What the API is told, beside a runtime in memory.

mod ids;
mod streams;
