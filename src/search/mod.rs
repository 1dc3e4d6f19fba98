//! `grep`: looks for a pattern in archived contents.
//!
//! [`search`] reads every content that a query selects once, whatever the number of items that have it, with several
//! threads, and hands on what it found item by item, in the order of a listing. Nothing is held in memory whole: contents
//! go through as they are decoded ([`Pattern`] and `lines` look at them line by line), and what is found waits in temporary
//! files for its turn, and for the content's digest to be right.

mod lines;
mod pattern;
mod spool;

use std::collections::{HashMap, HashSet};
use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use lines::{Detail, Found, MAX_LINE};
pub use pattern::{Pattern, PatternError, PatternOptions};
pub use spool::Lines;

use crate::archive::{AnyArchive, ArchiveError, Content, ContentReader, Pool, Query, ReadError, read_in_runs};
use crate::clock::Timestamp;
use crate::id::{Sha256, Tombstone};
use crate::item::{FileMode, RepoPath};
use lines::Scanner;
use spool::Spool;

/// How many characters of a tombstone name an item in what people read: 48 bits of a digest, with the hyphen between.
const SHORT: usize = 13;

/// An item whose content was searched, or would have been.
#[derive(Debug)]
pub struct Searched {
    /// The item.
    pub tombstone: Tombstone,
    /// The repository that it was archived from.
    pub repo: Arc<str>,
    /// Where it stood.
    pub path: RepoPath,
    /// The beginning of its tombstone, as far as it is needed to tell it from all others that were selected.
    pub name: String,
    /// Where its content stands in the list of all; or when it was purged.
    content: Result<usize, Timestamp>,
}

/// What came of searching the content of an item.
pub enum Outcome<'a> {
    /// The pattern was found.
    Found(Found, Lines<'a>),
    /// The content did not come out of the archive as it went in.
    Damaged(&'a ReadError),
    /// The content was purged.
    Purged(Timestamp),
}

/// Why a search did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The archive failed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// What was found could not be kept until its turn.
    #[error("cannot keep in a temporary file what was found")]
    Spool(#[source] io::Error),
}

/// What came of one run of contents.
struct Run {
    spool: Spool,
    contents: Vec<Result<(Found, Range<u64>), ReadError>>,
}

/// What came of a content that items further on have too.
enum Kept {
    Found(Found, Range<u64>),
    Damaged(ReadError),
}

/// Looks for `pattern` in the contents of the items that `query` selects, in as much detail as asked for, and hands those
/// items to `visit` in the order of a listing, but for those without a match, until it breaks off.
///
/// Memory grows with the number of items, not with their sizes or with what is found.
pub fn search(
    pool: &Pool<'_>,
    query: &Query,
    pattern: &Pattern,
    detail: Detail,
    visit: &mut dyn FnMut(&Searched, Outcome<'_>) -> ControlFlow<()>,
) -> Result<(), SearchError> {
    let (items, contents) = select(&mut *pool.lend()?, query)?;
    let mut shared = Shared::new(&items, contents.len());
    let mut left = items.iter();
    let ended = AtomicBool::new(false);
    let read = |reader: &mut ContentReader<'_>, run: Range<usize>| {
        search_run(reader, &contents[run], &pattern.clone(), detail, &ended)
    };
    read_in_runs(pool, &contents, read, &mut |range, mut run: Run| {
        shared.keep(&range, &mut run)?;
        // A content's number is that of its first item among all first ones, so this run's items come now.
        let here = |item: &&Searched| item.content.is_ok_and(|content| content >= range.end);
        while let Some(item) = left.as_slice().first().filter(|item| !here(item)) {
            left.next();
            let flow = match item.content {
                Err(purged_at) => visit(item, Outcome::Purged(purged_at)),
                Ok(content) if shared.is_shared(content) => shared.visit(content, item, visit)?,
                Ok(content) => match &run.contents[content - range.start] {
                    Err(error) => visit(item, Outcome::Damaged(error)),
                    Ok((found, _)) if found.count == 0 => ControlFlow::Continue(()),
                    Ok((found, at)) => visit(item, Outcome::Found(*found, run.spool.lines(at)?)),
                },
            };
            if flow.is_break() {
                ended.store(true, Ordering::Relaxed);
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    // After the last run, or without any, there is nothing left but what was purged.
    for item in left.take_while(|_| !ended.load(Ordering::Relaxed)) {
        if let Err(purged_at) = item.content
            && visit(item, Outcome::Purged(purged_at)).is_break()
        {
            break;
        }
    }
    Ok(())
}

/// Returns the items that `query` selects, and their contents, each once, in the order of the first items that have them.
fn select(archive: &mut AnyArchive, query: &Query) -> Result<(Vec<Searched>, Vec<Content>), ArchiveError> {
    let (mut items, mut contents) = (Vec::new(), Vec::new());
    let mut numbers: HashMap<(Sha256, u64), usize> = HashMap::new();
    let mut repos: HashSet<Arc<str>> = HashSet::new();
    archive.list(query, &mut |stored| {
        let item = stored.item;
        // To git too, the target of a link is no text to search.
        if item.mode == FileMode::Symlink {
            return ControlFlow::Continue(());
        }
        let content = match stored.purged_at {
            Some(purged_at) => Err(purged_at),
            // A row that lies about the length is its own item's damage, not that of others.
            None => Ok(*numbers.entry((item.sha256, item.size)).or_insert_with(|| {
                contents.push(Content { sha256: item.sha256, size: item.size });
                contents.len() - 1
            })),
        };
        let repo = repos.get(item.repo.as_str()).cloned().unwrap_or_else(|| {
            let repo: Arc<str> = item.repo.into();
            repos.insert(Arc::clone(&repo));
            repo
        });
        items.push(Searched { tombstone: item.tombstone, repo, path: item.path, name: String::new(), content });
        ControlFlow::Continue(())
    })?;
    name(&mut items);
    Ok((items, contents))
}

/// Gives each item the shortest name that no other one of them shares.
fn name(items: &mut [Searched]) {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for item in items.iter_mut() {
        item.name = item.tombstone.to_string();
        *counts.entry(item.name[..SHORT].to_owned()).or_default() += 1;
    }
    for item in items {
        if counts[&item.name[..SHORT]] == 1 {
            item.name.truncate(SHORT);
            item.name.shrink_to_fit();
        }
    }
}

/// Searches the contents of one run.
fn search_run(
    reader: &mut ContentReader<'_>,
    contents: &[Content],
    pattern: &Pattern,
    detail: Detail,
    ended: &AtomicBool,
) -> Result<Run, SearchError> {
    let mut run = Run { spool: Spool::new(), contents: Vec::with_capacity(contents.len()) };
    for content in contents {
        let start = run.spool.len();
        let mut scanner = Scanner::new(pattern, detail, &mut run.spool, ended);
        let result = match reader.read(&content.sha256, content.size, &mut scanner) {
            Ok(_) => Ok(scanner.finish().map_err(SearchError::Spool)?),
            Err(ReadError::Write { source, .. }) => return Err(SearchError::Spool(source)),
            Err(error) => Err(error.of_content()?),
        };
        let result = match result {
            Ok(found) if found.is_text => Ok((found, start..run.spool.len())),
            // Lines of what turned out to be damaged, or no text, are nobody's to see.
            other => {
                run.spool.truncate(start).map_err(SearchError::Spool)?;
                other.map(|found| (found, start..start))
            }
        };
        run.contents.push(result);
    }
    Ok(run)
}

/// What was found in contents that several items have.
struct Shared {
    /// How many items of each content are still to come.
    uses: Vec<usize>,
    kept: HashMap<usize, Kept>,
    spool: Spool,
}

impl Shared {
    fn new(items: &[Searched], contents: usize) -> Self {
        let mut uses = vec![0; contents];
        for content in items.iter().filter_map(|item| item.content.ok()) {
            uses[content] += 1;
        }
        Self { uses, kept: HashMap::new(), spool: Spool::new() }
    }

    fn is_shared(&self, content: usize) -> bool {
        self.uses[content] != 1
    }

    /// Takes over what came of those contents of a run that several items have.
    fn keep(&mut self, range: &Range<usize>, run: &mut Run) -> Result<(), SearchError> {
        for content in range.clone().filter(|content| self.uses[*content] > 1) {
            let kept = match &run.contents[content - range.start] {
                Ok((found, _)) if found.count == 0 => continue,
                Ok((found, at)) => Kept::Found(*found, self.spool.take_over(&mut run.spool, at)?),
                Err(_) => {
                    let nothing = Ok((Found::default(), 0..0));
                    match std::mem::replace(&mut run.contents[content - range.start], nothing) {
                        Err(error) => Kept::Damaged(error),
                        Ok(_) => continue,
                    }
                }
            };
            self.kept.insert(content, kept);
        }
        Ok(())
    }

    fn visit(
        &mut self,
        content: usize,
        item: &Searched,
        visit: &mut dyn FnMut(&Searched, Outcome<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, SearchError> {
        Ok(match self.kept.get(&content) {
            Some(Kept::Found(found, at)) => visit(item, Outcome::Found(*found, self.spool.lines(at)?)),
            Some(Kept::Damaged(error)) => visit(item, Outcome::Damaged(error)),
            None => ControlFlow::Continue(()),
        })
    }
}
