//! A server of a test's own, which can be stopped and started.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{Kind, Login, wait_until};

/// A server in a temporary folder. What it acknowledged survives that it is killed, not that the machine is.
pub(super) struct Machine {
    kind: Kind,
    folder: tempfile::TempDir,
    port: u16,
    process: Option<Child>,
}

impl Machine {
    /// Makes one and starts it with `options` of its program.
    pub(super) fn start(kind: Kind, options: &[String]) -> Self {
        let folder = tempfile::Builder::new().prefix("archive-tomb-server-").tempdir().unwrap();
        give_to_server(kind, folder.path());
        let data = folder.path().join("data");
        let mut prepare = match kind {
            Kind::Postgres => {
                std::fs::write(folder.path().join("password"), "secret-of-the-machine\n").unwrap();
                let mut initdb = program(kind, "initdb");
                initdb.args(["-A", "scram-sha-256", "-U", "tester", "-E", "UTF8", "-N", "--no-instructions"]);
                initdb.arg("-D").arg(&data).arg("--pwfile").arg(folder.path().join("password"));
                initdb
            }
            Kind::Mariadb => {
                let mut install = program(kind, "mariadb-install-db");
                install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
                install.arg(format!("--datadir={}", data.display())).arg(format!("--user={}", me()));
                install
            }
        };
        let done = prepare.stdin(Stdio::null()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let mut machine = Self { kind, folder, port, process: None };
        if kind == Kind::Mariadb {
            let bootstrap = "CREATE USER 'tester'@'127.0.0.1' IDENTIFIED BY 'secret-of-the-machine';\n\
                             GRANT ALL ON *.* TO 'tester'@'127.0.0.1' WITH GRANT OPTION;\n";
            let file = machine.folder.path().join("users.sql");
            std::fs::write(&file, bootstrap).unwrap();
            machine.up(&[&[format!("--init-file={}", file.display())], options].concat());
        } else {
            machine.up(options);
        }
        machine
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the server, and waits until it lets its administrator in.
    pub(super) fn up(&mut self, options: &[String]) {
        assert!(self.process.is_none());
        let (data, port) = (self.folder.path().join("data"), self.port.to_string());
        let mut server = match self.kind {
            Kind::Postgres => {
                let mut postgres = program(self.kind, "postgres");
                postgres
                    .args(["-p", &port, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"])
                    .arg("-D")
                    .arg(&data);
                postgres.arg("-c").arg(format!("unix_socket_directories={}", data.display()));
                postgres.args(options.iter().flat_map(|option| ["-c", option]));
                postgres
            }
            Kind::Mariadb => {
                let mut mariadbd = program(self.kind, "mariadbd");
                mariadbd.args(["--no-defaults", "--bind-address=127.0.0.1", "--performance-schema=0"]);
                // To the system at every commit: there it survives the server.
                mariadbd.args(["--innodb-flush-log-at-trx-commit=2", "--innodb-flush-method=nosync"]);
                mariadbd.args([
                    "--innodb-doublewrite=0",
                    "--innodb-buffer-pool-size=32M",
                    "--port",
                    &port,
                    "--user",
                    &me(),
                ]);
                mariadbd.arg(format!("--datadir={}", data.display()));
                mariadbd.arg(format!("--socket={}", self.folder.path().join("sock").display()));
                mariadbd.arg(format!("--pid-file={}", self.folder.path().join("pid").display()));
                mariadbd.args(options);
                mariadbd
            }
        };
        let log = std::fs::File::options().append(true).create(true).open(self.folder.path().join("log")).unwrap();
        let mut process = server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let login = self.login();
        wait_until("the server starts", || {
            if let Some(status) = process.try_wait().unwrap() {
                let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                panic!("the server has ended with {status}: {log}");
            }
            let mut client = login.client();
            client.args([if self.kind == Kind::Postgres { "-c" } else { "-e" }, "SELECT 1"]);
            client.stdin(Stdio::null()).output().unwrap().status.success()
        });
        self.process = Some(process);
    }

    /// Stops the server at once, as a crash does.
    pub(super) fn down(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        match self.kind {
            // Its processes end together.
            Kind::Postgres => signal(&process, "QUIT"),
            Kind::Mariadb => process.kill().unwrap(),
        }
        process.wait().unwrap();
    }

    /// Returns how its administrator logs in.
    pub(super) fn login(&self) -> Login {
        let database = match self.kind {
            Kind::Postgres => "postgres",
            Kind::Mariadb => "mysql",
        };
        Login {
            kind: self.kind,
            host: "127.0.0.1".to_owned(),
            port: self.port,
            user: "tester".to_owned(),
            password: "secret-of-the-machine".to_owned(),
            database: database.to_owned(),
            parameters: String::new(),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.down();
    }
}

/// Sends a process a signal.
pub(super) fn signal(process: &Child, name: &str) {
    let sent = Command::new("kill").args([format!("-{name}"), process.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Lets the server's user use a file or a folder; PostgreSQL refuses to run as root.
pub(super) fn give_to_server(kind: Kind, path: &Path) {
    if kind == Kind::Postgres && me() == "root" {
        assert!(Command::new("chown").arg("-R").arg("postgres:postgres").arg(path).status().unwrap().success());
    }
}

/// Returns who runs the tests.
pub(super) fn me() -> String {
    String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap().trim().to_owned()
}

/// Returns a command of the server's package, run by whom it takes.
fn program(kind: Kind, name: &str) -> Command {
    if kind == Kind::Mariadb {
        return Command::new(name);
    }
    // Where Debian keeps them, the newest version's.
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin").join(name)))
        })
        .filter(|(_, path)| path.exists())
        .collect();
    versions.sort();
    let path = versions.pop().map_or_else(|| name.into(), |(_, path)| path);
    let mut command = if me() == "root" {
        let mut as_postgres = Command::new("setpriv");
        as_postgres.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(path);
        as_postgres
    } else {
        Command::new(path)
    };
    command.env("LC_ALL", "C.UTF-8").current_dir("/");
    command
}
