//! Arbitrary trees: there is always an answer, and evidence that a parent holds never goes unnoticed.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::world::{Tree, World, id};
use super::writer::{Original, account, archive, path};
use crate::evidence::record::Action;
use crate::git::TreeEntry;
use crate::item::RepoPath;
use crate::verify::evidence::{EvidenceReader, Reading};
use crate::verify::report::Severity;

/// A tree with two archived files, one of them restored, and what else may stand in trees made of it.
struct Stock {
    world: World,
    trees: [Tree; 2],
    paths: Vec<RepoPath>,
    contents: Vec<Vec<u8>>,
}

fn stock() -> Stock {
    let mut world = World::default();
    let mut before = Tree::default();
    for at in ["a.py", "lib/b.py"] {
        world.put(&mut before, at, at.as_bytes());
    }
    let commit = world.commit(&before);
    let originals = ["a.py", "lib/b.py"].map(|at| Original::new(at, at.as_bytes(), id(at.as_bytes()), commit));
    let written = archive(1, &originals, &[]);
    let restored = account(Action::Restore, 2, written.tombstones[0]);
    let mut after = before.clone();
    world.put_all(&mut after, &written);
    world.put_evidence(&mut after, "", &restored);
    let evidence = [&written.evidence, &restored].map(|file| file.path().to_string());
    let mut paths: Vec<String> =
        ["a.py", "lib/b.py", "c", ".codex", ".codex/evidence/ops", ".gitattributes"].map(str::to_owned).into();
    for at in &evidence {
        paths.extend([
            at.clone(),
            format!("lib/{at}"),
            at.replace("/10/", "/11/"),
            at.replace("ops/", "ops/.codex/evidence/ops/"),
            at.replace(".codex", ".CODEX"),
            at.replace(".jsonl", ""),
        ]);
    }
    let mut contents: Vec<Vec<u8>> = world.blobs.values().cloned().collect();
    contents.sort();
    Stock { world, trees: [before, after], paths: paths.iter().map(|at| path(at)).collect(), contents }
}

/// What is done to a tree: at a place, of which there are some, a content and a mode, or nothing.
type Edit = (usize, Option<(usize, u32, Option<Vec<u8>>)>);

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let mode = select(vec![0o100_644, 0o100_644, 0o100_644, 0o100_755, 0o120_000, 0o160_000]);
    let bytes = proptest::option::weighted(0.3, vec(any::<u8>(), 0..80));
    vec((0..100_usize, proptest::option::of((0..100_usize, mode, bytes))), 0..6)
}

impl Stock {
    fn edited(&mut self, tree: &Tree, edits: Vec<Edit>) -> Tree {
        let mut tree = tree.clone();
        for (at, edit) in edits {
            let at = self.paths[at % self.paths.len()].clone();
            let Some((content, mode, bytes)) = edit else {
                tree.files.remove(&at);
                continue;
            };
            let bytes = bytes.unwrap_or_else(|| self.contents[content % self.contents.len()].clone());
            tree.files.insert(at, TreeEntry { mode, id: id(&bytes) });
            self.world.blobs.insert(id(&bytes), bytes);
        }
        tree
    }

    /// Returns the blobs that are intact evidence where they stand.
    fn evidence(&self, tree: &Tree) -> Vec<TreeEntry> {
        let reader = EvidenceReader::new(&self.world);
        let intact = |at: &RepoPath, entry: &TreeEntry| matches!(reader.read(at, entry), Ok(Reading::Intact(_)));
        tree.files.iter().filter(|(at, entry)| intact(at, entry)).map(|(_, entry)| *entry).collect()
    }
}

proptest! {
    #[test]
    fn evidence_that_a_parent_holds_is_never_gone_unnoticed(
        parents in vec((0..2_usize, edits()), 1..4),
        child in (0..2_usize, edits()),
    ) {
        let mut stock = stock();
        let trees = stock.trees.clone();
        let parents: Vec<Tree> = parents.into_iter().map(|(base, edits)| stock.edited(&trees[base], edits)).collect();
        let child = stock.edited(&trees[child.0], child.1);
        let outcome = stock.world.outcome(&parents.iter().collect::<Vec<_>>(), &child, None, false);
        let kept = stock.evidence(&child);
        let is_lost = parents.iter().flat_map(|parent| stock.evidence(parent)).any(|entry| !kept.contains(&entry));
        prop_assert!(!is_lost || !outcome.lost.is_empty(), "{:#?}", outcome.findings);
        // Nothing changed, nothing said.
        let still = stock.world.outcome(&[&child], &child, None, false);
        prop_assert!(still.findings.is_empty() && still.lost.is_empty());
        // What the step brings in and is no evidence, where only evidence stands, is an error.
        let imposter = path(".codex/evidence/ops");
        let is_new = parents.iter().all(|parent| parent.files.get(&imposter) != child.files.get(&imposter));
        if is_new && child.files.contains_key(&imposter) {
            prop_assert!(outcome.findings.iter().any(|finding| finding.severity == Severity::Error));
        }
    }
}
