//! The rules, each held to its definition: in memory (`rules`), against every small change (`tamper`), against arbitrary
//! trees (`arbitrary`), and along real histories (`histories`, `attacks`).

mod arbitrary;
mod attacks;
mod cost;
mod histories;
mod project;
mod rules;
mod tamper;
mod world;
mod writer;
