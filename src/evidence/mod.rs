//! Evidence: what proves each operation, as `docs/evidence.md` specifies it.
//!
//! A [`record`] is one line. All records of an operation that changes something make one immutable evidence file, named
//! by its digest: [`mod@format`] reads it, [`writer`] makes it, and they share nothing but the format's names and limits.
//! [`graph`] finds the files that the next one names as its predecessors, so that history is a graph that merges freely.
//! [`log`] appends every record made in this clone to one local file. [`check`] tells what is wrong with a set of files,
//! [`digest`] deals with what pull requests quote, and [`checkpoint`] with what people sign.

pub mod check;
pub mod checkpoint;
pub mod digest;
pub mod format;
pub mod graph;
mod lines;
pub mod log;
pub mod record;
pub mod writer;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod testing;
