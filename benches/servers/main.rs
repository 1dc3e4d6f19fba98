//! Compares archives on servers with one in a file, side by side in one run, near and over a link of 20 ms.
//!
//! `cargo bench --bench servers` needs the servers that the tests need: `ARCHIVE_TOMB_TEST_POSTGRES` and
//! `ARCHIVE_TOMB_TEST_MARIADB` name them. `cargo bench --bench servers -- 10000 200 3` takes 10,000 files of 5 KB, one file of
//! 200 MiB that does not compress, and 3 rounds. It prints the median times, their ratio to the file's, and how many round
//! trips there were over the link. `cargo bench --bench servers -- one 10000` compares what one item costs in archives of
//! 100 and of 10,000 items. What the figures mean: `docs/performance.md`.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]
#![expect(clippy::print_stdout, reason = "printing is what a benchmark is for")]

#[path = "../common/mod.rs"]
mod common;
mod link;
mod one;

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{command, median, numbers, prepare, shell, time, write_files};
use link::Link;
use one::One;

/// The time that a word takes in each direction over the link.
const DELAY: Duration = Duration::from_millis(10);

/// What is done, in this order, with the archive that the step before left.
const STEPS: &[(&str, &str)] = &[
    ("store", "git archive-tomb store -q old"),
    ("restore of one of them", "git archive-tomb restore -q old/000/file00007.py"),
    ("list", "git archive-tomb list >/dev/null"),
    ("verify --all --deep", "git archive-tomb verify --all --deep"),
    ("restore", "git archive-tomb restore -q old"),
    ("store of the large file", "git archive-tomb store -q large.bin"),
    ("restore of the large file", "git archive-tomb restore -q large.bin"),
];

/// An archive's place.
struct Place {
    name: &'static str,
    /// The variable that names its server; none for a file.
    server: Option<&'static str>,
    link: Option<Link>,
}

impl Place {
    fn new(name: &'static str, server: Option<&'static str>, far: bool) -> Self {
        let link = far.then(|| {
            let url = url_of(server.unwrap());
            let (_, rest) = url.rsplit_once('@').unwrap();
            Link::new(rest.split_once('/').unwrap().0, DELAY)
        });
        Self { name, server, link }
    }

    /// Makes an empty database, and returns its URL.
    fn create(&self, world: &Path, number: usize) -> String {
        let Some(server) = self.server else {
            return format!("sqlite:///{}", world.join(format!("archive-{number}.sqlite")).display());
        };
        let url = url_of(server);
        let database = format!("bench_{}_{number}", std::process::id());
        client(&url, &format!("CREATE DATABASE {database}"));
        let (base, _) = url.rsplit_once('/').unwrap();
        match &self.link {
            None => format!("{base}/{database}"),
            Some(link) => format!("{}@127.0.0.1:{}/{database}", base.rsplit_once('@').unwrap().0, link.port),
        }
    }

    fn drop(&self, number: usize) {
        if let Some(server) = self.server {
            client(&url_of(server), &format!("DROP DATABASE bench_{}_{number}", std::process::id()));
        }
    }
}

/// How many items an archive of few has.
const FEW: usize = 100;

/// What one place took.
#[derive(Default)]
struct Measured {
    times: Vec<Vec<Duration>>,
    turns: Vec<u64>,
}

fn main() {
    let numbers = numbers();
    let files = numbers.first().copied().unwrap_or(2_000).max(100);
    let megabytes = numbers.get(1).copied().unwrap_or(50);
    let rounds = numbers.get(2).copied().unwrap_or(1).max(1);
    let folder = tempfile::tempdir().unwrap();
    let world = folder.path();
    prepare(world);
    let made = world.join("made");
    write_files(&made, files);
    write_noise(&made.join("large.bin"), megabytes);
    assert!(shell(world, &made, "git init -q && git -c core.compression=0 add -A && git commit -qm first"));

    let (postgres, mariadb) = (Some("ARCHIVE_TOMB_TEST_POSTGRES"), Some("ARCHIVE_TOMB_TEST_MARIADB"));
    let places = [
        Place::new("a file (SQLite)", None, false),
        Place::new("PostgreSQL", postgres, false),
        Place::new("MariaDB", mariadb, false),
        Place::new("PostgreSQL, 20 ms away", postgres, true),
        Place::new("MariaDB, 20 ms away", mariadb, true),
    ];
    if std::env::args().any(|argument| argument == "one") {
        return compare_one(world, &places, files);
    }
    let mut measured: Vec<Measured> = places.iter().map(|_| Measured::default()).collect();
    for round in 0..rounds {
        for (number, (place, measured)) in places.iter().zip(&mut measured).enumerate() {
            let number = round * places.len() + number;
            measure(world, place, number, measured);
            place.drop(number);
        }
    }
    println!("{files} files of 5 KB, one of {megabytes} MiB, {rounds} rounds, median times");
    for (step, (name, _)) in STEPS.iter().enumerate() {
        println!("\n{name}");
        let base = median(&mut measured[0].times[step]).unwrap();
        for (place, measured) in places.iter().zip(&mut measured) {
            let time = median(&mut measured.times[step]).unwrap();
            let turns = measured.turns.get(step).filter(|_| place.link.is_some());
            println!(
                "  {:<24} {:>8.3} s {:>7.2} × {}",
                place.name,
                time.as_secs_f64(),
                time.as_secs_f64() / base.as_secs_f64(),
                turns.map_or(String::new(), |turns| format!("{turns:>7} round trips"))
            );
        }
    }
}

/// Takes all steps once with a fresh archive.
fn measure(world: &Path, place: &Place, number: usize, measured: &mut Measured) {
    let url = place.create(world, number);
    let copy = world.join("copy");
    assert!(shell(world, world, "rm -rf copy && cp -a made copy && cd copy && git status >/dev/null; sync"));
    let run = |script: &str| {
        let mut shell = command(world, &copy, "sh");
        shell.args(["-c", script]).env("CODEX_ARCHIVE_URL", &url);
        time(&mut shell).unwrap_or_else(|| panic!("{}: {script} failed", place.name))
    };
    run("git archive-tomb init --no-hooks");
    measured.times.resize(STEPS.len(), Vec::new());
    let mut turns = Vec::new();
    for ((_, script), times) in STEPS.iter().zip(&mut measured.times) {
        if let Some(link) = &place.link {
            link.turns();
        }
        times.push(run(script));
        turns.extend(place.link.as_ref().map(Link::turns));
        run("git commit -qm step || true");
    }
    measured.turns = turns;
}

/// Prints what one item costs in an archive of few items, and in one of `many`.
fn compare_one(world: &Path, places: &[Place], many: usize) {
    println!("one item, of an archive of {FEW} items and of one of {many}");
    for (number, place) in places.iter().enumerate() {
        let few = one_of(world, place, 2 * number, FEW);
        let many = one_of(world, place, 2 * number + 1, many);
        one::print(place.name, &few, &many);
    }
}

/// Measures one item in an archive of `items` others.
fn one_of(world: &Path, place: &Place, number: usize, items: usize) -> One {
    let url = place.create(world, number);
    let folders = (0..items / 100).fold(String::new(), |folders, folder| format!("{folders} old/{folder:03}"));
    let fill = format!(
        "rm -rf copy && cp -a made copy && cd copy && export CODEX_ARCHIVE_URL='{url}' &&
         git archive-tomb init --no-hooks && git archive-tomb store -q {folders}"
    );
    assert!(shell(world, world, &fill));
    let one = one::measure(world, &url, place.link.as_ref());
    place.drop(number);
    one
}

fn url_of(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} names no server"))
}

/// Runs SQL with the server's own client.
fn client(url: &str, sql: &str) {
    let mut command = if url.starts_with("postgres") {
        let mut psql = Command::new("psql");
        psql.args(["-X", "-q", url, "-c", sql]);
        psql
    } else {
        let (_, rest) = url.split_once("://").unwrap();
        let (login, rest) = rest.rsplit_once('@').unwrap();
        let (user, password) = login.split_once(':').unwrap();
        let (place, database) = rest.split_once('/').unwrap();
        let (host, port) = place.split_once(':').unwrap();
        let mut mariadb = Command::new("mariadb");
        mariadb.args(["--no-defaults", "--protocol=tcp", "-h", host, "-P", port, "-u", user, database, "-e", sql]);
        mariadb.env("MYSQL_PWD", password);
        mariadb
    };
    assert!(command.status().unwrap().success(), "{sql}");
}

/// Writes bytes that do not compress.
fn write_noise(path: &Path, megabytes: usize) {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    let mut random = fastrand::Rng::with_seed(1);
    let mut bytes = vec![0; 1 << 20];
    for _ in 0..megabytes {
        random.fill(&mut bytes);
        file.write_all(&bytes).unwrap();
    }
    file.flush().unwrap();
}
