//! The command line of git-archive-tomb.

fn main() {}
