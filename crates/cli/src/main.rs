//! The `learngene` program.

fn main() {}
