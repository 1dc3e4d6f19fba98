//! The rules, each held to its definition: in memory (`rules`), and along real histories (`histories`).

mod cost;
mod histories;
mod project;
mod rules;
mod writer;
