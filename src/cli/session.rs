//! One run of the program in one repository: what commands share.

use std::cell::{OnceCell, RefCell};
use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bstr::{BString, ByteSlice, ByteVec};
use git_archive_tomb::archive::{
    AnyArchive, ArchiveError, Change, Event, Location, ObjectPlace, ObjectPlaceKind, OpenMode, Pool, Retry,
    open_retrying,
};
use git_archive_tomb::causes::in_one_line;
use git_archive_tomb::change::index_entries_of;
use git_archive_tomb::clock::Timestamp;
use git_archive_tomb::config::{
    self, ArchiveUrl, Backend, Config, ConfigFile, GitConfigEntry, Place, Sources, StorePlace, StoreUrl, TRUST_KEY,
    environment,
};
use git_archive_tomb::evidence::log::OperationsLog;
use git_archive_tomb::evidence::record::{Action, Level as RecordLevel, Record, Source, Status};
use git_archive_tomb::git::{GitConfig, Repository, Tracked};
use git_archive_tomb::governance::Person;
use git_archive_tomb::governance::acts::{Act, Purging};
use git_archive_tomb::id::Sha256;
use git_archive_tomb::item::RepoPath;
use git_archive_tomb::journal::{Header, Journal, JournalError, Unfinished};
use git_archive_tomb::log::{Log, Sink};
use git_archive_tomb::operation::git_dir_of;
use git_archive_tomb::places::{CODEX, CONFIGURATION, LINKS, Places, PlacesError};
use git_archive_tomb::quote::{quote, unquote};
use git_archive_tomb::redact::Redactor;
use git_archive_tomb::restore::{Closed, Located, Target, locate_in};
use git_archive_tomb::stub::Templates;
use tracing::{debug, info, warn};
use tracing_subscriber::layer::SubscriberExt as _;

use super::arguments::GlobalArguments;
use super::convert::{FINISH_IT, FINISH_OR_UNDO_IT};
use super::error::CommandError;
use super::exit::Exit;
use super::output::Output;
use super::talk;

/// The repository, its places and its configuration, and where to print.
pub(crate) struct Session<'a> {
    /// The global options.
    pub(crate) global: GlobalArguments,
    /// Where to print.
    pub(crate) output: &'a mut Output,
    /// The repository.
    pub(crate) repository: Repository,
    /// The program's places in it.
    pub(crate) places: Places,
    /// Set once the user, or the system, wants the program to stop; see [`Session::catch_signals`].
    pub(crate) interrupted: Arc<AtomicBool>,
    directory: PathBuf,
    config: OnceCell<Config>,
    git_config: OnceCell<GitConfig>,
    acting: RefCell<Option<Record>>,
}

impl<'a> Session<'a> {
    /// Finds the repository. The configuration is read when it is first asked for.
    pub(crate) fn open(global: GlobalArguments, output: &'a mut Output) -> Result<Self, CommandError> {
        let current = std::env::current_dir()
            .map_err(|error| CommandError::from_error(Exit::Usage, &error).caused_by("there is no current folder"))?;
        let directory = global.directories.iter().fold(current, |folder, next| folder.join(next));
        // What `-C` names may be mistyped: that is the command line's fault, and the system says best what is wrong.
        let failed = |error: std::io::Error| {
            CommandError::new(Exit::Usage, format!("cannot go to {}", shown(&directory))).caused_by(error.to_string())
        };
        if !std::fs::metadata(&directory).map_err(failed)?.is_dir() {
            return Err(failed(std::io::ErrorKind::NotADirectory.into()));
        }
        let repository = Repository::discover(&directory)?;
        let places = Places::new(repository.common_dir(), repository.work_tree());
        let session = Self {
            global,
            output,
            repository,
            places,
            interrupted: Arc::default(),
            directory,
            config: OnceCell::new(),
            git_config: OnceCell::new(),
            acting: RefCell::new(None),
        };
        Ok(session)
    }

    /// Leaves it to the operation that begins now whether an interruption is still in time. Before this, and in commands
    /// that change nothing, a signal just ends the program.
    pub(crate) fn catch_signals(&self) -> Result<(), CommandError> {
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&self.interrupted))
                .map_err(|error| CommandError::from_error(Exit::Failed, &error))?;
        }
        Ok(())
    }

    /// Returns the folder that relative paths of the command line start from.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns git's configuration.
    pub(crate) fn git_config(&self) -> Result<&GitConfig, CommandError> {
        if let Some(config) = self.git_config.get() {
            return Ok(config);
        }
        let config = self.repository.config()?;
        Ok(self.git_config.get_or_init(|| config))
    }

    /// Returns the configuration in force; warns about it, and starts the log, when it is first asked for.
    pub(crate) fn config(&self) -> Result<&Config, CommandError> {
        if let Some(config) = self.config.get() {
            return Ok(config);
        }
        let sources = Sources {
            flags: Vec::new(),
            environment: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            file: self.config_file()?,
            git: self.git_config_entries()?,
        };
        let (config, warnings) = Config::load(&sources)?;
        let redactor = redactor_of(&config);
        talk::hide(redactor.clone());
        git_archive_tomb::fault::panic_point(config.url.expose());
        for warning in warnings {
            self.output.warn(warning);
        }
        self.start_log(&config, redactor)?;
        Ok(self.config.get_or_init(|| config))
    }

    /// Reads the configuration file, if there is one, and finds out whose it is.
    pub(crate) fn config_file(&self) -> Result<Option<ConfigFile>, CommandError> {
        let work_tree = self.repository.work_tree();
        let (path, file) = match (&self.global.config_file, work_tree) {
            (Some(named), _) => {
                let path = self.directory.join(named);
                let file = ConfigFile::read_named(&path).map_err(|error| CommandError::from(&error))?;
                (path, Some(file))
            }
            (None, Some(top)) => {
                // Behind a link or in a submodule, the file would not count as tracked, and so be trusted.
                self.places.check_codex()?;
                let path = top.join(CONFIGURATION);
                let file = ConfigFile::read_default(&path).map_err(|error| CommandError::from(&error))?;
                (path, file)
            }
            (None, None) => return Ok(None),
        };
        let Some(mut file) = file else { return Ok(None) };
        // As whoever reads a message would name it.
        file.path = self.global.config_file.clone().unwrap_or_else(|| CONFIGURATION.into());
        if let Some(top) = work_tree {
            file.top = Some(top.to_owned());
            file.tracked = self.is_tracked(top, &path)?;
            file.trusted = self.trusted_digests()?.contains(&file.digest());
        }
        Ok(Some(file))
    }

    /// Returns the digests of the configuration files that were trusted in this clone.
    pub(crate) fn trusted_digests(&self) -> Result<Vec<Sha256>, CommandError> {
        let entries = self.git_config()?.all(TRUST_KEY).filter(|entry| entry.scope == "local");
        Ok(entries.filter_map(|entry| entry.value.as_ref()?.to_str().ok()?.parse().ok()).collect())
    }

    /// Returns whether git tracks `path`, in the index or in HEAD, in any case of letters.
    fn is_tracked(&self, top: &Path, path: &Path) -> Result<bool, CommandError> {
        let (Ok(top), Ok(path)) = (top.canonicalize(), path.canonicalize()) else { return Ok(false) };
        let Ok(relative) = path.strip_prefix(&top) else { return Ok(false) };
        let relative = <[u8]>::from_path(relative).unwrap_or_default();
        let in_any_case: BString = [b":(top,icase,literal)", relative].concat().into();
        if !self.repository.index_entries(&[in_any_case])?.is_empty() {
            return Ok(true);
        }
        let Some(head) = self.repository.head()?.commit() else { return Ok(false) };
        let in_any_case: BString = [b":(top,icase,literal)", relative].concat().into();
        Ok(!self.repository.expand(&head, &[in_any_case])?.entries.is_empty())
    }

    /// Returns whether what stands at `path` is for whoever wrote the branch to say: git tracks it, or a link of the working
    /// tree leads to it.
    pub(crate) fn belongs_to_branch(&self, path: &Path) -> Result<bool, CommandError> {
        let Some(top) = self.repository.work_tree() else { return Ok(false) };
        let Ok(inside) = top.canonicalize() else { return Ok(false) };
        let mut here = PathBuf::new();
        for component in path.components() {
            let next = here.join(component);
            if here.starts_with(&inside) && next.is_symlink() {
                return Ok(true);
            }
            let Ok(next) = next.canonicalize() else { return Ok(false) };
            here = next;
        }
        self.is_tracked(top, &here)
    }

    fn git_config_entries(&self) -> Result<Vec<GitConfigEntry>, CommandError> {
        let ours = |key: &BString| key.to_ascii_lowercase().starts_with(config::GIT_SECTION.as_bytes());
        let entries = self.git_config()?.entries().iter().filter(|entry| ours(&entry.key));
        Ok(entries
            .map(|entry| GitConfigEntry {
                key: entry.key.to_string(),
                value: entry.value.as_ref().map(ToString::to_string),
                origin: entry.origin.to_string(),
            })
            .collect())
    }

    /// Starts the log on standard error and, if one is configured, in a file.
    fn start_log(&self, config: &Config, redactor: Redactor) -> Result<(), CommandError> {
        let logging = &config.logging;
        let level = logging.level.adjusted(self.global.quiet, self.global.verbose);
        let stderr = std::io::stderr();
        let mut sinks = vec![Sink::new(level, logging.format, stderr.is_terminal(), stderr)];
        if let Some(path) = &logging.file {
            let path = self.at_top(path);
            let sink = Sink::file(logging.level, logging.format, &path).map_err(|error| {
                CommandError::new(Exit::Usage, format!("cannot write the log file {}", shown(&path)))
                    .caused_by(error.to_string())
            })?;
            sinks.push(sink);
        }
        let subscriber = tracing_subscriber::registry().with(Log::new(sinks, redactor));
        // It is set once a run; a second time would be a bug without consequences.
        let _ = tracing::subscriber::set_global_default(subscriber);
        Ok(())
    }

    /// Returns a configured path as seen from the top of the working tree.
    pub(crate) fn at_top(&self, path: &Path) -> PathBuf {
        self.repository.work_tree().unwrap_or(self.repository.common_dir()).join(path)
    }

    /// Returns where the operations log is.
    pub(crate) fn operations_log(&self) -> Result<PathBuf, CommandError> {
        Ok(match &self.config()?.logging.evidence_file {
            Place::Default => self.places.operations_log(),
            Place::Path(path) => self.at_top(path),
        })
    }

    /// Returns the places that nothing is restored to, whatever the user asks.
    pub(crate) fn closed(&self) -> Result<Closed, CommandError> {
        let (git, archive) = ("the repository's git directory", "the archive");
        let mut places =
            vec![(self.repository.git_dir().to_owned(), git), (self.repository.common_dir().to_owned(), git)];
        places.extend(self.repository.work_tree().map(|top| (top.join(CODEX), "`.codex`")));
        if let Location::File(path) = self.archive_location()? {
            // With what SQLite keeps beside it.
            let beside =
                |end| (PathBuf::from([path.as_os_str(), OsStr::new(end)].into_iter().collect::<OsString>()), archive);
            places.extend(["", "-wal", "-shm", "-journal"].map(beside));
        }
        let config = self.config()?;
        if let Some(StorePlace::Folder(folder)) = config.storage.object_store.as_ref().map(StoreUrl::place) {
            places.push((folder.clone(), "the archive's object store"));
        }
        places.push((self.operations_log()?, "the operations log"));
        places.extend(config.logging.file.as_ref().map(|path| (self.at_top(path), "the log file")));
        Ok(Closed::new(places))
    }

    /// Returns who acts: `--by`, else `CODEX_ACTOR`, else git's user.
    pub(crate) fn actor(&self, by: Option<&str>) -> Result<String, CommandError> {
        let from_environment = std::env::var(environment::ACTOR).ok().filter(|actor| !actor.trim().is_empty());
        let actor = match by.map(str::to_owned).or(from_environment) {
            Some(actor) => actor,
            None => self.git_config()?.identity().ok_or_else(|| {
                CommandError::new(Exit::Usage, "nobody is named as the one who does this")
                    .hint("name somebody with `--by`, or tell git who you are: `git config user.name` and `user.email`")
            })?,
        };
        let actor = actor.trim();
        if actor.is_empty() || actor.len() > 1024 || actor.chars().any(char::is_control) {
            return Err(CommandError::new(Exit::Usage, format!("{} is not a name", quote(actor.as_bytes()))));
        }
        Ok(actor.to_owned())
    }

    /// Returns who acts, as [`Self::actor`] does, if that is clearly one person: governance counts them.
    pub(crate) fn person(&self, by: Option<&str>) -> Result<String, CommandError> {
        let actor = self.actor(by)?;
        if Person::is_clear(&actor) {
            return Ok(actor);
        }
        let message = format!("{} is not clearly one person", quote(actor.as_bytes()));
        Err(CommandError::new(Exit::Usage, message)
            .hint("say `--by 'name <e-mail>'`, an e-mail address alone, or a name"))
    }

    /// Returns this repository's name in the records: the last part of `remote.origin.url`, else the folder's name.
    pub(crate) fn repo_name(&self) -> Result<String, CommandError> {
        let url = self.git_config()?.get_str("remote.origin.url").unwrap_or_default();
        let last = url.trim_end_matches(['/', '.']).rsplit(['/', ':', '\\']).next().unwrap_or_default();
        let from_url = last.strip_suffix(".git").unwrap_or(last);
        if !from_url.is_empty() {
            return Ok(from_url.to_owned());
        }
        // Linked working trees take the name of the main one, whose git directory is the common one.
        let common = self.repository.common_dir();
        let folder = if common.file_name() == Some(OsStr::new(".git")) { common.parent() } else { Some(common) };
        let name = folder.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let name = name.strip_suffix(".git").unwrap_or(&name);
        Ok(if name.is_empty() { "repository".to_owned() } else { name.to_owned() })
    }

    /// Checks that nothing of the user's stands where the program's own files belong.
    pub(crate) fn check_places(&self) -> Result<(), CommandError> {
        self.places.check_codex()?;
        // In the index it may stand where no checkout has put it yet; staging our files would silently replace it.
        let any_case = BString::from(format!(":(top,icase,literal){CODEX}"));
        // Not left to a pathspec that excludes the folder: git lets it exclude a submodule of that name too.
        let is_foreign = |path: &RepoPath| path.as_bytes() == CODEX.as_bytes() || !path.is_within(CODEX.as_bytes());
        if let Some(entry) = self.repository.index_entries(&[any_case])?.iter().find(|entry| is_foreign(&entry.path)) {
            return Err(PlacesError::NotOurs { path: entry.path.clone() }.into());
        }
        let links = LINKS.map(|link| RepoPath::try_new(link).expect("the program's own paths are valid"));
        let staged = index_entries_of(&self.repository, &links.each_ref())?;
        let head = self.repository.head()?.commit();
        let tree = head.map(|commit| self.repository.objects().commit(&commit)).transpose()?.map(|commit| commit.tree);
        for ((link, path), entries) in LINKS.into_iter().zip(&links).zip(staged) {
            let committed = match &tree {
                Some(tree) => self.repository.objects().entry(tree, path)?.is_some(),
                None => false,
            };
            if committed || !entries.is_empty() {
                return Err(PlacesError::Tracked { path: link }.into());
            }
        }
        Ok(())
    }

    /// Returns the stub templates, with this repository's own.
    pub(crate) fn templates(&self) -> Result<Templates, CommandError> {
        let Some(top) = self.repository.work_tree() else { return Ok(Templates::built_in()) };
        Ok(Templates::with_overrides(git_archive_tomb::places::template_overrides(top)?)?)
    }

    /// Returns this clone's id for a command that only reads; empty where there is none yet.
    pub(crate) fn known_origin(&self) -> Result<String, CommandError> {
        Ok(self.places.known_origin()?)
    }

    /// Returns this clone's id, made if it is missing.
    pub(crate) fn origin(&self) -> Result<String, CommandError> {
        Ok(self.places.origin()?)
    }

    /// Returns where the archive is.
    pub(crate) fn archive_location(&self) -> Result<Location, CommandError> {
        Ok(self.location_of(&self.config()?.url))
    }

    /// Returns where the archive with this URL is.
    pub(crate) fn location_of(&self, url: &ArchiveUrl) -> Location {
        match (url.backend(), url.place()) {
            (Backend::Sqlite, Some(Place::Path(path))) => Location::File(self.at_top(path)),
            (Backend::Sqlite, _) => Location::File(self.places.archive()),
            (Backend::Postgres, _) => Location::Postgres(url.as_secret().clone()),
            (Backend::Mariadb, _) => Location::Mariadb(url.as_secret().clone()),
        }
    }

    /// Returns the archive's place as people may see it.
    pub(crate) fn shown_archive(&self) -> Result<String, CommandError> {
        Ok(shown_location(&self.archive_location()?))
    }

    /// Opens the archive, which must exist: for commands that look at nothing else.
    pub(crate) fn archive(&self) -> Result<Box<AnyArchive>, CommandError> {
        let mut archive = self.try_open_archive(OpenMode::Existing)?.map_err(|error| {
            let missing = matches!(error, ArchiveError::Missing { .. });
            let shown = CommandError::from(error);
            // In a clone an archive that is made now would say that nothing was ever archived.
            if missing { shown.hint(ARCHIVE_ALONE) } else { shown }
        })?;
        self.warn_superseded(&mut *archive)?;
        Ok(archive)
    }

    /// Returns what lends handles of the archive, which must exist, to as many threads as may work at the same time.
    pub(crate) fn pool(&self) -> Result<Pool<'static>, CommandError> {
        self.pool_with(self.archive()?, self.config()?.batch.max_concurrent)
    }

    /// Returns what lends at most `limit` handles of the archive, `archive` being one.
    pub(crate) fn pool_with(&self, archive: Box<AnyArchive>, limit: usize) -> Result<Pool<'static>, CommandError> {
        let (config, location, on_retry) = (self.config()?, self.archive_location()?, self.on_retry()?);
        let policy = config.retry.policy();
        let objects = config.storage.object_store.as_ref().map(object_place);
        let open = move || {
            let open = || location.open(objects.as_ref(), OpenMode::Existing);
            open_retrying(policy, Box::new(on_retry.clone()), open)
        };
        Ok(Pool::new(limit, open).with(archive))
    }

    /// Returns what hides this run's secrets.
    pub(crate) fn redactor(&self) -> Result<Redactor, CommandError> {
        Ok(redactor_of(self.config()?))
    }

    /// Opens the archive to restore from it, if there is one to be asked where bytes may come from `only` there. Restoring
    /// never makes one, and is an event in the one that is in use.
    pub(crate) fn archive_to_restore(&self, only: Option<Source>) -> Result<Option<Box<AnyArchive>>, CommandError> {
        if only == Some(Source::History) {
            return Ok(None);
        }
        match self.try_open_archive(OpenMode::Existing)? {
            Ok(mut archive) => {
                archive.check_change(Change::Restore)?;
                Ok(Some(archive))
            }
            Err(ArchiveError::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the archive; `None` if there is none, or one whose making was stopped.
    pub(crate) fn archive_if_any(&self) -> Result<Option<Box<AnyArchive>>, CommandError> {
        match self.try_open_archive(OpenMode::Existing)? {
            Ok(mut archive) => {
                self.warn_superseded(&mut *archive)?;
                Ok(Some(archive))
            }
            Err(ArchiveError::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the archive. At the default place it may be made; anywhere else a missing archive may be a mistyped URL.
    pub(crate) fn open_archive(&self, mode: OpenMode) -> Result<Box<AnyArchive>, CommandError> {
        Ok(self.try_open_archive(mode)??)
    }

    /// Opens the archive like [`Self::open_archive`], for those who can do without.
    pub(crate) fn try_open_archive(
        &self,
        mode: OpenMode,
    ) -> Result<Result<Box<AnyArchive>, ArchiveError>, CommandError> {
        let url = &self.config()?.url;
        debug!(backend = url.backend().as_str(), "Archive URL: {url} (credentials redacted)");
        let archive = self.open_at(&self.archive_location()?, mode)?;
        if let Ok(archive) = &archive {
            debug!(backend = archive.backend(), "Backend validation: OK ({})", archive.backend());
        }
        Ok(archive)
    }

    /// Opens the archive at `location`, with the patience that is configured.
    pub(crate) fn open_at(
        &self,
        location: &Location,
        mode: OpenMode,
    ) -> Result<Result<Box<AnyArchive>, ArchiveError>, CommandError> {
        let objects = self.config()?.storage.object_store.as_ref().map(object_place);
        self.open_with(location, objects.as_ref(), mode)
    }

    /// Opens the archive at `location`, whose bytes are at `objects` if that is some place, with the same patience.
    pub(crate) fn open_with(
        &self,
        location: &Location,
        objects: Option<&ObjectPlace>,
        mode: OpenMode,
    ) -> Result<Result<Box<AnyArchive>, ArchiveError>, CommandError> {
        if mode != OpenMode::Existing && *location == Location::File(self.places.archive()) {
            self.places.create()?;
        }
        Ok(open_retrying(self.config()?.retry.policy(), Box::new(self.on_retry()?), || location.open(objects, mode)))
    }

    /// Warns who reads an archive that another one took the place of: what came since is there and not here.
    fn warn_superseded(&self, archive: &mut AnyArchive) -> Result<(), CommandError> {
        if let Some(by) = archive.superseded_by()? {
            let shown = self.shown_archive()?;
            self.output.warn(format_args!("the archive {shown} is superseded by archive {by}, which may hold more"));
        }
        Ok(())
    }

    /// Says what this run is about to do: each attempt that has to be repeated is recorded in the shape of `record`.
    /// Commands that only read do not say it and leave no record.
    pub(crate) fn act(&self, record: Record) {
        self.acting.replace(Some(record));
    }

    /// Returns what tells the log and the operations log of attempts that failed and are made again. The last one of them
    /// carries how long they took together.
    fn on_retry(&self) -> Result<impl Fn(Retry<'_>) + Clone + Send + Sync + 'static, CommandError> {
        let (log, acting) = (self.operations_log()?, self.acting.borrow().clone());
        let (backend, metrics) = (self.config()?.url.backend().as_str(), self.config()?.performance);
        Ok(move |retry: Retry<'_>| {
            let action = acting.as_ref().map(|record| record.action.as_str());
            let (attempt, level, error, duration_ms) = match retry {
                Retry::Again { attempt, delay, error } => {
                    let error = talk::redacted(&in_one_line(error));
                    warn!(
                        action,
                        backend,
                        "Attempt {attempt} failed, next one in {:.1}s: {error}",
                        delay.as_secs_f64()
                    );
                    (attempt, RecordLevel::Warn, Some(error), None)
                }
                Retry::Over { attempt, duration_ms, error: Some(error) } => {
                    let error = talk::redacted(&in_one_line(error));
                    warn!(action, backend, duration_ms, "Attempt {attempt} failed, the last one: {error}");
                    (attempt, RecordLevel::Error, Some(error), metrics.total(duration_ms))
                }
                Retry::Over { attempt, duration_ms, error: None } => {
                    info!(action, backend, duration_ms, "Attempt {attempt} succeeded after {duration_ms:.1}ms");
                    (attempt, RecordLevel::Info, None, metrics.total(duration_ms))
                }
            };
            let Some(mut record) = acting.clone() else { return };
            record.ts = Timestamp::now();
            record.level = level;
            record.status = Some(Status::Retrying);
            record.attempt = Some(attempt);
            record.error = error;
            record.duration_ms = duration_ms;
            // A retry is not worth failing for: what cannot be written down now is told by the log.
            if let Err(error) = append_record(&log, &record) {
                warn!("cannot record it: {error}");
            }
        })
    }

    /// Appends a record to the operations log and, where there is an archive, to its events.
    pub(crate) fn record(&self, record: &Record, archive: Option<&mut AnyArchive>) -> Result<(), CommandError> {
        self.places.create()?;
        let event = append_record(&self.operations_log()?, record)?;
        if let Some(archive) = archive {
            let restored: Vec<_> = record.tombstone.into_iter().filter(|_| record.action == Action::Restore).collect();
            archive.mark_restored(&restored, record.ts, &[event])?;
        }
        Ok(())
    }

    /// Appends a record that is in the archive already to the operations log.
    pub(crate) fn log_event(&self, event: &Event) -> Result<(), CommandError> {
        self.places.create()?;
        OperationsLog::open(&self.operations_log()?)?.append(&[&event.line])?;
        Ok(())
    }

    /// Returns whether the archive is the one at the default place.
    pub(crate) fn is_default_archive(&self) -> Result<bool, CommandError> {
        Ok(self.archive_location()? == Location::File(self.places.archive()))
    }

    /// Returns the operations that were stopped half-way in this repository.
    pub(crate) fn unfinished(&self) -> Result<Vec<Unfinished>, CommandError> {
        Ok(Journal::at(self.places.journal()).unfinished()?)
    }

    /// Returns whether an operation changes this working tree, or none: what makes a branch can be mended anywhere.
    pub(crate) fn is_here(&self, header: &Header) -> bool {
        header.branch.is_some() || header.git_dir == git_dir_of(&self.repository)
    }

    /// Says which operations were stopped half-way, as every command does that does not refuse to run because of them.
    pub(crate) fn report_unfinished(&self) -> Result<(), CommandError> {
        for unfinished in self.unfinished()? {
            self.output.warn(describe_unfinished(&unfinished));
            self.output.hint(self.mend_unfinished(&unfinished));
        }
        Ok(())
    }

    /// Refuses to begin an operation while an earlier one of this working tree is unfinished.
    pub(crate) fn refuse_unfinished(&self) -> Result<(), CommandError> {
        for unfinished in self.unfinished()? {
            let text = describe_unfinished(&unfinished);
            if unfinished.header.as_ref().is_ok_and(|header| header.branch.is_some() || !self.is_here(header)) {
                self.output.warn(text);
                self.output.hint(self.mend_unfinished(&unfinished));
            } else {
                return Err(CommandError::new(Exit::Failed, text).hint(self.mend_unfinished(&unfinished)));
            }
        }
        Ok(())
    }

    /// Returns the command that brings an operation that was stopped half-way to an end.
    pub(crate) fn mend_unfinished(&self, unfinished: &Unfinished) -> String {
        match &unfinished.header {
            Ok(header) if self.is_here(header) && self.is_final(header) => FINISH_IT.to_owned(),
            Ok(header) if self.is_here(header) => FINISH_OR_UNDO_IT.to_owned(),
            Ok(header) if self.is_gone(header) => {
                "its working tree is gone: give it up with `git archive-tomb doctor --abort`".to_owned()
            }
            Ok(header) => {
                let there = quote(header.work_tree.as_bytes());
                let finish = format!("finish it with `git -C {there} archive-tomb doctor --continue`");
                if self.is_final(header) { finish } else { format!("{finish}, or undo it with `--abort` instead") }
            }
            Err(JournalError::Newer { .. }) => {
                "finish or undo it with the version of git-archive-tomb that began it".to_owned()
            }
            Err(_) => {
                "set its journal aside, and undo what can be undone, with `git archive-tomb doctor --abort`".to_owned()
            }
        }
    }

    /// Returns whether an operation can only be finished: a purge that has begun in the archive, or a hold that it has.
    fn is_final(&self, header: &Header) -> bool {
        let (is_purge, is_hold) = (header.command == Purging::COMMAND, header.command == Act::HOLD_SET);
        let begun = || -> Result<bool, CommandError> {
            let mut archive = self.open_archive(OpenMode::Existing)?;
            Ok(if is_purge {
                archive.unfinished_purges()?.iter().any(|purge| purge.op == header.id)
            } else {
                archive.holds()?.iter().any(|(hold, _)| hold.id == Some(header.id))
            })
        };
        // Where the archive cannot be asked, trying tells.
        (is_purge || is_hold) && begun().unwrap_or(false)
    }

    /// Returns whether the working tree that an operation changes was removed.
    pub(crate) fn is_gone(&self, header: &Header) -> bool {
        let git_dir = unquote(&header.git_dir);
        let git_dir = git_dir.as_ref().and_then(|git_dir| git_dir.to_path().ok());
        git_dir.is_some_and(|git_dir| !self.repository.common_dir().join(git_dir).exists())
    }

    /// Returns what a path on the command line means from where: from the top if it is absolute and in the working tree, else
    /// from where the user stands.
    pub(crate) fn below_top<'p>(&'p self, path: &'p OsStr) -> (&'p [u8], &'p [u8]) {
        if let (Some(top), true) = (self.repository.work_tree(), Path::new(path).is_absolute())
            && let Ok(relative) = Path::new(path).strip_prefix(top)
        {
            let relative = <[u8]>::from_path(relative).unwrap_or_default();
            return (if relative.is_empty() { b"." } else { relative }, b"");
        }
        (<[u8]>::from_os_str(path).unwrap_or_default(), self.repository.prefix())
    }

    /// Returns what a target on the command line means, as given where the user stands.
    pub(crate) fn target(&self, target: &OsStr) -> Result<Target, CommandError> {
        let (named, prefix) = self.below_top(target);
        Ok(Target::parse(named, prefix)?)
    }

    /// Returns the items that a target on the command line means.
    pub(crate) fn locate(
        &self,
        archive: Option<&mut AnyArchive>,
        target: &OsStr,
    ) -> Result<Vec<Located>, CommandError> {
        self.locate_in(Tracked::here(&self.repository)?, archive, target)
    }

    /// Returns the items that a target on the command line means in what is tracked there.
    pub(crate) fn locate_in(
        &self,
        tracked: Tracked,
        archive: Option<&mut AnyArchive>,
        target: &OsStr,
    ) -> Result<Vec<Located>, CommandError> {
        let target = self.target(target)?;
        Ok(locate_in(&self.repository, tracked, archive, &self.known_origin()?, &self.repo_name()?, &target)?)
    }

    /// Returns the one item that a target means, where one is needed.
    pub(crate) fn locate_one(&self, archive: Option<&mut AnyArchive>, target: &OsStr) -> Result<Located, CommandError> {
        self.locate_one_in(Tracked::here(&self.repository)?, archive, target)
    }

    /// Returns the one item that a target means in what is tracked there, where one is needed.
    pub(crate) fn locate_one_in(
        &self,
        tracked: Tracked,
        archive: Option<&mut AnyArchive>,
        target: &OsStr,
    ) -> Result<Located, CommandError> {
        let mut located = self.locate_in(tracked, archive, target)?;
        match (located.pop(), located.is_empty()) {
            (Some(only), true) => Ok(only),
            _ => Err(CommandError::new(
                Exit::Usage,
                format!("`{}` means several stubs, and one is needed", quote(&Vec::from_os_str_lossy(target))),
            )
            .hint("name one stub's path, or a tombstone")),
        }
    }

    /// Returns the remote to which a new branch would be pushed: the configured one, else `origin`, else the only one.
    pub(crate) fn push_remote(&self) -> Result<Option<String>, CommandError> {
        let config = self.git_config()?;
        if let Some(remote) = config.get_str("remote.pushDefault") {
            return Ok(Some(remote.to_owned()));
        }
        let name = |key: &BString| {
            let name = key.strip_prefix(b"remote.")?.strip_suffix(b".url")?;
            Some(name.to_str().ok()?.to_owned())
        };
        let mut remotes: Vec<String> = config.entries().iter().filter_map(|entry| name(&entry.key)).collect();
        remotes.sort();
        remotes.dedup();
        let origin = remotes.iter().find(|remote| *remote == "origin");
        Ok(origin.or(if remotes.len() == 1 { remotes.first() } else { None }).cloned())
    }
}

/// Appends a record to the operations log at `log` and returns it as an event.
fn append_record(log: &Path, record: &Record) -> Result<Event, CommandError> {
    let event = Event::from_record(record).map_err(|error| CommandError::from_error(Exit::Failed, &error))?;
    OperationsLog::open(log)?.append(&[&event.line])?;
    Ok(event)
}

/// What helps where there is no archive, as in a fresh clone.
const ARCHIVE_ALONE: &str =
    "this reads an archive alone; `git archive-tomb cat` and `git archive-tomb restore` read git's history too";

pub(crate) fn describe_unfinished(unfinished: &Unfinished) -> String {
    match &unfinished.header {
        Ok(header) => format!(
            "operation {} ({}, begun {} by {}) was stopped half-way",
            header.id,
            super::output::counted_of(&header.command, header.paths),
            header.started,
            quote(header.actor.as_bytes()),
        ),
        Err(error) => format!("operation {} was stopped half-way, and {error}", unfinished.id),
    }
}

/// What the names of variables begin with that are for object stores.
const STORE_VARIABLES: &str = "AWS_";

/// Returns the values in the environment that give access to object stores: what nobody needs to read in a message.
pub(crate) fn store_secrets() -> impl Iterator<Item = String> {
    let secret = |name: &str| ["KEY", "TOKEN"].iter().any(|word| name.contains(word));
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(move |(name, _)| name.starts_with(STORE_VARIABLES) && secret(name))
        .map(|(_, value)| value)
}

/// Returns what hides the secrets of a configuration, and those that the environment has for its object store.
fn redactor_of(config: &Config) -> Redactor {
    let mut redactor = config.redactor();
    if config.storage.object_store.is_some() {
        store_secrets().for_each(|secret| redactor.add_secret(&secret));
    }
    redactor
}

/// Returns what a URL of an object store means here: with the environment's credentials.
pub(crate) fn object_place(url: &StoreUrl) -> ObjectPlace {
    let kind = match url.place() {
        StorePlace::Bucket { name, prefix } => ObjectPlaceKind::Bucket { name: name.clone(), prefix: prefix.clone() },
        StorePlace::Folder(folder) => ObjectPlaceKind::Folder(folder.clone()),
    };
    let settings = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name.starts_with(STORE_VARIABLES))
        .map(|(name, value)| (name, value.into()))
        .collect();
    ObjectPlace { url: url.to_string(), kind, settings }
}

/// Returns an archive's place as people may see it.
pub(crate) fn shown_location(location: &Location) -> String {
    match location {
        Location::File(path) => shown(path),
        server => server.to_string(),
    }
}

/// Returns a path of this system, quoted as git quotes paths.
pub(crate) fn shown(path: &Path) -> String {
    quote(&Vec::from_path_lossy(path)).into_owned()
}
