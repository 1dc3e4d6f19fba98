//! Archives whose bytes are in an object store: a folder, or a bucket of a real server.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use git_archive_tomb::fault::{COPYING_POINTS, VARIABLE};
use git_archive_tomb::id::Sha256;
use secrecy::SecretString;

use crate::common::{Repo, World};
use crate::databases::{Database, KINDS, Kind};
use crate::migrate::{digest, noise, rich};

const URL: &str = "CODEX_ARCHIVE_URL";
const STORE: &str = "CODEX_ARCHIVE_STORAGE_URL";
const DRIVER: &str = "CODEX_ARCHIVE_STORAGE_DRIVER";

/// What may be told nowhere.
const CREDENTIALS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "AKIACANARY1234567890"),
    ("AWS_SECRET_ACCESS_KEY", "secret/Canary+of=the&tests"),
    ("AWS_SESSION_TOKEN", "Canary-token//with+signs=="),
];

/// Where objects are: a folder, or a prefix in a bucket of the test server.
enum Objects {
    Folder(PathBuf),
    Bucket(String),
}

const BUCKET: &str = "tomb-black-box";

fn server() -> String {
    let variable = "ARCHIVE_TOMB_TEST_S3";
    let url =
        std::env::var(variable).unwrap_or_else(|_| panic!("{variable} names no server: run the tests by scripts/test"));
    url.strip_prefix("http://").unwrap().to_owned()
}

/// Asks the test server, which checks no signature, something about the bucket.
fn ask(method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
    ask_of(BUCKET, method, path, body)
}

/// Asks it something about another bucket.
fn ask_of(bucket: &str, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let mut line = TcpStream::connect(server()).unwrap();
    write!(
        line,
        "{method} /{bucket}{path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\nConnection: close\r\nAuthorization: \
         AWS4-HMAC-SHA256 Credential={}/20251120/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=none\r\n\r\n",
        server(),
        body.len(),
        CREDENTIALS[0].1,
    )
    .unwrap();
    line.write_all(body).unwrap();
    let mut answer = Vec::new();
    line.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    (std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap(), answer.split_off(end))
}

impl Objects {
    fn in_folder(world: &World, name: &str) -> Self {
        let folder = world.at(name).path;
        std::fs::create_dir(&folder).unwrap();
        Self::Folder(folder)
    }

    fn in_bucket() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        ask("PUT", "", b"");
        let time = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        Self::Bucket(format!("{}/{time}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)))
    }

    fn url(&self) -> String {
        match self {
            Self::Folder(folder) => format!("file://{}", folder.display()),
            Self::Bucket(prefix) => format!("s3://{BUCKET}/{prefix}"),
        }
    }

    /// Returns `repo` with an environment that leads here.
    fn of<'a>(&self, repo: &Repo<'a>) -> Repo<'a> {
        with_credentials(repo).with(DRIVER, "object").with(STORE, self.url())
    }

    /// Returns the names of the objects of blocks.
    fn blocks(&self) -> Vec<String> {
        match self {
            Self::Folder(folder) => {
                let list = |folder: PathBuf| {
                    std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path())
                };
                let files = list(folder.join("blocks")).flat_map(list);
                files.map(|file| file.strip_prefix(folder).unwrap().to_str().unwrap().to_owned()).collect()
            }
            Self::Bucket(prefix) => {
                let (status, answer) = ask("GET", &format!("?list-type=2&prefix={prefix}/blocks/"), b"");
                assert_eq!(status, 200);
                let text = String::from_utf8(answer).unwrap();
                let keys = text.split("<Key>").skip(1).map(|rest| rest.split_once("</Key>").unwrap().0);
                keys.map(|key| key[prefix.len() + 1..].to_owned()).collect()
            }
        }
    }

    fn read(&self, name: &str) -> Vec<u8> {
        match self {
            Self::Folder(folder) => std::fs::read(folder.join(name)).unwrap(),
            Self::Bucket(prefix) => ask("GET", &format!("/{prefix}/{name}"), b"").1,
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        match self {
            Self::Folder(folder) => std::fs::write(folder.join(name), bytes).unwrap(),
            Self::Bucket(prefix) => assert_eq!(ask("PUT", &format!("/{prefix}/{name}"), bytes).0, 200),
        }
    }

    fn remove(&self, name: &str) {
        match self {
            Self::Folder(folder) => std::fs::remove_file(folder.join(name)).unwrap(),
            Self::Bucket(prefix) => assert_eq!(ask("DELETE", &format!("/{prefix}/{name}"), b"").0, 204),
        }
    }
}

fn with_credentials<'a>(repo: &Repo<'a>) -> Repo<'a> {
    let repo = repo.with("AWS_ENDPOINT", format!("http://{}", server())).with("AWS_ALLOW_HTTP", "true");
    CREDENTIALS.iter().fold(repo, |repo, (name, value)| repo.with(name, value))
}

/// Returns the bucket of the test server, a prefix of its own in it, and what it takes to get there.
pub(crate) fn bucket() -> (String, String, Vec<(String, SecretString)>) {
    let Objects::Bucket(prefix) = Objects::in_bucket() else { unreachable!("a bucket was asked for") };
    let endpoint = format!("http://{}", server());
    let settings = [("AWS_ENDPOINT", &*endpoint), ("AWS_ALLOW_HTTP", "true")].into_iter().chain(CREDENTIALS);
    (BUCKET.to_owned(), prefix, settings.map(|(name, value)| (name.to_owned(), value.into())).collect())
}

/// Asserts that no credential is in `text`, whatever it was escaped by.
#[track_caller]
fn assert_untold(text: &str) {
    for form in ["anary", "ANARY", "%43anary", "Q2FuYXJ5", "NhbmFye", "DYW5hcn"] {
        assert!(!text.contains(form), "{form} in {text}");
    }
}

#[test]
fn the_life_of_a_file_is_the_same_with_its_bytes_in_objects() {
    for (number, kind) in KINDS.iter().enumerate() {
        let world = World::new();
        let database = Database::new(*kind);
        let objects = if number == 0 { Objects::in_folder(&world, "objects") } else { Objects::in_bucket() };
        let repo = objects.of(&world.sample("project")).with(URL, database.url());
        let large = noise(1, 2_500_000);
        repo.write("large.bin", &large);
        repo.commit_all("large");
        let refused = repo.tomb(&["store", "large.bin"]).exits(6).stderr_text();
        assert!(refused.contains("archive-tomb init"), "{refused}");
        repo.tomb_ok(&["init", "--no-hooks"]);
        repo.tomb_ok(&["store", "large.bin", "docs"]);
        repo.commit("archived");
        assert!(objects.blocks().len() > 3);
        for name in objects.blocks() {
            let digest = Sha256::of(&objects.read(&name)).to_string();
            assert_eq!(name.trim_end_matches(".zst"), format!("blocks/{}/{digest}", &digest[..2]));
        }
        repo.tomb_ok(&["verify", "--deep"]);
        let health = repo.tomb_ok(&["health-check", "--deep"]).stdout_text();
        assert!(health.contains(&format!("\nObjects: {}\n", objects.url())), "{health}");
        assert_eq!(repo.tomb_ok(&["health-check", "--json"]).json()[0]["objects"], objects.url());
        repo.tomb_ok(&["status"]);
        let shown = repo.tomb_ok(&["config-show"]).stdout_text();
        assert!(shown.contains(&format!("storage.url = \"{}\"", objects.url())), "{shown}");
        repo.tomb_ok(&["export", "../exported"]);
        // Known contents need no more objects.
        let before = objects.blocks();
        repo.write("again.bin", &large);
        repo.commit_all("again");
        repo.tomb_ok(&["store", "again.bin"]);
        repo.commit("archived again");
        assert_eq!(objects.blocks(), before);
        repo.tomb_ok(&["restore", "large.bin"]);
        assert_eq!(repo.read("large.bin"), large);
        repo.commit("given back");
        repo.assert_sound();
        // Whoever forgets where the bytes are, or names another place, is told so and changes nothing.
        let lost = repo.with(DRIVER, "db").tomb(&["list"]).exits(2).stderr_text();
        assert!(lost.contains("keeps its bytes in an object store") && lost.contains("storage.driver"), "{lost}");
        let nowhere = Objects::in_folder(&world, "nowhere");
        nowhere.of(&repo).tomb_ok(&["list"]);
        for command in [&["health-check"][..], &["init", "--no-hooks"], &["store", "README.md"]] {
            let said = nowhere.of(&repo).tomb(command).exits(6).stderr_text();
            assert!(said.contains("no archive has objects at"), "{said}");
        }
        let other = world.sample("other");
        let other_database = Database::new(Kind::Sqlite);
        let said = objects.of(&other).with(URL, other_database.url()).tomb(&["init", "--no-hooks"]);
        assert!(said.stderr_text().contains("are those of archive"), "{said}");
        said.exits(2);
    }
}

#[test]
fn a_damaged_object_is_named_and_everything_else_is_given_back() {
    let world = World::new();
    for objects in [Objects::in_folder(&world, "objects"), Objects::in_bucket()] {
        let name = if matches!(objects, Objects::Folder(_)) { "one" } else { "two" };
        let repo = objects.of(&world.sample(name));
        repo.write("lost.bin", noise(1, 50_000));
        repo.commit_all("lost");
        repo.tomb_ok(&["init", "--no-hooks"]);
        repo.tomb_ok(&["store", "docs"]);
        repo.commit("kept");
        let before = objects.blocks();
        repo.tomb_ok(&["store", "lost.bin"]);
        repo.commit("archived");
        let object = objects.blocks().into_iter().find(|name| !before.contains(name)).unwrap();
        let bytes = objects.read(&object);
        let tombstone = repo.tombstone_at("lost.bin");
        for damage in [None, Some(&b""[..]), Some(&bytes[..49_999]), Some(&noise(2, 50_000)), Some(&vec![7; 2 << 20])] {
            match damage {
                None => objects.remove(&object),
                Some(damage) => objects.write(&object, damage),
            }
            let said = repo.tomb(&["restore", "--from", "archive", &tombstone, "back.bin"]).exits(5);
            assert!(!repo.exists("back.bin"));
            if damage.is_none() {
                assert!(said.stderr_text().contains(&format!("{}/{object}", objects.url())), "{said}");
            }
            let said = repo.tomb(&["health-check", "--deep"]).exits(5);
            assert!(said.stderr_text().contains("lost.bin"), "{said}");
            let said = repo.tomb(&["verify", "--deep"]);
            assert!(said.code != Some(0) && said.all_text().contains("lost.bin"), "{said}");
            let target = Database::new(Kind::Sqlite);
            let said = repo.tomb(&["migrate", "--to", target.url()]).exits(5);
            assert!(said.stderr_text().contains("lost.bin"), "{said}");
        }
        objects.write(&object, &bytes);
        repo.tomb_ok(&["verify", "--deep"]);
        repo.tomb_ok(&["restore", "lost.bin"]);
        assert_eq!(repo.read("lost.bin"), bytes);
    }
}

#[test]
fn bytes_move_between_databases_and_objects() {
    let world = World::new();
    let home = rich(&world, "project");
    home.tomb_ok(&["export", "../first"]);
    let mut here = home.with("UNUSED", "");
    let folder = || Objects::in_folder(&world, "objects");
    let way = [
        (Kind::Postgres, Some(Objects::in_bucket())),
        (Kind::Mariadb, Some(Objects::in_bucket())),
        (Kind::Sqlite, Some(folder())),
        (Kind::Postgres, None),
    ];
    let mut databases = Vec::new();
    for (kind, objects) in &way {
        let database = Database::new(*kind);
        let to = with_credentials(&here);
        let mut command = vec!["migrate".to_owned(), "--json".to_owned(), "--to".to_owned(), database.url().to_owned()];
        if let Some(objects) = objects {
            command.extend(["--storage".to_owned(), objects.url()]);
        }
        let there = match objects {
            Some(objects) => objects.of(&home),
            None => home.with("UNUSED", ""),
        };
        let there = there.with(URL, database.url());
        for status in ["migrated", "already-migrated"] {
            let run = to.tomb(&command).exits(0);
            let said = &run.json()[0];
            assert_eq!(said["status"], status, "{run}");
            assert_eq!(said["storage"].as_str().map(str::to_owned), objects.as_ref().map(Objects::url));
            assert_eq!(said["digest"].as_str().unwrap(), digest(&there));
            assert_eq!(digest(&here), digest(&there));
        }
        there.tomb_ok(&["health-check", "--deep"]);
        assert!(objects.as_ref().is_none_or(|objects| !objects.blocks().is_empty()));
        // The objects of the one are not those of the other.
        (here, databases) = (there, databases.into_iter().chain([database]).collect::<Vec<_>>());
    }
    here.tomb_ok(&["export", "../last"]);
    let read = |path: &str| std::fs::read_to_string(world.at(path).path).unwrap();
    assert_eq!(read("first/items.jsonl"), read("last/items.jsonl"));
    assert_eq!(read("first/files.txt"), read("last/files.txt"));
}

#[test]
fn a_copy_does_not_share_its_sources_objects() {
    let world = World::new();
    let objects = Objects::in_folder(&world, "objects");
    let repo = objects.of(&world.sample("project"));
    repo.tomb_ok(&["init", "--no-hooks"]);
    repo.tomb_ok(&["store", "docs"]);
    let target = Database::new(Kind::Sqlite);
    let said = repo.tomb(&["migrate", "--to", target.url(), "--storage", &objects.url()]).exits(2).stderr_text();
    assert!(said.contains("are those of archive") && said.contains("a prefix of its own"), "{said}");
    let said =
        repo.tomb(&["migrate", "--to", target.url(), "--storage", "s3://k:canary@bucket"]).exits(2).stderr_text();
    assert!(said.contains("AWS_ACCESS_KEY_ID") && !said.contains("canary"), "{said}");
    repo.tomb_ok(&["list"]);
}

/// Neither by another name of the source, nor at somebody else's archive that has no block yet.
#[test]
fn an_archive_that_cannot_be_the_copy_gets_no_objects() {
    let world = World::new();
    for kind in KINDS {
        let objects = Objects::in_folder(&world, &format!("objects-{kind:?}"));
        let (source, other) = (Database::new(*kind), Database::new(*kind));
        let repo = world.sample(&format!("project-{kind:?}")).with(URL, source.url());
        let used = world.sample(&format!("other-{kind:?}")).with(URL, other.url());
        for repo in [&repo, &used] {
            repo.tomb_ok(&["init", "--no-hooks"]);
            repo.write("empty", "");
            repo.commit_all("a content without a block");
            repo.tomb_ok(&["store", "empty"]);
        }
        let respelled = match kind {
            Kind::Sqlite => {
                let (folder, file) = source.url().rsplit_once('/').unwrap();
                format!("{folder}/../{}/{file}", folder.rsplit_once('/').unwrap().1)
            }
            _ => format!("{}?sslmode=prefer", source.url()),
        };
        for (to, reason) in
            [(&*respelled, "cannot be copied to itself"), (other.url(), "no unfinished copy of archive")]
        {
            let run = repo.tomb(&["migrate", "--to", to, "--storage", &objects.url()]);
            let said = run.exits(2).stderr_text();
            assert!(said.contains(reason), "{kind:?}: {said}");
        }
        for repo in [&repo, &used] {
            repo.tomb_ok(&["health-check"]);
            repo.tomb_ok(&["store", "docs"]);
        }
    }
}

#[test]
fn a_move_into_objects_that_was_killed_is_resumed() {
    let world = World::new();
    let base = rich(&world, "base");
    let before = digest(&base);
    let points = COPYING_POINTS.iter().filter(|point| !point.starts_with("export"));
    for (number, point) in points.enumerate() {
        let repo = with_credentials(&base.copy_to(&format!("killed-{number}")));
        let objects = Objects::in_bucket();
        let target = Database::new(Kind::Sqlite);
        let command = ["migrate", "--to", target.url(), "--storage", &objects.url()];
        assert_eq!(repo.with(VARIABLE, point).tomb(&command).code, None, "{point}");
        repo.tomb_ok(&command);
        let there = objects.of(&repo).with(URL, target.url());
        assert_eq!(digest(&repo), digest(&there), "{point}");
        assert_ne!(digest(&there), before, "the record of it came");
        there.tomb_ok(&["health-check", "--deep"]);
    }
}

/// Archives two files in one block and purges one of them. Returns the names of the objects before.
fn purge_one_of_two(repo: &Repo<'_>, names: impl Fn() -> Vec<String>) -> Vec<String> {
    repo.tomb_ok(&["init", "--no-hooks"]);
    repo.commit_all("init");
    repo.store(&["src/legacy", "docs/old.md"], &["src/legacy/old.py", "src/legacy/run.sh", "docs/old.md"]);
    let before = names();
    let said = repo.purge("docs/old.md").stdout_text();
    assert!(said.contains("what the archive's storage keeps for a while"), "{said}");
    repo.tomb(&["cat", "docs/old.md"]).exits(4);
    assert!(repo.tomb_ok(&["cat", "src/legacy/old.py"]).stdout_text().starts_with("import os\n"));
    repo.tomb_ok(&["health-check", "--deep"]);
    before
}

#[test]
fn a_purge_takes_the_bytes_out_of_every_object() {
    let world = World::new();
    for (name, objects) in [("a", Objects::in_folder(&world, "objects")), ("b", Objects::in_bucket())] {
        let repo = objects.of(&world.sample(name));
        let sought = b"Nobody reads this.";
        let raw = |name: &str| {
            let stored = objects.read(name);
            zstd::decode_all(&stored[..]).unwrap_or(stored)
        };
        let has = |name: &str| memchr::memmem::find(&raw(name), sought).is_some();
        let before = purge_one_of_two(&repo, || {
            assert!(objects.blocks().iter().any(|name| has(name)));
            objects.blocks()
        });
        let after = objects.blocks();
        assert!(!after.is_empty() && !after.iter().any(|name| before.contains(name)), "{before:?}, {after:?}");
        assert!(!after.iter().any(|name| has(name)));
    }
}

#[test]
fn a_bucket_with_versions_keeps_what_a_purge_deleted_behind_a_marker() {
    let world = World::new();
    let bucket = format!("tomb-versions-{}", std::process::id());
    assert_eq!(ask_of(&bucket, "PUT", "", b"").0, 200);
    let on = b"<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>Enabled</Status></VersioningConfiguration>";
    assert_eq!(ask_of(&bucket, "PUT", "?versioning", on).0, 200);
    let ask = |query: &str| String::from_utf8(ask_of(&bucket, "GET", query, b"").1).unwrap();
    let keys = |listing: &str| {
        let keys = listing.split("<Key>").skip(1).map(|rest| rest.split_once("</Key>").unwrap().0.to_owned());
        keys.collect::<Vec<_>>()
    };
    let repo =
        with_credentials(&world.sample("project")).with(DRIVER, "object").with(STORE, format!("s3://{bucket}/team"));
    let before = purge_one_of_two(&repo, || keys(&ask("?list-type=2&prefix=team/blocks/")));
    let after = keys(&ask("?list-type=2&prefix=team/blocks/"));
    assert!(!after.iter().any(|key| before.contains(key)), "{after:?}");
    let versions = ask("?versions&prefix=team/blocks/");
    let marked: Vec<String> =
        versions.split("<DeleteMarker>").skip(1).flat_map(|marker| keys(marker).into_iter().take(1)).collect();
    assert_eq!(marked, before, "{versions}");
    for key in before {
        let version = versions.split("<Version>").skip(1).find(|version| version.contains(&key)).unwrap();
        let id = version.split_once("<VersionId>").unwrap().1.split_once("</VersionId>").unwrap().0;
        let (status, bytes) = ask_of(&bucket, "GET", &format!("/{key}?versionId={id}"), b"");
        assert!(status == 200 && !bytes.is_empty(), "the bytes are there until a lifecycle rule ends them");
    }
}

#[test]
fn many_programs_store_into_one_bucket() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = World::new();
        let (database, objects) = (Database::new(kind), Objects::in_bucket());
        let base = world.sample("base");
        for number in 0..4 {
            // Some the same for all, some not.
            base.write(format!("same/{number}.bin"), noise(number, 300_000));
        }
        base.commit_all("same");
        let repos: Vec<Repo<'_>> = (0..5)
            .map(|number| {
                let repo = objects.of(&base.copy_to(&format!("clone-{number}"))).with(URL, database.url());
                repo.write("own.bin", noise(100 + number, 1_500_000));
                repo.commit_all("own");
                repo
            })
            .collect();
        repos[0].tomb_ok(&["init", "--no-hooks"]);
        std::thread::scope(|scope| {
            for repo in &repos {
                scope.spawn(|| repo.tomb_ok(&["store", "same", "own.bin"]));
            }
        });
        let mut names: Vec<String> = objects.blocks();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), objects.blocks().len());
        for repo in &repos {
            repo.tomb_ok(&["verify", "--deep"]);
            repo.tomb_ok(&["restore", "own.bin"]);
        }
        repos[4].tomb_ok(&["health-check", "--deep"]);
    }
}

#[test]
fn a_store_that_is_down_is_out_of_reach_and_tried_again_if_that_is_asked_for() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let world = World::new();
    let objects = Objects::in_bucket();
    let repo = objects.of(&world.sample("project"));
    repo.tomb_ok(&["init", "--no-hooks"]);
    repo.tomb_ok(&["store", "docs"]);
    repo.commit("archived");
    let look = repo.look();
    let down = repo.with("AWS_ENDPOINT", format!("http://{gone}"));
    for command in
        [&["store", "README.md"][..], &["health-check"], &["restore", "--from", "archive", "docs/old.md", "x"]]
    {
        let said = down.tomb(command).exits(6).stderr_text();
        assert!(said.contains("cannot reach the object store") && said.contains("AWS_ENDPOINT"), "{said}");
    }
    let down = down
        .with("CODEX_ARCHIVE_RETRY_ENABLED", "true")
        .with("CODEX_ARCHIVE_RETRY_MAX", "2")
        .with("CODEX_ARCHIVE_RETRY_INITIAL_DELAY", "0");
    down.tomb(&["store", "README.md"]).exits(6);
    let log = std::fs::read_to_string(repo.path.join(".git/archive-tomb/archive_ops.jsonl")).unwrap();
    assert_eq!(log.lines().filter(|line| line.contains("\"status\":\"retrying\"")).count(), 2, "{log}");
    look.assert_changed_only(&repo.look(), &[]);
    // What needs no bytes does not need the store.
    down.tomb_ok(&["list"]);
    down.tomb_ok(&["show", "docs/old.md"]);
}

#[test]
fn a_bucket_named_by_a_branch_gets_no_credentials_before_it_is_trusted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let world = World::new();
    let repo = world.sample("project").with("AWS_ENDPOINT", format!("http://{}", listener.local_addr().unwrap()));
    let repo =
        CREDENTIALS.iter().fold(repo.with("AWS_ALLOW_HTTP", "true"), |repo, (name, value)| repo.with(name, value));
    repo.write(".codex/archive.toml", "[storage]\ndriver = \"object\"\nurl = \"s3://stranger/x\"\n");
    repo.git(&["add", "-f", ".codex/archive.toml"]);
    repo.git(&["commit", "-qm", "a stranger's branch"]);
    for command in [&["init"][..], &["store", "docs"], &["health-check"], &["list"]] {
        let said = repo.tomb(command).exits(2).stderr_text();
        assert!(said.contains("storage.url") && said.contains("git archive-tomb trust"), "{said}");
    }
    assert!(listener.accept().is_err(), "nobody came");
}

#[test]
fn no_credential_is_told() {
    /// A server that says everything that it is told.
    fn echo() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for mut line in listener.incoming().flatten() {
                let mut told = vec![0; 4096];
                let length = line.read(&mut told).unwrap_or(0);
                let mut body = String::from_utf8_lossy(&told[..length]).into_owned();
                for (name, value) in CREDENTIALS {
                    let _ = write!(body, "<Message>{name} {value} {value:?} {}</Message>", value.replace('+', "%2B"));
                }
                let body = format!("<Message>{}</Message>{body}", CREDENTIALS.map(|(_, value)| value).join(" "));
                let _ = write!(line, "HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            }
        });
        endpoint
    }
    let world = World::new();
    let objects = Objects::in_bucket();
    let repo = objects.of(&world.sample("project")).with("CODEX_ARCHIVE_LOGGING_FILE", "run.log");
    let repo = repo.with("CODEX_ARCHIVE_LOG_LEVEL", "trace");
    repo.tomb_ok(&["init", "--no-hooks"]);
    repo.tomb_ok(&["store", "docs"]);
    repo.commit("archived");
    let hostile = repo.with("AWS_ENDPOINT", echo());
    let down = repo.with("AWS_ENDPOINT", "http://127.0.0.1:1");
    let target = Database::new(Kind::Sqlite);
    let other = Objects::in_bucket();
    for repo in [&repo, &hostile, &down] {
        for command in [
            &["health-check", "--deep"][..],
            &["--debug", "health-check"],
            &["config-show"],
            &["--debug", "config-show", "--json"],
            &["status"],
            &["-vv", "store", "README.md", "--dry-run"],
            &["restore", "--from", "archive", "docs/old.md", "back.md"],
            &["verify", "--deep"],
            &["doctor"],
            &["migrate", "--to", target.url(), "--storage", &other.url()],
        ] {
            assert_untold(&repo.tomb(command).all_text());
        }
    }
    let refused = hostile.tomb(&["health-check"]).exits(6).stderr_text();
    assert!(refused.contains("does not let us read the mark") && refused.contains("***"), "{refused}");
    let mut told = String::new();
    for file in [".git/archive-tomb/archive_ops.jsonl", ".git/archive-tomb/archive.sqlite", "run.log", ".git/config"] {
        told += &String::from_utf8_lossy(&std::fs::read(repo.path.join(file)).unwrap_or_default());
    }
    assert_untold(&told);
}
