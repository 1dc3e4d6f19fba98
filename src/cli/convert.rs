//! From the library's errors to what people see: who is to blame, which exit code, and what to do next.
//!
//! Every match is exhaustive where the answer differs, so a new kind of error has to choose.

use std::convert::Infallible;
use std::error::Error;

use bstr::ByteSlice;
use git_archive_tomb::archive::{ArchiveError, ObjectsError, ReadError, Setting, StoreContentsError};
use git_archive_tomb::batch::{BatchError, ResultsError};
use git_archive_tomb::causes::in_one_line;
use git_archive_tomb::change::{ChangeError, OwnFilesError};
use git_archive_tomb::config::{ConfigError, ConfigErrors};
use git_archive_tomb::evidence::checkpoint::format::CheckpointError;
use git_archive_tomb::evidence::checkpoint::judge::JudgeError;
use git_archive_tomb::evidence::checkpoint::prepare::PrepareError;
use git_archive_tomb::evidence::log::LogError;
use git_archive_tomb::export::ExportError;
use git_archive_tomb::git::{AttributeLine, Gap, GitError};
use git_archive_tomb::governance::acts::{ActError, PurgingError};
use git_archive_tomb::governance::story::StoryError;
use git_archive_tomb::governance::{GovernanceError, SigningError};
use git_archive_tomb::hooks::HooksError;
use git_archive_tomb::id::{ObjectId, Tombstone};
use git_archive_tomb::item::RepoPath;
use git_archive_tomb::journal::JournalError;
use git_archive_tomb::manifest::ManifestError;
use git_archive_tomb::migrate::MigrateError;
use git_archive_tomb::operation::{OperationError, OrphanError};
use git_archive_tomb::places::PlacesError;
use git_archive_tomb::proof::ProofError;
use git_archive_tomb::quote::{quote, shell};
use git_archive_tomb::residue::ResidueError;
use git_archive_tomb::resolve::ResolveError;
use git_archive_tomb::restore::{
    Absence, BranchPlanError, ElsewhereError, InPlaceError, LocateError, MergeError, PlanError as RestorePlanError,
    SourceError,
};
use git_archive_tomb::review::ReviewError;
use git_archive_tomb::search::SearchError;
use git_archive_tomb::signature::SignatureError;
use git_archive_tomb::store::{PlanError as StorePlanError, Refusal, RefusalReason, StoreError};
use git_archive_tomb::stub::{RenderError, TemplateError};
use git_archive_tomb::textconv::setup::SetupError;
use git_archive_tomb::verify::{DeepError, VerifyError};

use super::acting::refused;
use super::error::CommandError;
use super::exit::Exit;

impl From<GitError> for CommandError {
    fn from(error: GitError) -> Self {
        let (exit, hint) = match &error {
            GitError::GitNotFound(_) => (Exit::Usage, Some("install git, or put it on `PATH`".to_owned())),
            GitError::GitTooOld { .. } => (Exit::Usage, Some("install a newer git".to_owned())),
            GitError::NotARepository { .. } => {
                (Exit::Usage, Some("go to a repository, or name one with `-C`".to_owned()))
            }
            GitError::NoWorkTree { .. } => {
                (Exit::Usage, Some("run this in a working tree of the repository".to_owned()))
            }
            GitError::UnsafeOwnership { dir, .. } => {
                (Exit::Usage, Some(format!("`git config --global --add safe.directory {}`", dir.display())))
            }
            GitError::UnknownRevision { revision } if revision == "HEAD" => {
                (Exit::Usage, Some("there is no commit yet: commit first".to_owned()))
            }
            // A forced push leaves the commit before it behind, where no reference leads.
            GitError::UnknownRevision { revision } if revision.parse::<ObjectId>().is_ok() => {
                (Exit::Usage, Some(format!("if it is on the remote: `git fetch origin {revision}`")))
            }
            GitError::NoSuchFolder { .. }
            | GitError::UnreadableRepository { .. }
            | GitError::UnknownRevision { .. } => (Exit::Usage, None),
            GitError::IndexLocked { path } => (
                Exit::Failed,
                Some(format!("wait for the other git command, or, if none runs, remove `{}`", path.display())),
            ),
            GitError::MissingObject { shallow: true, .. } => (Exit::Failed, Some("`git fetch --unshallow`".to_owned())),
            GitError::MissingObject { partial: true, .. } => {
                (Exit::Failed, Some("fetch what the filter left out: `git fetch --refetch --no-filter`".to_owned()))
            }
            _ => (Exit::Failed, None),
        };
        with_hint(Self::from_error(exit, &error), hint)
    }
}

impl From<ReviewError> for CommandError {
    fn from(error: ReviewError) -> Self {
        match error {
            ReviewError::Git(error) => error.into(),
            error @ ReviewError::Evidence(_) => {
                Self::from_error(Exit::Failed, &error).hint("`git archive-tomb evidence verify` tells more")
            }
        }
    }
}

impl From<SetupError> for CommandError {
    fn from(error: SetupError) -> Self {
        match error {
            SetupError::Git(error) => error.into(),
            error @ SetupError::Io { .. } => Self::from_error(Exit::Failed, &error),
        }
    }
}

impl From<ArchiveError> for CommandError {
    fn from(error: ArchiveError) -> Self {
        let (exit, hint) = consequence(&error);
        with_hint(Self::from_error(exit, &error), hint.map(str::to_owned))
    }
}

pub(super) const FINISH_IT: &str = "finish it: `git archive-tomb doctor --continue`";

pub(super) const FINISH_OR_UNDO_IT: &str =
    "finish it with `git archive-tomb doctor --continue`, or undo it with `git archive-tomb doctor --abort`";

const USE_THE_OTHER: &str =
    "point the configuration at that archive: `git archive-tomb config-show` says where `backend.url` is from";

const MAKE_ANEW: &str = "empty the target's database, or name another one, and run the command again";

impl From<MigrateError> for CommandError {
    fn from(error: MigrateError) -> Self {
        let text = error.to_string();
        let (exit, hint) = match error {
            MigrateError::Source(cause) | MigrateError::Target(cause) => {
                // The cause decides what to do; the context says which of the two archives it is.
                let cause = Self::from(cause);
                let mut shown = Self::new(cause.exit, text).caused_by(cause.message);
                shown.causes.extend(cause.causes);
                shown.hints = cause.hints;
                return shown;
            }
            MigrateError::Same => (Exit::Usage, "name another database with `--to`"),
            MigrateError::Superseded { .. } => (Exit::Usage, USE_THE_OTHER),
            MigrateError::Damaged { ref item, .. } => {
                let hint = item.as_ref().map(|(tombstone, path)| from_history(tombstone, path, 1));
                return with_hint(Self::from_error(Exit::Integrity, &error), hint);
            }
            MigrateError::NotWhole { .. } | MigrateError::Differ { .. } => (Exit::Integrity, MAKE_ANEW),
            MigrateError::Purged { .. } => (Exit::Governance, MAKE_ANEW),
            MigrateError::Unfinished { .. } => (Exit::Governance, "run `git archive-tomb doctor --continue` first"),
            MigrateError::Kept { .. } => {
                (Exit::Governance, "destroy the bytes in the old archive first, as was decided")
            }
        };
        Self::from_error(exit, &error).hint(hint)
    }
}

impl From<SearchError> for CommandError {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Archive(error) => error.into(),
            error @ SearchError::Spool(_) => Self::from_error(Exit::Failed, &error)
                .hint("make room in the folder for temporary files, or name another one with `TMPDIR`"),
        }
    }
}

impl From<ExportError> for CommandError {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Archive(error) => error.into(),
            ExportError::Exists { .. } => Self::from_error(Exit::Failed, &error).hint("choose another place"),
            ExportError::InUse { .. } => {
                Self::from_error(Exit::Failed, &error).hint("wait for it, or choose another place")
            }
            ExportError::Content { ref source, ref item, .. } if source.is_integrity() => {
                let hint = item.as_ref().map(|(tombstone, path)| from_history(tombstone, path, 1));
                with_hint(Self::from_error(Exit::Integrity, &error), hint)
            }
            ExportError::Content { .. } | ExportError::Io { .. } => Self::from_error(Exit::Failed, &error),
        }
    }
}

impl From<ProofError> for CommandError {
    fn from(error: ProofError) -> Self {
        match error {
            ProofError::Folder(error) => error.into(),
            ProofError::Git(error) => error.into(),
            ProofError::Archive(error) => error.into(),
            ProofError::Signature(error) => error.into(),
            ProofError::Checkpoint(error) => error.into(),
            ProofError::Record(error) => Self::from_error(Exit::Failed, &error),
            ProofError::NoEvidence { .. } => {
                Self::from_error(Exit::Failed, &error).hint("it may be on a branch of a remote: `git fetch --all`")
            }
        }
    }
}

impl From<GovernanceError> for CommandError {
    fn from(error: GovernanceError) -> Self {
        match error {
            GovernanceError::Archive(error) => error.into(),
            GovernanceError::Git(error) => error.into(),
            GovernanceError::Signature(error) => error.into(),
        }
    }
}

impl From<StoryError> for CommandError {
    fn from(error: StoryError) -> Self {
        match error {
            StoryError::Archive(error) => error.into(),
            StoryError::Git(error) => error.into(),
        }
    }
}

impl From<ResidueError> for CommandError {
    fn from(error: ResidueError) -> Self {
        match error {
            ResidueError::Git(error) => error.into(),
            ResidueError::Archive(error) => error.into(),
            ResidueError::Log(error) => error.into(),
        }
    }
}

/// Returns the error of an archive that could not be reached, or lets nobody in, if that is what stopped an operation.
fn archive_out_of_reach<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e ArchiveError> {
    let mut next = Some(error);
    while let Some(error) = next {
        // Some errors show what they hold as if it were they, and pass over it when asked for their source.
        let (command, held) = match error.downcast_ref::<OperationError<E>>() {
            Some(OperationError::Archive(archive)) => (None, Some(archive)),
            Some(OperationError::Command(error)) => (Some(error as &(dyn Error + 'static)), None),
            _ => (None, None),
        };
        let held = held.or_else(|| archive_error_of(error));
        if let Some(archive) = held {
            let reached = matches!(archive, ArchiveError::Engine { .. });
            let tells = matches!(archive, ArchiveError::InUse) || consequence(archive).0 == Exit::Unreachable;
            return Some(archive).filter(|_| !reached && tells);
        }
        next = command.or_else(|| error.source());
    }
    None
}

/// Returns the archive's error that `error` is, or shows as if it were it.
fn archive_error_of<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e ArchiveError> {
    if let Some(StoreError::Archive(archive)) = error.downcast_ref() {
        return Some(archive);
    }
    if let Some(InPlaceError::Archive(archive)) = error.downcast_ref() {
        return Some(archive);
    }
    if let Some(ActError::Archive(archive)) = error.downcast_ref() {
        return Some(archive);
    }
    if let Some(PurgingError::Archive(archive)) = error.downcast_ref() {
        return Some(archive);
    }
    error.downcast_ref()
}

/// Returns how a command ends that an archive failed, and what to do about it.
fn consequence(error: &ArchiveError) -> (Exit, Option<&'static str>) {
    match error {
        ArchiveError::Missing { .. } => (Exit::Unreachable, Some("`git archive-tomb init` makes an empty one")),
        ArchiveError::Older { .. } => (Exit::Usage, Some("bring it up to date: `git archive-tomb init`")),
        ArchiveError::Newer { .. } => (Exit::Usage, Some("install that version of git-archive-tomb")),
        ArchiveError::NetworkFilesystem { .. } => {
            (Exit::Usage, Some("keep the archive on a local disk, or use a database server"))
        }
        ArchiveError::SymbolicLink { .. } | ArchiveError::Address { .. } | ArchiveError::NotBuiltIn { .. } => {
            (Exit::Usage, None)
        }
        ArchiveError::PythonArchive { .. } => {
            (Exit::Usage, Some("move it out of the way; taking archives of the Python tool over comes with `import`"))
        }
        ArchiveError::NotAnArchive { .. } => {
            (Exit::Unreachable, Some("name a file, a database or, on PostgreSQL, a schema that is the archive's alone"))
        }
        ArchiveError::Replaced { .. } => {
            (Exit::Unreachable, Some("see which database the URL leads to before you run the command again"))
        }
        ArchiveError::ChangedMigration { .. } | ArchiveError::Place { .. } | ArchiveError::Engine { .. } => {
            (Exit::Unreachable, None)
        }
        ArchiveError::Unreachable { .. } => {
            (Exit::Unreachable, Some("see that the server runs and can be reached from here"))
        }
        ArchiveError::LoginRefused { .. } => (
            Exit::Unreachable,
            Some("check user and password: `git archive-tomb config-show` says where the URL is from"),
        ),
        ArchiveError::LoginUnknown { .. } => (
            Exit::Unreachable,
            Some(
                "give the account another password, or another kind of login: SCRAM or MD5 on PostgreSQL, \
                 `mysql_native_password` on MariaDB (docs/configuration.md)",
            ),
        ),
        ArchiveError::Forbidden { .. } => (
            Exit::Unreachable,
            Some(
                "use an account with the role that this takes, see docs/deployment.md (a reader's to restore, a writer's to \
                 store, an administrator's for `init`): `git archive-tomb config-show` says where the URL is from",
            ),
        ),
        ArchiveError::Setup { setting: Setting::TrustFunctionCreators, .. } => (
            Exit::Unreachable,
            Some(
                "have the server's administrator run `SET GLOBAL log_bin_trust_function_creators = ON` (docs/deployment.md), \
                 then `git archive-tomb init` again",
            ),
        ),
        ArchiveError::Setup { setting: Setting::BinlogFormat, .. } => (
            Exit::Unreachable,
            Some(
                "have the server's administrator set `binlog_format` to `MIXED`, its default, or `ROW` (docs/deployment.md)",
            ),
        ),
        ArchiveError::ReadOnly { .. } => (
            Exit::Unreachable,
            Some(
                "use the server that takes changes, or have it (or the file) made writable: \
                 `git archive-tomb config-show` says where the archive's URL is from",
            ),
        ),
        ArchiveError::NoDatabase { .. } => {
            (Exit::Unreachable, Some("create the database, then `git archive-tomb init`"))
        }
        ArchiveError::Insecure { .. } => (Exit::Unreachable, Some("check `sslmode` and the certificates in the URL")),
        ArchiveError::Lost { .. } => (Exit::Unreachable, Some("run the command again")),
        ArchiveError::Busy { .. } => (Exit::Unreachable, Some("try again when the other command has ended")),
        ArchiveError::Purged { .. } | ArchiveError::RequestUsed { .. } => (Exit::Governance, None),
        ArchiveError::MissingArtifact { .. } | ArchiveError::MissingBlock { .. } | ArchiveError::Damaged { .. } => {
            (Exit::Integrity, None)
        }
        ArchiveError::Objects(error) => objects_consequence(error),
        ArchiveError::NoSuchItem { .. } | ArchiveError::NoSuchPurge { .. } | ArchiveError::ShortPrefix { .. } => {
            (Exit::NotFound, None)
        }
        ArchiveError::Superseded { .. } => (Exit::Usage, Some(USE_THE_OTHER)),
        ArchiveError::NotACopy { .. } => (Exit::Usage, Some("name an empty database")),
        ArchiveError::InUse => (Exit::Failed, Some("let other programs close the archive")),
        ArchiveError::OtherOrigin { .. } => (Exit::Failed, Some("finish or undo it in the clone that began it")),
    }
}

/// Returns how a command ends that an archive's objects failed, and what to do about it.
fn objects_consequence(error: &ObjectsError) -> (Exit, Option<&'static str>) {
    match error {
        ObjectsError::NotConfigured => {
            (Exit::Usage, Some("set `storage.driver` to `object` and `storage.url` to where the archive's objects are"))
        }
        ObjectsError::InDatabase { .. } => (
            Exit::Usage,
            Some(
                "leave `storage.driver` at `db`, or move the bytes into a new archive with `git archive-tomb migrate --to <url> --storage <url>`",
            ),
        ),
        ObjectsError::Unprepared { .. } => {
            (Exit::Usage, Some("`git archive-tomb init` makes it the place of the archive's bytes"))
        }
        ObjectsError::Absent { .. } => {
            (Exit::Unreachable, Some("check the URL: `git archive-tomb config-show` says where `storage.url` is from"))
        }
        ObjectsError::Foreign { .. } => (
            Exit::Usage,
            Some(
                "give each archive a prefix of its own: `git archive-tomb config-show` says where `storage.url` is from",
            ),
        ),
        ObjectsError::Unusable { .. } => (
            Exit::Unreachable,
            Some(
                "check the URL, and the variables that begin with `AWS_`: `git archive-tomb config-show` says where `storage.url` is from",
            ),
        ),
        ObjectsError::Refused { .. } => (
            Exit::Unreachable,
            Some(
                "check `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_REGION`, and what the bucket's policy allows",
            ),
        ),
        ObjectsError::Unreachable { .. } => (
            Exit::Unreachable,
            Some(
                "see that the store can be reached from here, and check `AWS_ENDPOINT`; without `AWS_ACCESS_KEY_ID` the machine's own role is asked for",
            ),
        ),
        ObjectsError::Failed { .. } => (Exit::Unreachable, None),
        ObjectsError::Damaged { .. } => (
            Exit::Integrity,
            Some(
                "put the right object back, from a copy of the bucket or an older version; everything is then as before",
            ),
        ),
    }
}

impl From<LocateError> for CommandError {
    fn from(error: LocateError) -> Self {
        let hint = match &error {
            LocateError::Git(_) | LocateError::Archive(_) => None,
            LocateError::NoSuchTombstone { .. } => Some("`git archive-tomb list` shows what there is".to_owned()),
            LocateError::Ambiguous { candidates, .. } => {
                let listed: Vec<_> = candidates.iter().map(ToString::to_string).collect();
                Some(format!("it may mean {}", listed.join(", ")))
            }
            LocateError::NoStub { .. } => {
                Some("`git archive-tomb status` lists the stubs here, `git archive-tomb list` all items".to_owned())
            }
            LocateError::Conflicted { path } => Some(format!(
                "end it: `git archive-tomb resolve {} --restore`; or `--keep-tomb`, or `--re-archive`",
                path.to_pathspec()
            )),
            LocateError::MalformedStub { path, .. } => {
                Some(format!("look at it with `git log -p -- {}`, and take a good version back", path.to_pathspec()))
            }
            LocateError::NewerStub { .. } => Some("install a newer git-archive-tomb".to_owned()),
            LocateError::Mismatch { .. } => Some("`git archive-tomb verify --all` tells more".to_owned()),
            LocateError::OtherRepository { tombstone, .. } => {
                Some(format!("if you mean it, name it: `git archive-tomb restore {tombstone}`"))
            }
        };
        let exit = match error {
            LocateError::Git(error) => return error.into(),
            LocateError::Archive(error) => return error.into(),
            LocateError::NoSuchTombstone { .. } | LocateError::NoStub { .. } => Exit::NotFound,
            LocateError::Ambiguous { .. } | LocateError::OtherRepository { .. } | LocateError::NewerStub { .. } => {
                Exit::Usage
            }
            LocateError::Conflicted { .. } | LocateError::MalformedStub { .. } => Exit::Failed,
            LocateError::Mismatch { .. } => Exit::Integrity,
        };
        with_hint(Self::from_error(exit, &error), hint)
    }
}

const NO_ARCHIVE_HERE: &str = "there is no archive here: name it in the configuration, or restore where it is";

impl From<SourceError> for CommandError {
    fn from(error: SourceError) -> Self {
        let (exit, hint) = match &error {
            SourceError::Archive { source, .. } if source.is_integrity() => {
                (Exit::Integrity, Some("git's own history may still have it: add `--from history`"))
            }
            SourceError::Archive {
                source: ReadError::Archive { source: ArchiveError::Objects(error), .. }, ..
            } => objects_consequence(error),
            // A purge that began just now.
            SourceError::Archive { source: ReadError::Archive { source: ArchiveError::Purged { .. }, .. }, .. } => {
                (Exit::Governance, None)
            }
            SourceError::Archive { source: ReadError::Archive { .. }, .. } => (Exit::Unreachable, None),
            SourceError::Purged { .. } => (Exit::Governance, None),
            SourceError::Nowhere { absence: Absence::Gap(gap), archive_asked, .. } => {
                let what = match gap {
                    Gap::Depth => "the rest of the history",
                    Gap::Branches { .. } => "the other branches",
                };
                let shown =
                    Self::from_error(Exit::NotFound, &error).hint(format!("fetch {what}: `{}`", gap.fetch_command()));
                // The other branches may be gone, or lack it too.
                let may_fail = matches!(gap, Gap::Branches { .. }) && !archive_asked;
                return if may_fail { shown.hint(NO_ARCHIVE_HERE) } else { shown };
            }
            SourceError::Nowhere { archive_asked: false, .. } => (Exit::Unreachable, Some(NO_ARCHIVE_HERE)),
            SourceError::History { partial: true, source: GitError::Failed { .. }, .. } => (
                Exit::Failed,
                Some(
                    "restore again when the remote can be reached, or fetch what the filter left out for good: \
                     `git fetch --refetch --no-filter`",
                ),
            ),
            SourceError::Nowhere { .. } => (Exit::NotFound, None),
            SourceError::Archive { .. } | SourceError::History { .. } | SourceError::Write { .. } => {
                (Exit::Failed, None)
            }
        };
        with_hint(Self::from_error(exit, &error), hint.map(str::to_owned))
    }
}

impl From<ElsewhereError> for CommandError {
    fn from(error: ElsewhereError) -> Self {
        match error {
            ElsewhereError::Source(error) => error.into(),
            ElsewhereError::Stream(error) => super::output::output_error(&error),
            ElsewhereError::Exists { .. } => {
                Self::from_error(Exit::Failed, &error).hint("choose another place, or replace it with `--force`")
            }
            ElsewhereError::Folder { ref file, .. } => {
                let file = shell(<[u8]>::from_path(file).unwrap_or_default());
                Self::from_error(Exit::Failed, &error).hint(format!("name a file in it: `{file}`"))
            }
            ElsewhereError::Closed { .. } => Self::from_error(Exit::Failed, &error).hint("choose another place"),
            ElsewhereError::Write { .. } => Self::from_error(Exit::Failed, &error),
        }
    }
}

impl From<RestorePlanError> for CommandError {
    fn from(error: RestorePlanError) -> Self {
        let hint = restore_hint(&error);
        match error {
            RestorePlanError::Git(error) => error.into(),
            error => with_hint(Self::from_error(restore_exit(&error), &error), hint.map(str::to_owned)),
        }
    }
}

/// Returns the exit code where an item cannot come back at its path: what leads out of the working tree is more than in the way.
fn restore_exit(error: &RestorePlanError) -> Exit {
    if matches!(error, RestorePlanError::ThroughLink { .. }) { Exit::Integrity } else { Exit::Failed }
}

/// Returns what to do where an item cannot come back at its path.
fn restore_hint(error: &RestorePlanError) -> Option<&'static str> {
    match error {
        RestorePlanError::Git(_) | RestorePlanError::Twice { .. } => None,
        RestorePlanError::ThroughLink { .. } | RestorePlanError::Blocked { .. } | RestorePlanError::Own { .. } => {
            Some("restore to another file, by naming one")
        }
        RestorePlanError::InTheWay { .. } => {
            Some("restore to another file, by naming one, or replace what is there with `--force`")
        }
    }
}

impl From<MergeError> for CommandError {
    fn from(error: MergeError) -> Self {
        match error {
            MergeError::Git(error) => error.into(),
            MergeError::Archive(error) => error.into(),
            MergeError::Source(error) => error.into(),
            MergeError::Journal(error) => error.into(),
            MergeError::Several { ref branches, ref path } => {
                let first = branches.first().map(|name| shell(name.as_bytes())).unwrap_or_default();
                let path = path.to_pathspec();
                Self::from_error(Exit::Failed, &error).hint(format!(
                    "name the one that you mean, such as `git archive-tomb restore {path} --merge={first}`"
                ))
            }
            MergeError::Scratch { .. } => Self::from_error(Exit::Failed, &error),
        }
    }
}

impl From<BranchPlanError> for CommandError {
    fn from(error: BranchPlanError) -> Self {
        /// More are not listed: the count tells.
        const MAX_LISTED: usize = 20;
        let shown = |exit| Self::from_error(exit, &error);
        match error {
            BranchPlanError::InvalidName { .. } => {
                shown(Exit::Usage).hint("`git help check-ref-format` says what a name may be")
            }
            BranchPlanError::NoIdentity => {
                shown(Exit::Usage).hint("tell git who you are: `git config user.name` and `git config user.email`")
            }
            BranchPlanError::NoMessage => shown(Exit::Usage).hint("say something with `--message`, or leave it out"),
            BranchPlanError::Exists { ref name, ref existing } => {
                let branch = shell(existing.strip_prefix(b"refs/heads/").unwrap_or(existing));
                // Below a branch there is no room for another.
                let is_below = name.reference().len() > existing.len();
                let free =
                    if is_below { name.short().replace("/", "-") } else { [name.short().as_bytes(), b"-2"].concat() };
                // Deleting it is nothing to suggest: it may be anybody's work.
                shown(Exit::Failed)
                    .hint(format!("choose another name: `--branch {}`", shell(&free)))
                    .hint(format!("see what is there: `git log {branch}`"))
            }
            BranchPlanError::CheckedOut { .. } => shown(Exit::Failed).hint("choose another name with `--branch`"),
            BranchPlanError::Refused { ref refusals } => {
                let worst = refusals.iter().map(restore_exit).find(|exit| *exit != Exit::Failed);
                let mut refused = shown(worst.unwrap_or(Exit::Failed));
                let mut hints: Vec<String> = Vec::new();
                if let [only] = &refusals[..] {
                    refused.message = only.to_string();
                } else {
                    let causes = refusals.iter().take(MAX_LISTED).map(ToString::to_string);
                    refused.causes.extend(causes);
                }
                for refusal in refusals {
                    let hint = restore_hint(refusal).map(str::to_owned);
                    hints.extend(hint.filter(|hint| !hints.contains(hint)));
                }
                hints.into_iter().fold(refused, Self::hint)
            }
            BranchPlanError::Own(error) => error.into(),
            BranchPlanError::Git(error) => error.into(),
        }
    }
}

/// For what has no part of its own that could fail.
impl From<Infallible> for CommandError {
    fn from(error: Infallible) -> Self {
        match error {}
    }
}

impl From<ResolveError> for CommandError {
    fn from(error: ResolveError) -> Self {
        let hint = match &error {
            ResolveError::NoConflict { .. } => Some("`git status` lists what is in conflict".to_owned()),
            ResolveError::Ordinary { path } => {
                let path = path.to_pathspec();
                Some(format!("resolve it as any other: edit the file, then `git add -- {path}`, or `git rm -- {path}`"))
            }
            ResolveError::Submodule { path } => {
                let path = path.to_pathspec();
                Some(format!(
                    "restore the stub's item elsewhere if it is needed, then `git add -- {path}` or `git rm -- {path}`"
                ))
            }
            // Evidence is never changed, so whichever side has a file has it right.
            ResolveError::Own { path } => Some(format!(
                "take either side first: `git checkout --theirs -- {0} && git add -- {0}`",
                path.to_pathspec()
            )),
            ResolveError::Unreadable { newer: true, .. } => Some("install a newer git-archive-tomb".to_owned()),
            ResolveError::Unreadable { path, .. } => {
                let path = path.to_pathspec();
                Some(format!(
                    "look at the sides with `git diff -- {path}`, and stage one: `git checkout --ours -- {path}`, `git add -- {path}`"
                ))
            }
            ResolveError::Changed { path } => {
                let path = path.to_pathspec();
                Some(format!(
                    "keep a copy of what is worth it, and put a side back: `git checkout --ours -- {path}`, or `--theirs` where ours has none"
                ))
            }
            ResolveError::Blocked { path } => Some(format!("move the folder `{path}` out of the way first")),
            ResolveError::Hides { path, .. } => Some(format!(
                "archive that file as well: `git archive-tomb resolve {0} --re-archive`; or let it stay: `git archive-tomb resolve {0} --restore`",
                path.to_pathspec()
            )),
            ResolveError::Uncommitted { path } => Some(format!(
                "let it stay: `git archive-tomb resolve {} --restore`; once it is committed, it can be archived",
                path.to_pathspec()
            )),
            ResolveError::NothingEdited { path, .. } => {
                Some(format!("keep the stub: `git archive-tomb resolve {} --keep-tomb`", path.to_pathspec()))
            }
            ResolveError::Ambiguous { tombstones: [ours, theirs], .. } => Some(format!(
                "name one: `git archive-tomb resolve {ours} --restore` is ours, `git archive-tomb resolve {theirs} --restore` theirs"
            )),
            ResolveError::Locate(_)
            | ResolveError::Store(_)
            | ResolveError::Git(_)
            | ResolveError::Journal(_)
            | ResolveError::Compare { .. } => None,
        };
        match error {
            ResolveError::Locate(error) => error.into(),
            ResolveError::Store(error) => error.into(),
            ResolveError::Git(error) => error.into(),
            ResolveError::Journal(error) => error.into(),
            error => with_hint(Self::from_error(Exit::Failed, &error), hint),
        }
    }
}

impl From<StorePlanError> for CommandError {
    fn from(error: StorePlanError) -> Self {
        let refusals = match error {
            StorePlanError::Git(error) => return error.into(),
            StorePlanError::Contradictions(ref mistakes) => {
                return Self::from_error(Exit::Usage, &error)
                    .listing(mistakes)
                    .hint("leave one of the rows out, or let them say the same");
            }
            StorePlanError::Refused { ref refusals } => refusals,
        };
        // Nothing is wrong with those paths, only with what is said of them.
        let said = |refusal: &Refusal| matches!(refusal.reason, RefusalReason::Record { .. });
        let exit = if refusals.iter().all(said) { Exit::Usage } else { Exit::Failed };
        let mut shown = Self::from_error(exit, &error);
        let mut hints: Vec<String> = Vec::new();
        for refusal in refusals {
            shown = shown.caused_by(refusal.to_string());
            let names_path = matches!(refusal.reason, RefusalReason::Attribute { .. });
            let path = match refusal.reason {
                RefusalReason::Attribute { .. } => git_archive_tomb::quote::quote(&refusal.path).into_owned(),
                // Found in the tree; the others are as the user gave them.
                RefusalReason::Missing => match RepoPath::try_new(refusal.path.clone()) {
                    Ok(path) => path.to_pathspec(),
                    Err(_) => "<path>".to_owned(),
                },
                _ => shell(&refusal.path),
            };
            // One hint for each kind of refusal is enough; attribute lines differ from path to path.
            let hint = refusal.reason.hint(if names_path || refusals.len() == 1 { &path } else { "<path>" });
            hints.extend(hint.filter(|hint| !hints.contains(hint)));
        }
        hints.into_iter().fold(shown, Self::hint)
    }
}

impl<E: std::error::Error + 'static> From<OperationError<E>> for CommandError
where
    Self: From<E>,
{
    fn from(error: OperationError<E>) -> Self {
        match error {
            OperationError::Interrupted | OperationError::Change(ChangeError::Interrupted) => {
                Self::from_error(Exit::Interrupted, &error)
            }
            OperationError::Command(error) => error.into(),
            OperationError::Archive(error) => error.into(),
            OperationError::Git(error) | OperationError::Change(ChangeError::Git(error)) => error.into(),
            OperationError::Change(ChangeError::Attributes(OwnFilesError::Altered {
                line: Some(ref line), ..
            })) => Self::from_error(Exit::Usage, &error)
                .caused_by(shown_line(line))
                .hint("bring that file back under another name: `git archive-tomb restore <target> <output>`"),
            OperationError::Own(error) | OperationError::Change(ChangeError::Attributes(error)) => error.into(),
            OperationError::Unfinished { ref source, is_final, .. } => {
                let (exit, hint) = match archive_out_of_reach::<E>(&**source) {
                    // What is to be done again is not the whole command.
                    Some(ArchiveError::Lost { .. } | ArchiveError::Busy { .. }) => (Exit::Unreachable, None),
                    Some(archive) => consequence(archive),
                    None => (Exit::Failed, None),
                };
                let mend = if is_final { FINISH_IT } else { FINISH_OR_UNDO_IT };
                with_hint(Self::from_error(exit, &error), hint.map(str::to_owned)).hint(mend)
            }
            OperationError::Published { .. } | OperationError::Final { .. } => {
                Self::from_error(Exit::Failed, &error).hint(FINISH_IT)
            }
            OperationError::Change(ChangeError::BranchTaken { .. }) => {
                Self::from_error(Exit::Failed, &error).hint("choose another name with `--branch`")
            }
            OperationError::Journal(_)
            | OperationError::Log(_)
            | OperationError::Record(_)
            | OperationError::Evidence(_)
            | OperationError::Heads(_)
            | OperationError::Change(ChangeError::Log(_) | ChangeError::Journal(_)) => {
                Self::from_error(Exit::Failed, &error)
            }
        }
    }
}

impl From<OrphanError> for CommandError {
    fn from(error: OrphanError) -> Self {
        match error {
            OrphanError::Archive(error) => error.into(),
            OrphanError::Git(error) => error.into(),
            OrphanError::Log(_) | OrphanError::Record(_) => Self::from_error(Exit::Failed, &error),
        }
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Git(error) => error.into(),
            StoreError::Archive(error) => error.into(),
            StoreError::Purged { ref paths } => {
                /// More are not listed: the count tells.
                const MAX_LISTED: usize = 20;
                let shown = Self::from_error(Exit::Governance, &error);
                let listed =
                    paths.iter().take(MAX_LISTED).map(|purged| format!("{}: {}", purged.path, purged.obstacle));
                listed.fold(shown, Self::caused_by).hint(
                    "leave them out; or, if their bytes are to be in the archive again, add `--allow-purged`, which is recorded",
                )
            }
            StoreError::Contents { source: StoreContentsError::Archive(ref archive), .. } => {
                let (exit, hint) = match archive {
                    // A full disk, say: the archive was reached.
                    ArchiveError::Engine { .. } => (Exit::Failed, None),
                    archive => consequence(archive),
                };
                with_hint(Self::from_error(exit, &error), hint.map(str::to_owned))
            }
            StoreError::Contents { ref source, .. } if source.is_integrity() => {
                Self::from_error(Exit::Integrity, &error)
                    .hint("have the archive's administrator look at it: `git archive-tomb health-check --deep`")
            }
            StoreError::Changed { .. } => Self::from_error(Exit::Failed, &error).hint("try again"),
            StoreError::Contents { .. }
            | StoreError::NoArchive
            | StoreError::IncompleteRecord { .. }
            | StoreError::Render(_) => Self::from_error(Exit::Failed, &error),
        }
    }
}

impl From<InPlaceError> for CommandError {
    fn from(error: InPlaceError) -> Self {
        match error {
            InPlaceError::Source(error) => error.into(),
            InPlaceError::Archive(error) => error.into(),
            InPlaceError::Git(error) => error.into(),
            InPlaceError::Interrupted => Self::from_error(Exit::Interrupted, &error),
            InPlaceError::Scratch { .. } | InPlaceError::IncompleteRecord { .. } => {
                Self::from_error(Exit::Failed, &error)
            }
        }
    }
}

impl From<ActError> for CommandError {
    fn from(error: ActError) -> Self {
        match error {
            ActError::Archive(error) => error.into(),
            error @ ActError::OtherArchive { .. } => Self::from_error(Exit::Unreachable, &error).hint(USE_THE_OTHER),
            error @ ActError::NoRecords => Self::from_error(Exit::Failed, &error),
        }
    }
}

impl From<PurgingError> for CommandError {
    fn from(error: PurgingError) -> Self {
        match error {
            PurgingError::Archive(error) => error.into(),
            PurgingError::Git(error) => error.into(),
            PurgingError::Signature(error) => error.into(),
            PurgingError::Refused { ref obstacles, ref tombstone } => refused(&error.to_string(), obstacles, tombstone),
            PurgingError::Changed => Self::from_error(Exit::Failed, &error).hint("try again"),
            PurgingError::NoArchive => Self::from_error(Exit::Unreachable, &error),
        }
    }
}

impl From<SigningError> for CommandError {
    fn from(error: SigningError) -> Self {
        match error {
            SigningError::Signature(error) => error.into(),
            error @ SigningError::OtherPerson { .. } => Self::from_error(Exit::Governance, &error)
                .hint("leave `--by` out, or sign with the key of whoever is named: `--key <key>`"),
            error @ SigningError::NotAllowed { .. } => Self::from_error(Exit::Governance, &error)
                .hint("have the key added to the file of allowed signers, or name another with `--key <key>`"),
            error @ SigningError::NotSigned => Self::from_error(Exit::Failed, &error),
        }
    }
}

impl From<VerifyError> for CommandError {
    fn from(error: VerifyError) -> Self {
        let VerifyError::Git { scope, source } = error;
        Self::from(source).caused_by(format!("while verifying {scope}"))
    }
}

impl From<DeepError> for CommandError {
    fn from(error: DeepError) -> Self {
        match error {
            DeepError::Git(error) => error.into(),
            DeepError::Archive(error) => error.into(),
        }
    }
}

impl From<SignatureError> for CommandError {
    fn from(error: SignatureError) -> Self {
        let (exit, hint) = match &error {
            SignatureError::Program { .. } => {
                (Exit::Usage, Some("install OpenSSH (`openssh-client`), or set `git config gpg.ssh.program`"))
            }
            SignatureError::NoKey => (
                Exit::Usage,
                Some("`git config gpg.format ssh` and `git config user.signingKey <key>`, or `--key <key>`"),
            ),
            SignatureError::OtherFormat { .. } => (
                Exit::Usage,
                Some("name an SSH key with `--key <key>`, or let git sign with SSH: `git config gpg.format ssh`"),
            ),
            SignatureError::KeyCommand { .. } => {
                (Exit::Usage, Some("name the key: `git config user.signingKey <key>`"))
            }
            SignatureError::Unreadable { .. } => (Exit::Usage, None),
            SignatureError::Refused { said, .. } if said.contains("passphrase") => {
                (Exit::Failed, Some("run this in a terminal, or unlock the key first: `ssh-add <key>`"))
            }
            SignatureError::Refused { said, .. } if said.contains("agent") || said.contains("No private key") => {
                (Exit::Failed, Some("start an agent that holds the key: `eval \"$(ssh-agent)\"` and `ssh-add <key>`"))
            }
            SignatureError::Refused { .. } => (Exit::Failed, Some("name the key: `git config user.signingKey <key>`")),
            SignatureError::NoSignature { .. }
            | SignatureError::WrongSignature { .. }
            | SignatureError::UnexpectedAnswer { .. } => (Exit::Failed, Some("look at `git config gpg.ssh.program`")),
            SignatureError::Scratch(_) | SignatureError::Git(_) => (Exit::Failed, None),
        };
        let hint = hint.map(str::to_owned);
        match error {
            SignatureError::Git(error) => error.into(),
            error => with_hint(Self::from_error(exit, &error), hint),
        }
    }
}

impl From<PrepareError> for CommandError {
    fn from(error: PrepareError) -> Self {
        let hint = match &error {
            PrepareError::Git(_) | PrepareError::Signature(_) | PrepareError::Future { .. } => None,
            PrepareError::Nothing => Some("archive something first: `git archive-tomb store <path>`"),
            PrepareError::Broken { .. } => Some("`git archive-tomb evidence verify` tells more"),
            PrepareError::Checkpoint { source: CheckpointError::Newer { .. }, .. } => {
                Some("install a newer git-archive-tomb")
            }
            PrepareError::Checkpoint { .. } => Some("take back what was committed, or take it out with `git rm`"),
            PrepareError::Lost { .. } => {
                Some("find out who took the evidence away: `git archive-tomb evidence verify --signed`, `verify --all`")
            }
            PrepareError::TooLong => Some("store or restore something first: that evidence names them"),
        };
        let hint = hint.map(str::to_owned);
        match error {
            PrepareError::Git(error) => error.into(),
            PrepareError::Signature(error) => error.into(),
            error => with_hint(Self::from_error(Exit::Failed, &error), hint),
        }
    }
}

impl From<JudgeError> for CommandError {
    fn from(error: JudgeError) -> Self {
        match error {
            JudgeError::Git(error) => error.into(),
            JudgeError::Signature(error) => error.into(),
        }
    }
}

impl From<OwnFilesError> for CommandError {
    fn from(error: OwnFilesError) -> Self {
        let shown = Self::from_error(Exit::Usage, &error);
        match error {
            OwnFilesError::Places(error) => error.into(),
            OwnFilesError::Git(error) => error.into(),
            OwnFilesError::Altered { line: Some(line), .. } => shown
                .caused_by(shown_line(&line))
                .hint(format!("edit `{}` so that it leaves `.codex/evidence` alone", line.file)),
            OwnFilesError::Altered { line: None, .. } => {
                shown.hint("look where it is set: `git check-attr -a .codex/evidence/ops/x`")
            }
        }
    }
}

/// Shows the line that decides on an attribute.
fn shown_line(line: &AttributeLine) -> String {
    format!("line {} of `{}`: {}", line.number, line.file, quote(line.text.as_bytes()))
}

impl From<PlacesError> for CommandError {
    fn from(error: PlacesError) -> Self {
        let hint = match &error {
            PlacesError::Tracked { path } => Some(format!("`git rm --cached :/{path}`, commit that, and try again")),
            PlacesError::InTheWay { path } => Some(format!("move `{}` away", path.display())),
            PlacesError::Codex { .. } => Some("rename it".to_owned()),
            PlacesError::NotOurs { path } => {
                Some(format!("`git rm --cached {}`, commit that, and try again", path.to_pathspec()))
            }
            PlacesError::Io { .. } => return Self::from_error(Exit::Failed, &error),
        };
        with_hint(Self::from_error(Exit::Usage, &error), hint)
    }
}

impl From<ConfigErrors> for CommandError {
    fn from(errors: ConfigErrors) -> Self {
        match errors.as_slice() {
            [only] => only.into(),
            several => {
                let mut shown = Self::new(Exit::Usage, errors.to_string());
                let mut hints: Vec<&str> = Vec::new();
                for error in several {
                    shown = shown.caused_by(in_one_line(error));
                    hints.extend(error.hint().filter(|hint| !hints.contains(hint)));
                }
                hints.into_iter().fold(shown, Self::hint)
            }
        }
    }
}

impl From<&ConfigError> for CommandError {
    fn from(error: &ConfigError) -> Self {
        with_hint(Self::from_error(Exit::Usage, error), error.hint().map(str::to_owned))
    }
}

macro_rules! failed {
    ($($error:ty => $exit:ident),+ $(,)?) => {$(
        impl From<$error> for CommandError {
            fn from(error: $error) -> Self {
                Self::from_error(Exit::$exit, &error)
            }
        }
    )+};
}

failed! {
    JournalError => Failed,
    LogError => Failed,
    HooksError => Failed,
    RenderError => Failed,
    TemplateError => Usage,
}

/// Says how to get at the bytes of items that the archive does not give back as they went in, the first of `damaged` ones
/// being the one that is named. They go to a file beside the stub, which would be replaced otherwise.
pub(crate) fn from_history(tombstone: &Tombstone, path: &RepoPath, damaged: usize) -> String {
    let which = if damaged == 1 { "it" } else { "them, the first" };
    let output = shell(&[b"recovered-", path.file_name()].concat());
    format!("git's history may have {which}: `git archive-tomb restore --from history {tombstone} {output}`")
}

fn with_hint(error: CommandError, hint: Option<String>) -> CommandError {
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

impl From<ResultsError> for CommandError {
    fn from(error: ResultsError) -> Self {
        let (exit, hint) = match &error {
            ResultsError::Missing { .. } | ResultsError::Malformed { .. } => (Exit::Usage, None),
            ResultsError::NotResults { .. } => (Exit::Usage, Some("name another file")),
            ResultsError::Newer { .. } => {
                (Exit::Usage, Some("go on with the version of git-archive-tomb that began the batch"))
            }
            ResultsError::OtherManifest { .. } => {
                (Exit::Usage, Some("a batch is resumed with the very manifest that it was begun with"))
            }
            ResultsError::Unfinished { .. } => {
                (Exit::Failed, Some("go on with that batch with `--resume`, or keep these results in another file"))
            }
            ResultsError::Read { .. } | ResultsError::Write { .. } => (Exit::Failed, None),
        };
        with_hint(Self::from_error(exit, &error), hint.map(str::to_owned))
    }
}

impl From<BatchError> for CommandError {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::Log(error) => error.into(),
            BatchError::Results(error) => error.into(),
            error @ (BatchError::Record(_) | BatchError::Sync { .. } | BatchError::Thread(_)) => {
                Self::from_error(Exit::Failed, &error)
            }
        }
    }
}

impl From<ManifestError> for CommandError {
    fn from(error: ManifestError) -> Self {
        let shown = Self::from_error(Exit::Usage, &error);
        match &error {
            ManifestError::Mistakes(mistakes) => shown.listing(mistakes),
            ManifestError::TooLong | ManifestError::TooManyRows => shown.hint("divide it into several manifests"),
            ManifestError::Read(_)
            | ManifestError::Empty
            | ManifestError::NotUtf8 { .. }
            | ManifestError::Broken { .. } => shown,
        }
    }
}
