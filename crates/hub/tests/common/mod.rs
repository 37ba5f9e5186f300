//! A Hub on this machine: HTTP, and as much of the Hub's interface as pulling and pushing a model takes.

pub mod http;
pub mod hub;
