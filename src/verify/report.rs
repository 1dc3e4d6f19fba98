//! What verification has to say: findings with stable rule names, and what was looked at.

use bstr::{BStr, BString, ByteSlice};
use serde::Serialize;

use crate::id::{ObjectId, Sha256, Tombstone};
use crate::item::text_enum;

text_enum! {
    /// What a finding is about. The names are an interface: rules are added, never renamed.
    Rule, "a rule of verification" {
        /// A stub does not parse.
        StubMalformed = "stub-malformed",
        /// A stub, an evidence file or a record has a later format than this program reads.
        NeedsNewer = "needs-newer",
        /// A stub's evidence is in the repository's index and not in what is committed.
        EvidenceMissing = "evidence-missing",
        /// A stub's evidence file or record is not in the same tree.
        StubUnknown = "stub-unknown",
        /// A stub differs from its record, or its record from the bytes that stood there.
        StubMismatch = "stub-mismatch",
        /// A stub stands at another path than recorded.
        StubMoved = "stub-moved",
        /// One tombstone stands in two stubs.
        StubDuplicate = "stub-duplicate",
        /// Git lacks the bytes that a stub replaced.
        Unproven = "unproven",
        /// A stub is gone, and nothing says that its bytes are back.
        StubRemoved = "stub-removed",
        /// An evidence file that a parent holds is missing or changed.
        EvidenceRewritten = "evidence-rewritten",
        /// An evidence file is damaged, or something poses as one.
        EvidenceBroken = "evidence-broken",
        /// An object that verification needs is not in this clone.
        HistoryIncomplete = "history-incomplete",
        /// The archive lacks an item, or its bytes (`--deep`).
        ArchiveMissing = "archive-missing",
        /// The archive holds something else than stub and evidence say (`--deep`).
        ArchiveDrift = "archive-drift",
    }
}

impl Rule {
    /// Returns what the rule catches, in one sentence for people.
    pub fn description(self) -> &'static str {
        match self {
            Self::StubMalformed => "A stub does not parse.",
            Self::NeedsNewer => "A stub or its evidence has a later format than this program reads.",
            Self::EvidenceMissing => "A stub is committed without its evidence, which is staged.",
            Self::StubUnknown => "A stub's evidence file, or its record in it, is not in the same tree.",
            Self::StubMismatch => "A stub differs from its record, or its record from the bytes that it replaced.",
            Self::StubMoved => "A stub stands at another path than its record says.",
            Self::StubDuplicate => "One tombstone stands in two stubs.",
            Self::Unproven => "Git lacks the bytes that a stub replaced, so they could not be compared.",
            Self::StubRemoved => "A stub was overwritten or deleted, and no record says that its bytes are back.",
            Self::EvidenceRewritten => "An evidence file that a parent commit holds is missing or changed.",
            Self::EvidenceBroken => "An evidence file is damaged, or something poses as one.",
            Self::HistoryIncomplete => "An object that verification needs is not in this clone.",
            Self::ArchiveMissing => "The archive lacks an item, or its bytes.",
            Self::ArchiveDrift => "The archive holds something else than stub and evidence say.",
        }
    }

    /// Returns what to do about it, in a few sentences for people.
    pub fn help(self) -> &'static str {
        match self {
            Self::StubMalformed => {
                "Take the stub from a commit where it was right, or the file from before it was archived."
            }
            Self::NeedsNewer => {
                "Update git-archive-tomb here and in CI. What a program is too old to judge is no pass."
            }
            Self::EvidenceMissing => "Commit stub and evidence together: the hint is the command.",
            Self::StubUnknown => {
                "Add the evidence file that came with the stub; it is written beside it and staged with it."
            }
            Self::StubMismatch => {
                "Take the stub from the commit that archived the file. To change what it stands for, restore the file, edit \
                 it and archive it again."
            }
            Self::StubMoved => "Nothing is lost. Put the stub back if it should not have moved.",
            Self::StubDuplicate => "Nothing is lost. Keep one of the stubs.",
            Self::Unproven => {
                "Fetch the history that this clone left out, or compare with the archive: `verify --deep`."
            }
            Self::StubRemoved => {
                "Bring the stub back. To have the file again, `git archive-tomb restore` it: that is on the record."
            }
            Self::EvidenceRewritten => "Bring the evidence file back as it was; evidence only grows.",
            Self::EvidenceBroken => {
                "Take out what is no evidence. If an archive's own evidence is damaged, bring the files back and archive \
                 them again."
            }
            Self::HistoryIncomplete => "Fetch what this clone left out, and verify again.",
            Self::ArchiveMissing | Self::ArchiveDrift => {
                "Compare with another copy of the archive, or with git's history: `git archive-tomb show` tells where the \
                 bytes are."
            }
        }
    }

    /// Returns how much the rule weighs, where nothing says otherwise.
    pub fn severity(self) -> Severity {
        match self {
            Self::StubMoved | Self::StubDuplicate | Self::Unproven => Severity::Warning,
            _ => Severity::Error,
        }
    }
}

text_enum! {
    /// How much a finding weighs.
    Severity, "a severity (error or warning)" {
        /// Verification fails.
        Error = "error",
        /// Worth a look; verification does not fail for it.
        Warning = "warning",
    }
}

/// One thing that verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule that was broken.
    pub rule: Rule,
    /// Whether verification fails for it.
    pub severity: Severity,
    /// Where in the tree; any bytes git can hold, not necessarily a path that may be written to.
    pub path: Option<BString>,
    /// The line in the file at `path`, from 1.
    pub line: Option<u64>,
    /// The item concerned.
    pub tombstone: Option<Tombstone>,
    /// The digest of the record's line.
    pub record: Option<Sha256>,
    /// The commit that brought it; `None` for the index.
    pub commit: Option<ObjectId>,
    /// What is wrong, as a lower-case fragment; foreign text in it is quoted.
    pub reason: String,
    /// What to do next: a command or a concrete choice.
    pub hint: Option<String>,
}

impl Finding {
    /// Returns an error at `path` with no more than a reason.
    pub(crate) fn error(rule: Rule, path: &[u8], reason: impl Into<String>) -> Self {
        Self {
            rule,
            severity: Severity::Error,
            path: Some(path.into()),
            line: None,
            tombstone: None,
            record: None,
            commit: None,
            reason: reason.into(),
            hint: None,
        }
    }

    /// Returns a warning at `path` with no more than a reason.
    pub(crate) fn warning(rule: Rule, path: &[u8], reason: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(rule, path, reason) }
    }

    /// Returns that this program is too old to judge what stands at `path`.
    pub(crate) fn needs_newer(path: &[u8], reason: impl Into<String>) -> Self {
        Self::error(Rule::NeedsNewer, path, reason).hint("update git-archive-tomb, here and in CI")
    }

    /// Adds what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the line, from 1.
    pub(crate) fn line(mut self, line: u64) -> Self {
        self.line = Some(line);
        self
    }

    /// Adds the item.
    pub(crate) fn tombstone(mut self, tombstone: Tombstone) -> Self {
        self.tombstone = Some(tombstone);
        self
    }

    /// Adds the digest of the record's line.
    pub(crate) fn record(mut self, digest: Sha256) -> Self {
        self.record = Some(digest);
        self
    }

    /// Adds the commit; `None` is the index.
    pub(crate) fn commit(mut self, commit: Option<ObjectId>) -> Self {
        self.commit = commit;
        self
    }

    /// Returns where in the tree it is.
    pub fn path(&self) -> Option<&BStr> {
        self.path.as_ref().map(|path| path.as_bstr())
    }
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Commits; the index counts as one where it is checked.
    pub commits: u64,
    /// Edges from a commit to a parent, or from a root commit to nothing.
    pub edges: u64,
    /// Stubs that were compared with their records.
    pub stubs: u64,
    /// Evidence files that were read.
    pub evidence_files: u64,
}

impl Checked {
    /// Adds what another part of the work looked at.
    pub(crate) fn add(&mut self, other: Self) {
        self.commits += other.commits;
        self.edges += other.edges;
        self.stubs += other.stubs;
        self.evidence_files += other.evidence_files;
    }
}

/// The outcome of one verification.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What was found: oldest commit first, then by path and rule.
    pub findings: Vec<Finding>,
    /// How much was looked at.
    pub checked: Checked,
}

impl Report {
    /// Returns the number of findings with `severity`.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Returns whether verification passes: there is no error.
    pub fn is_clean(&self) -> bool {
        self.count(Severity::Error) == 0
    }
}
