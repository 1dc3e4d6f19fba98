//! Encrypted connections: what each mode accepts of what a server may have.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::machine::{Machine, give_to_server};
use super::{Database, Kind, Login};
use crate::common::World;

/// Certificates, made by `openssl`.
struct Certificates(PathBuf);

impl Certificates {
    fn new(folder: &Path) -> Self {
        let configuration = "[ca]\ndefault_ca = authority\n[authority]\ndatabase = index\nnew_certs_dir = .\n\
             rand_serial = yes\ndefault_md = sha256\npolicy = any\nunique_subject = no\ncopy_extensions = copyall\n\
             [any]\ncommonName = supplied\n";
        std::fs::write(folder.join("openssl.cnf"), configuration).unwrap();
        std::fs::write(folder.join("index"), "").unwrap();
        let certificates = Self(folder.to_owned());
        for authority in ["authority", "stranger"] {
            let output = pem(authority);
            let more = ["-x509", "-days", "2", "-out", &output].map(str::to_owned);
            certificates.openssl(&[&new_key(authority)[..], &more].concat());
        }
        for (name, authority, host, until) in [
            ("right", "authority", "IP:127.0.0.1,DNS:localhost", "20991231000000Z"),
            ("other-host", "authority", "DNS:elsewhere.example", "20991231000000Z"),
            ("expired", "authority", "IP:127.0.0.1", "20200201000000Z"),
            ("other-authority", "stranger", "IP:127.0.0.1", "20991231000000Z"),
            ("client", "authority", "DNS:certified", "20991231000000Z"),
        ] {
            certificates.request(name, host);
            let request = format!("{name}.csr");
            certificates.openssl(&[
                "ca",
                "-batch",
                "-notext",
                "-config",
                "openssl.cnf",
                "-in",
                &request,
                "-out",
                &pem(name),
                "-cert",
                &pem(authority),
                "-keyfile",
                &key(authority),
                "-startdate",
                "20200101000000Z",
                "-enddate",
                until,
            ]);
        }
        certificates.request("self-signed", "IP:127.0.0.1");
        certificates.openssl(&[
            "x509",
            "-req",
            "-in",
            "self-signed.csr",
            "-signkey",
            &key("self-signed"),
            "-days",
            "2",
            "-copy_extensions",
            "copyall",
            "-out",
            &pem("self-signed"),
        ]);
        certificates
    }

    fn request(&self, name: &str, host: &str) {
        let (host, request) = (format!("subjectAltName={host}"), format!("{name}.csr"));
        let subject = if name == "client" { "/CN=certified" } else { "/CN=127.0.0.1" };
        let mut arguments = new_key(name);
        subject.clone_into(arguments.last_mut().unwrap());
        self.openssl(&[&arguments[..], &["-addext".into(), host, "-out".into(), request]].concat());
    }

    fn openssl<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) {
        let done = Command::new("openssl").args(arguments).current_dir(&self.0).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    fn path(&self, file: &str) -> String {
        self.0.join(file).to_str().unwrap().to_owned()
    }
}

/// Returns the arguments that make a key, with its subject last.
fn new_key(name: &str) -> Vec<String> {
    let (key, subject) = (key(name), format!("/CN=The {name} of the tests"));
    let arguments = [
        "req",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-keyout",
        &key,
        "-subj",
        &subject,
    ];
    arguments.map(str::to_owned).to_vec()
}

fn key(name: &str) -> String {
    format!("{name}.key")
}

fn pem(name: &str) -> String {
    format!("{name}.pem")
}

/// Returns the options with which a server has a certificate, and trusts the authority's for clients.
fn with_certificate(kind: Kind, certificates: &Certificates, name: &str) -> Vec<String> {
    let (certificate, key, authority) =
        (certificates.path(&pem(name)), certificates.path(&key(name)), certificates.path(&pem("authority")));
    match kind {
        Kind::Postgres => vec![
            "ssl=on".to_owned(),
            format!("ssl_cert_file={certificate}"),
            format!("ssl_key_file={key}"),
            format!("ssl_ca_file={authority}"),
        ],
        Kind::Mariadb => {
            vec![format!("--ssl-cert={certificate}"), format!("--ssl-key={key}"), format!("--ssl-ca={authority}")]
        }
    }
}

const MODES: [&str; 5] = ["disable", "prefer", "require", "verify-ca", "verify-full"];

/// What a server may have, and whether a connection comes about in each mode, where the URL names the authority.
const OUTCOMES: [(&str, [bool; 5]); 6] = [
    ("nothing", [true, true, false, false, false]),
    ("right", [true, true, true, true, true]),
    ("other-host", [true, true, true, true, false]),
    ("self-signed", [true, true, true, false, false]),
    ("other-authority", [true, true, true, false, false]),
    ("expired", [true, true, true, false, false]),
];

/// Returns the modes' and the files' other names.
fn other_names(parameters: &str) -> String {
    let mut other = parameters.replace("sslmode", "ssl-mode").replace("sslrootcert", "ssl-ca");
    for (ours, theirs) in [("sslcert", "ssl-cert"), ("sslkey", "ssl-key"), ("verify-full", "VERIFY_IDENTITY")] {
        other = other.replace(ours, theirs);
    }
    other.replace("=require", "=REQUIRED").replace("=disable", "=DISABLED").replace("=prefer", "=PREFERRED")
}

fn every_mode(kind: Kind) {
    let mut machine = Machine::start(kind, &[]);
    let folder = machine.folder().join("certificates");
    std::fs::create_dir(&folder).unwrap();
    let certificates = Certificates::new(&folder);
    give_to_server(kind, &folder);
    let world = World::new();
    let repo = world.sample("project");
    let database = Database::on(&machine.login());
    database.used_by(&repo).tomb_ok(&["init", "--no-hooks"]);
    // Two users who may not come in the clear, one of them with a certificate only.
    let (hba, users) = (
        machine.folder().join("data/pg_hba.conf"),
        match kind {
            Kind::Postgres => {
                "CREATE ROLE secure LOGIN SUPERUSER PASSWORD 'pw-secure'; CREATE ROLE certified LOGIN SUPERUSER"
            }
            Kind::Mariadb => {
                "CREATE USER secure@'127.0.0.1' IDENTIFIED BY 'pw-secure' REQUIRE SSL;
            CREATE USER certified@'127.0.0.1' REQUIRE X509; GRANT ALL ON *.* TO secure@'127.0.0.1';
            GRANT ALL ON *.* TO certified@'127.0.0.1'"
            }
        },
    );
    database.login.sql(users);
    if kind == Kind::Postgres {
        let rules = std::fs::read_to_string(&hba).unwrap();
        let ours = "hostssl all certified all cert\nhostssl all secure all scram-sha-256\nhost all secure,certified all reject\n";
        std::fs::write(&hba, format!("{ours}{rules}")).unwrap();
    }
    let authority = format!("&sslrootcert={}", certificates.path("authority.pem"));
    let check = |login: &Login, parameters: &str, works: bool, what: &str| {
        let login = Login { parameters: parameters.to_owned(), ..login.clone() };
        let run = repo.with("CODEX_ARCHIVE_URL", login.url()).tomb(&["list"]);
        let what = format!("{kind:?}, {what}: {parameters}: {run}");
        assert_eq!(run.code, Some(if works { 0 } else { 6 }), "{what}");
        if !works && login.user == "tester" {
            let error = run.stderr_text();
            assert!(error.contains("error: no connection to the archive `"), "{what}");
            assert!(error.contains("that satisfies its URL\n  caused by: "), "{what}");
            assert!(error.contains("hint: check `sslmode` and the certificates in the URL"), "{what}");
        }
        assert!(!run.all_text().contains(&login.password), "{what}");
    };
    for (server, outcomes) in OUTCOMES {
        if server != "nothing" {
            machine.down();
            machine.up(&with_certificate(kind, &certificates, server));
        }
        for (mode, works) in MODES.into_iter().zip(outcomes) {
            check(&database.login, &format!("?sslmode={mode}{authority}"), works, server);
        }
        // The default is to encrypt where that is offered, and without an authority of ours none of these is trusted.
        check(&database.login, "", true, server);
        check(&database.login, "?sslmode=verify-full", false, server);
        if server == "right" {
            // Whom to trust is the URL's word and not the environment's.
            let strict = Login { parameters: "?sslmode=verify-full".to_owned(), ..database.login.clone() };
            let trusting = repo.with("PGSSLROOTCERT", certificates.path("authority.pem"));
            trusting.with("CODEX_ARCHIVE_URL", strict.url()).tomb(&["list"]).exits(6);
            for (mode, works) in MODES.into_iter().zip(outcomes) {
                check(&database.login, &other_names(&format!("?sslmode={mode}{authority}")), works, server);
                let secure =
                    Login { user: "secure".to_owned(), password: "pw-secure".to_owned(), ..database.login.clone() };
                // That it is encrypted is the server's word.
                check(&secure, &format!("?sslmode={mode}{authority}"), mode != "disable", server);
            }
            let certified = Login { user: "certified".to_owned(), ..database.login.clone() };
            let client =
                format!("&sslcert={}&sslkey={}", certificates.path("client.pem"), certificates.path("client.key"));
            let with_client = format!("?sslmode=verify-full{authority}{client}");
            // PostgreSQL asks this user for nothing but the certificate; MariaDB's has no password either.
            let url = |parameters: &str| {
                let login = Login { parameters: parameters.to_owned(), ..certified.clone() };
                login.url().replace(&format!(":{}@", login.password), "@")
            };
            for (parameters, code) in [
                (with_client.clone(), 0),
                (other_names(&with_client), 0),
                (format!("?sslmode=verify-full{authority}"), 6),
            ] {
                repo.with("CODEX_ARCHIVE_URL", url(&parameters)).tomb(&["list"]).exits(code);
            }
            // Files that are not there, and not certificates.
            for file in [certificates.path("missing.pem"), certificates.path("index"), certificates.path("openssl.cnf")]
            {
                check(&database.login, &format!("?sslmode=verify-full&sslrootcert={file}"), false, server);
            }
        }
    }
}

#[test]
fn postgres_is_trusted_as_the_url_says() {
    every_mode(Kind::Postgres);
}

#[test]
fn mariadb_is_trusted_as_the_url_says() {
    every_mode(Kind::Mariadb);
}
