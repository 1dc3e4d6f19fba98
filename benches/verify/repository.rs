//! Makes a repository with a long history of archiving: what this program would have written, put there through
//! `git fast-import` in seconds.

use std::collections::VecDeque;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Stdio};

use git_archive_tomb::clock::Timestamp;
use git_archive_tomb::evidence::record::{Action, Record, Source, Status};
use git_archive_tomb::evidence::writer::NewEvidenceFile;
use git_archive_tomb::git::Repository;
use git_archive_tomb::id::{ObjectId, OperationId, Sha256, Tombstone};
use git_archive_tomb::item::{FileMode, Kind, Reason, RepoPath};
use git_archive_tomb::stub::{Stub, Style, Templates, classify};

use crate::common::{command, shell};

const ACTOR: &str = "A Maintainer <maintainer@example.org>";
/// 2024-01-01, when archiving begins.
const BEGIN: u64 = 1_704_067_200;
/// Over how many seconds the operations spread: two years.
const SPAN: u64 = 2 * 365 * 86_400;
/// How many files the operations of [`Shape::operations`] are about, in turn: 200 on average.
const SIZES: [usize; 5] = [2, 10, 40, 148, 800];

/// How large a history is. 45 of 100 operations restore what an earlier one archived.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Tracked files, stubs among them, in folders of 100.
    pub(crate) files: usize,
    /// Operations that archive or restore, each in a commit of its own.
    pub(crate) operations: usize,
    /// Records of each operation; `None` for [`SIZES`].
    pub(crate) records: Option<usize>,
    /// Commits that change an ordinary file, before each operation's.
    pub(crate) ordinary_commits: usize,
}

impl Shape {
    /// The history that the project promises speed for, scaled: 100,000 files, 10,000 stubs, 100,000 records in 500 operations
    /// among 2,000 commits.
    pub(crate) fn promised(percent: usize) -> Self {
        Self { files: 1_000 * percent, operations: 5 * percent, records: None, ordinary_commits: 3 }
    }
}

/// Makes the repository `name` below `world`, its index filled and its working tree empty.
pub(crate) fn make(world: &Path, name: &str, shape: Shape) -> PathBuf {
    let top = world.join(name);
    assert!(shell(world, world, &format!("git init -q {name}")));
    let mut import = Import::start(world, &top);
    import.commit(BEGIN, "first");
    for number in 0..shape.files {
        import.file(&file_path(number), content(number).as_bytes());
    }
    import.file(
        ".codex/.gitattributes",
        b"evidence/** -text -ident -filter -working-tree-encoding -eol -export-subst linguist-generated\n",
    );
    import.finish();

    let repository = Repository::discover(&top).unwrap();
    let mut history = History {
        first: repository.resolve_commit("main").unwrap(),
        repository,
        templates: Templates::built_in(),
        head: None,
        archived: VecDeque::new(),
        next_file: 0,
    };
    let mut import = Import::start(world, &top);
    let restores = shape.operations * 45 / 100;
    for operation in 0..shape.operations {
        let time = BEGIN + SPAN / shape.operations as u64 * operation as u64 + 3_600;
        for ordinary in 0..shape.ordinary_commits {
            import.commit(time, "ordinary");
            // The last files are never archived.
            let number = shape.files - 1 - (operation * 7 + ordinary) % 100;
            import.file(&file_path(number), format!("{}# {operation}.{ordinary}\n", content(number)).as_bytes());
        }
        import.commit(time + 60, "operation");
        let changes = if operation % 2 == 1 && operation < 2 * restores {
            history.restore(operation, time)
        } else {
            history.archive(operation, time, shape.records.unwrap_or(SIZES[operation / 2 % SIZES.len()]))
        };
        for (path, bytes) in changes {
            import.file(&path, &bytes);
        }
    }
    import.finish();
    assert!(shell(world, &top, "git read-tree HEAD"));
    top
}

/// Returns the path of file `number`.
pub(crate) fn file_path(number: usize) -> String {
    format!("src/area{:02}/module{:03}/file{number:06}.py", number / 5_000, number / 100)
}

fn content(number: usize) -> String {
    let lines =
        (0..4 + number % 13).map(|line| format!("def name_{number}_{line}(value):\n    return value + {line}\n"));
    format!("# module {number}\n{}", lines.collect::<String>())
}

/// What the operations so far left.
struct History {
    repository: Repository,
    /// The commit that holds every file.
    first: ObjectId,
    templates: Templates,
    head: Option<Sha256>,
    /// What each operation archived, for those that were not restored yet.
    archived: VecDeque<Vec<(usize, Record)>>,
    next_file: usize,
}

/// Files with their new bytes.
type Changes = Vec<(String, Vec<u8>)>;

impl History {
    fn archive(&mut self, operation: usize, time: u64, count: usize) -> Changes {
        let numbers = self.next_file..self.next_file + count;
        self.next_file = numbers.end;
        let records: Vec<Record> = numbers.clone().map(|number| self.archive_record(operation, time, number)).collect();
        let evidence = self.write(&records);
        let mut changes = Vec::new();
        for (number, record) in numbers.clone().zip(&records) {
            changes.push((file_path(number), self.stub(record, *evidence.sha256(), number).0.into_bytes()));
        }
        changes.push((evidence.path().to_string(), evidence.bytes().to_vec()));
        self.archived.push_back(numbers.zip(records).collect());
        changes
    }

    fn restore(&mut self, operation: usize, time: u64) -> Changes {
        let archived = self.archived.pop_front().expect("an earlier operation archived");
        let records: Vec<Record> = archived
            .iter()
            .map(|(_, archived)| {
                let mut record = record(Action::Restore, operation, time);
                record.path.clone_from(&archived.path);
                record.tombstone = archived.tombstone;
                (record.sha256, record.size) = (archived.sha256, archived.size);
                (record.mode, record.commit) = (archived.mode, archived.commit);
                record.backend.clone_from(&archived.backend);
                record.source = Some(Source::Archive);
                record
            })
            .collect();
        let evidence = self.write(&records);
        let mut changes: Changes =
            archived.iter().map(|(number, _)| (file_path(*number), content(*number).into_bytes())).collect();
        changes.push((evidence.path().to_string(), evidence.bytes().to_vec()));
        changes
    }

    fn write(&mut self, records: &[Record]) -> NewEvidenceFile {
        let evidence = NewEvidenceFile::build(records.to_vec(), self.head.into_iter().collect()).unwrap();
        self.head = Some(*evidence.sha256());
        evidence
    }

    fn archive_record(&self, operation: usize, time: u64, number: usize) -> Record {
        let path = RepoPath::try_new(file_path(number)).unwrap();
        let bytes = content(number);
        let sha256 = Sha256::of(bytes.as_bytes());
        let mut record = record(Action::Archive, operation, time);
        record.set_path(&path);
        record.tombstone = Some(Tombstone::derive("made", path.as_bytes(), &self.first, &sha256));
        record.sha256 = Some(sha256);
        record.size = Some(bytes.len() as u64);
        record.compressed_size = Some(bytes.len() as u64 / 3);
        record.object = Some(self.repository.objects().hash_blob(bytes.as_bytes()));
        record.mode = Some(FileMode::Regular);
        record.commit = Some(self.first);
        record.kind = Some(Kind::Code);
        record.language = Some("python".to_owned());
        record.mime = Some("text/x-python".to_owned());
        record.reason = Some(Reason::Dead.to_string());
        record.backend = Some("sqlite".to_owned());
        record.status = Some(Status::Stored);
        record.stub = Some(self.stub(&record, Sha256::ZERO, number).1);
        record
    }

    /// Returns the text of a record's stub, and its digest.
    fn stub(&self, record: &Record, evidence: Sha256, number: usize) -> (String, Sha256) {
        let path = record.repo_path().unwrap();
        let file_type = classify(&path, content(number).as_bytes());
        let stub = Stub {
            tombstone: record.tombstone.unwrap(),
            sha256: record.sha256.unwrap(),
            size: record.size.unwrap(),
            mode: FileMode::Regular,
            object: record.object.unwrap(),
            repo: "made".to_owned(),
            commit: self.first,
            reason: Reason::Dead,
            archived_by: ACTOR.to_owned(),
            archived_at: record.ts,
            evidence,
            path,
        };
        let rendered = self.templates.choose(&stub.path, &file_type, Style::Auto).render(&stub).unwrap();
        (rendered.text, rendered.digest)
    }
}

fn record(action: Action, operation: usize, time: u64) -> Record {
    let op: OperationId = format!("0199f1a2-0000-7000-8000-{operation:012x}").parse().unwrap();
    let mut record =
        Record::new(action, op, Timestamp::from_millisecond(i64::try_from(time * 1_000 + 250).unwrap()).unwrap());
    record.actor = Some(ACTOR.to_owned());
    record.repo = Some("made".to_owned());
    record
}

/// A running `git fast-import`.
struct Import {
    child: std::process::Child,
    pipe: BufWriter<ChildStdin>,
    continues: bool,
}

impl Import {
    fn start(world: &Path, top: &Path) -> Self {
        let mut command = command(world, top, "git");
        // Always a pack, as in a repository that was cloned or collected.
        command.args(["-c", "fastimport.unpackLimit=0", "fast-import", "--quiet"]).stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let pipe = BufWriter::new(child.stdin.take().unwrap());
        let continues = shell(world, top, "git rev-parse -q --verify main");
        Self { child, pipe, continues }
    }

    fn commit(&mut self, time: u64, message: &str) {
        let committer = format!("committer A Maintainer <maintainer@example.org> {time} +0000");
        writeln!(self.pipe, "commit refs/heads/main\n{committer}\ndata {}\n{message}", message.len()).unwrap();
        if std::mem::take(&mut self.continues) {
            writeln!(self.pipe, "from refs/heads/main^0").unwrap();
        }
    }

    fn file(&mut self, path: &str, bytes: &[u8]) {
        writeln!(self.pipe, "M 100644 inline {path}\ndata {}", bytes.len()).unwrap();
        self.pipe.write_all(bytes).unwrap();
        self.pipe.write_all(b"\n").unwrap();
    }

    fn finish(mut self) {
        self.pipe.flush().unwrap();
        drop(self.pipe);
        assert!(self.child.wait().unwrap().success());
    }
}
