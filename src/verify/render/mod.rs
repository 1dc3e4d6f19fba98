//! A report as text, JSON lines, annotations for GitHub, or SARIF: pure functions of the report.
//!
//! Paths, reasons and hints hold foreign text. Each form escapes it for its own reader, so that a file name can neither
//! steer a terminal nor start a workflow command.

mod github;
mod json;
mod sarif;
mod text;

pub use github::github;
pub use json::json;
pub use sarif::sarif;
pub use text::text;

#[cfg(test)]
mod tests;
