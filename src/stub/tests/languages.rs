//! Each stub is valid in its language, by that language's own parser, and a loud one fails when it is used.
//!
//! Tools that this machine lacks are skipped; the tests print which ran. Python, Node, Bash and Perl have to be there.

use std::fs;
use std::process::{Command, Output};

use rayon::prelude::*;
use tempfile::TempDir;

use super::*;

/// How a parser is asked about a file, which `FILE` stands for.
#[derive(Clone, Copy)]
struct Check {
    /// The file, whose name chooses the template.
    file: &'static str,
    style: Style,
    command: &'static [&'static str],
}

const fn check(file: &'static str, style: Style, command: &'static [&'static str]) -> Check {
    Check { file, style, command }
}

const PYTHON_XML: &str = "import sys, xml.etree.ElementTree as t; t.parse(sys.argv[1])";
const PYTHON_CSV: &str = "import sys, csv; assert {len(r) for r in csv.reader(open(sys.argv[1], encoding='utf-8', newline=''), strict=True)} == {1}";
const PYTHON_HTML: &str = "
import sys, html.parser
class P(html.parser.HTMLParser):
    def handle_starttag(self, tag, attrs): assert tag in ('title', 'script'), tag
    def handle_data(self, data): assert data.strip() in ('', 'Archived') or 'archived: run' in data, data
    def handle_pi(self, data): assert False, data
P(convert_charrefs=True).feed(open(sys.argv[1], encoding='utf-8').read())";
const PYTHON_RST: &str = "
import sys, docutils.core, docutils.utils
d = docutils.core.publish_doctree(open(sys.argv[1], encoding='utf-8').read(), settings_overrides={'halt_level': 2})
assert [n.tagname for n in d.children] == ['comment'], d";
const PYTHON_JINJA: &str = "import sys, jinja2; assert jinja2.Environment().from_string(open(sys.argv[1], encoding='utf-8').read()).render().strip() == ''";

/// One check per line.
#[rustfmt::skip]
const CHECKS: &[Check] = &[
    check("a.py", Style::Comment, &["python3", "-c", "import ast, sys; assert not ast.parse(open(sys.argv[1], 'rb').read()).body", "FILE"]),
    check("a.py", Style::Loud, &["python3", "-c", "import ast, sys; assert len(ast.parse(open(sys.argv[1], 'rb').read()).body) == 2", "FILE"]),
    check("a.js", Style::Comment, &["node", "--check", "FILE"]),
    check("a.js", Style::Loud, &["node", "--check", "FILE"]),
    check("a.cjs", Style::Loud, &["node", "--check", "FILE"]),
    check("a.mjs", Style::Comment, &["node", "--check", "FILE"]),
    check("a.mjs", Style::Loud, &["node", "--check", "FILE"]),
    check("a.sh", Style::Comment, &["sh", "-n", "FILE"]),
    check("a.sh", Style::Loud, &["bash", "-n", "FILE"]),
    check("a.sh", Style::Loud, &["dash", "-n", "FILE"]),
    check("a.zsh", Style::Loud, &["zsh", "-n", "FILE"]),
    check("a.fish", Style::Loud, &["fish", "-n", "FILE"]),
    check("a.csh", Style::Loud, &["csh", "-n", "FILE"]),
    check("a.pl", Style::Comment, &["perl", "-c", "FILE"]),
    check("a.pl", Style::Loud, &["perl", "-c", "FILE"]),
    check("a.rb", Style::Loud, &["ruby", "-c", "FILE"]),
    check("a.php", Style::Comment, &["php", "-l", "FILE"]),
    check("a.php", Style::Loud, &["php", "-l", "FILE"]),
    check("a.lua", Style::Loud, &["luac", "-p", "FILE"]),
    check("a.r", Style::Loud, &["Rscript", "-e", "invisible(parse(commandArgs(TRUE)[1]))", "FILE"]),
    check("a.tcl", Style::Comment, &["tclsh", "FILE"]),
    check("a.awk", Style::Comment, &["awk", "-f", "FILE", "/dev/null"]),
    check("a.sed", Style::Comment, &["sed", "-n", "-f", "FILE", "/dev/null"]),
    check("a.jq", Style::Comment, &["jq", "-n", "-f", "FILE"]),
    check("Makefile", Style::Comment, &["make", "-f", "FILE", "--eval=all:", "all"]),
    check("a.vim", Style::Comment, &["vim", "-u", "NONE", "-i", "NONE", "-n", "-es", "-S", "FILE", "-c", "qall!"]),
    check("a.c", Style::Comment, &["gcc", "-fsyntax-only", "-std=c89", "-trigraphs", "-Wall", "-Werror", "FILE"]),
    check("a.cpp", Style::Comment, &["g++", "-fsyntax-only", "-Wall", "-Werror", "FILE"]),
    check("a.s", Style::Comment, &["as", "-o", "/dev/null", "FILE"]),
    check("a.rs", Style::Comment, &["rustc", "--edition", "2024", "--crate-type", "lib", "--emit", "metadata", "-D", "warnings", "-o", "out", "FILE"]),
    check("a.java", Style::Comment, &["javac", "-encoding", "UTF-8", "-Werror", "-d", ".", "FILE"]),
    check("a.go", Style::Comment, &["gofmt", "-l", "-e", "FILE"]),
    check("a.nix", Style::Loud, &["nix-instantiate", "--parse", "FILE"]),
    check("a.json", Style::Auto, &["python3", "-c", "import json, sys; assert len(json.load(open(sys.argv[1], encoding='utf-8'))) == 1", "FILE"]),
    check("a.json", Style::Auto, &["jq", "-e", ".[\"git-archive-tomb\"].tombstone", "FILE"]),
    check("a.ipynb", Style::Auto, &["jq", "-e", ".", "FILE"]),
    check("a.jsonl", Style::Auto, &["python3", "-c", "import json, sys; assert [len(json.loads(l)) for l in open(sys.argv[1], encoding='utf-8')] == [1]", "FILE"]),
    check("a.toml", Style::Auto, &["python3", "-c", "import tomllib, sys; assert tomllib.load(open(sys.argv[1], 'rb')) == {}", "FILE"]),
    check("a.yaml", Style::Auto, &["python3", "-c", "import yaml, sys; assert yaml.safe_load(open(sys.argv[1], encoding='utf-8')) is None", "FILE"]),
    check("a.ini", Style::Auto, &["python3", "-c", "import configparser, sys; c = configparser.ConfigParser(); c.read(sys.argv[1], encoding='utf-8'); assert not c.sections()", "FILE"]),
    check("a.ini", Style::Auto, &["git", "config", "-f", "FILE", "--list"]),
    check(".gitconfig", Style::Auto, &["git", "config", "-f", "FILE", "--list"]),
    check(".gitmodules", Style::Auto, &["git", "config", "-f", "FILE", "--list"]),
    check("a.csv", Style::Auto, &["python3", "-c", PYTHON_CSV, "FILE"]),
    check("a.xml", Style::Auto, &["python3", "-c", PYTHON_XML, "FILE"]),
    check("a.xml", Style::Auto, &["xmllint", "--noout", "FILE"]),
    check("a.svg", Style::Auto, &["python3", "-c", PYTHON_XML, "FILE"]),
    check("a.xhtml", Style::Auto, &["python3", "-c", PYTHON_XML, "FILE"]),
    check("a.html", Style::Auto, &["python3", "-c", PYTHON_HTML, "FILE"]),
    check("a.md", Style::Auto, &["python3", "-c", PYTHON_HTML, "FILE"]),
    check("a.vue", Style::Loud, &["python3", "-c", PYTHON_HTML, "FILE"]),
    check("a.rst", Style::Auto, &["python3", "-c", PYTHON_RST, "FILE"]),
    check("a.j2", Style::Auto, &["python3", "-c", PYTHON_JINJA, "FILE"]),
    check("a.sql", Style::Auto, &["sqlite3", "-bail", "-batch", ":memory:", ".read FILE"]),
    check("a.po", Style::Auto, &["msgfmt", "-o", "/dev/null", "FILE"]),
    check("a.1", Style::Auto, &["groff", "-ww", "-man", "-Tutf8", "-z", "FILE"]),
    check("a.m4", Style::Auto, &["m4", "FILE"]),
    check("a.bib", Style::Auto, &["bibtex", "FILE"]),
];

/// Uses of loud stubs, which have to fail with the restore command in what they print.
#[rustfmt::skip]
const USES: &[Check] = &[
    check("a.py", Style::Auto, &["python3", "FILE"]),
    check("a.py", Style::Auto, &["python3", "-c", "import a"]),
    check("a.sh", Style::Auto, &["sh", "FILE"]),
    check("a.sh", Style::Auto, &["bash", "FILE"]),
    check("a.sh", Style::Auto, &["bash", "-ec", ". ./a.sh; echo survived"]),
    check("a.sh", Style::Auto, &["dash", "FILE"]),
    check("a.sh", Style::Auto, &["zsh", "FILE"]),
    check("a.fish", Style::Auto, &["fish", "FILE"]),
    check("a.csh", Style::Auto, &["csh", "FILE"]),
    check("a.js", Style::Auto, &["node", "FILE"]),
    check("a.js", Style::Auto, &["node", "-e", "require('./a.js')"]),
    check("a.js", Style::Auto, &["node", "--input-type=module", "-e", "import './a.js'"]),
    check("a.cjs", Style::Auto, &["node", "--input-type=module", "-e", "import x from './a.cjs'"]),
    check("a.mjs", Style::Auto, &["node", "FILE"]),
    check("a.mjs", Style::Auto, &["node", "--input-type=module", "-e", "import { x } from './a.mjs'"]),
    check("a.mjs", Style::Auto, &["node", "--input-type=module", "-e", "import x from './a.mjs'"]),
    check("a.pl", Style::Auto, &["perl", "FILE"]),
    check("a.pm", Style::Auto, &["perl", "-I.", "-e", "use a;"]),
    check("a.rb", Style::Auto, &["ruby", "FILE"]),
    check("a.php", Style::Auto, &["php", "FILE"]),
    check("a.lua", Style::Auto, &["lua", "FILE"]),
    check("a.r", Style::Auto, &["Rscript", "FILE"]),
    check("a.tcl", Style::Auto, &["tclsh", "FILE"]),
    check("a.awk", Style::Auto, &["awk", "-f", "FILE", "/dev/null"]),
    check("a.jq", Style::Auto, &["jq", "-n", "-f", "FILE"]),
    check("Makefile", Style::Auto, &["make", "-f", "FILE"]),
    check("a.cmake", Style::Auto, &["cmake", "-P", "FILE"]),
    check("a.ps1", Style::Auto, &["pwsh", "-File", "FILE"]),
    check("a.jl", Style::Auto, &["julia", "FILE"]),
    check("a.vim", Style::Auto, &["vim", "-u", "NONE", "-i", "NONE", "-n", "-es", "-V1", "-S", "FILE", "-c", "cquit"]),
    check("a.c", Style::Loud, &["gcc", "-fsyntax-only", "FILE"]),
    check("a.cpp", Style::Loud, &["g++", "-fsyntax-only", "FILE"]),
    check("a.rs", Style::Loud, &["rustc", "--crate-type", "lib", "FILE"]),
    check("a.ml", Style::Loud, &["ocaml", "FILE"]),
    check("a.exs", Style::Auto, &["elixir", "FILE"]),
];

/// What has to be on every machine that runs these tests.
const REQUIRED: &[&str] = &["python3", "node", "bash", "perl"];

/// Python modules that only some machines have.
const OPTIONAL_MODULES: &[&str] = &["yaml", "docutils", "jinja2"];

/// Writes the stub for a check into an empty folder and runs the command there; `None` where there is no such program.
fn run(check: &Check, stub: &Stub) -> Option<Output> {
    let folder = TempDir::new().expect("makes a folder");
    let path = RepoPath::try_new(check.file).expect("is a path");
    let templates = Templates::built_in();
    let template = templates.choose(&path, &classify(&path, b""), check.style);
    let text = template.render(stub).expect("the stub is short").text;
    fs::write(folder.path().join(check.file), text).expect("writes the stub");
    let arguments = check.command[1..].iter().map(|argument| argument.replace("FILE", check.file));
    let mut command = Command::new(check.command[0]);
    command.args(arguments).current_dir(&folder).stdin(std::process::Stdio::null());
    command.envs([("LC_ALL", "C.UTF-8"), ("GIT_CONFIG_NOSYSTEM", "1"), ("PYTHONDONTWRITEBYTECODE", "1")]);
    command.env("HOME", folder.path());
    command.output().ok()
}

/// Returns whether the machine has `check`'s program, and the Python module that it asks.
fn is_at_hand(check: &Check) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has_program = std::env::split_paths(&path).any(|folder| folder.join(check.command[0]).is_file());
    assert!(has_program || !REQUIRED.contains(&check.command[0]), "`{}` has to be installed", check.command[0]);
    let has_module = |module: &&str| {
        let found = Command::new("python3").args(["-c", &format!("import {module}")]).output();
        found.is_ok_and(|output| output.status.success())
    };
    let code = check.command.join(" ");
    has_program && OPTIONAL_MODULES.iter().filter(|module| code.contains(**module)).all(has_module)
}

/// Runs every check whose program is at hand with each stub, prints which were, and panics with what `judge` objects to.
#[expect(clippy::print_stdout, reason = "whoever runs the tests should see which parsers were skipped")]
fn for_each(checks: &[Check], stubs: &[Stub], judge: impl Fn(&Stub, &Output) -> bool + Sync) {
    let (here, absent): (Vec<_>, Vec<_>) = checks.iter().copied().partition(is_at_hand);
    let failures: Vec<_> = here
        .par_iter()
        .flat_map_iter(|check| stubs.iter().map(move |stub| (check, stub)))
        .filter_map(|(check, stub)| {
            let output = run(check, stub).expect("the program starts");
            let printed = [&output.stdout[..], &output.stderr].concat();
            let failure = || format!("{:?} {}, {}: {}", check.command, check.file, stub.path, printed.as_bstr());
            (!judge(stub, &output)).then(failure)
        })
        .collect();
    let name = |check: &Check| format!("{} {}", check.command[0], check.file);
    println!("ran {}: {}", here.len(), here.iter().map(name).collect::<Vec<_>>().join(", "));
    println!("absent {}: {}", absent.len(), absent.iter().map(name).collect::<Vec<_>>().join(", "));
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

fn is_valid(_: &Stub, output: &Output) -> bool {
    output.status.success()
}

/// Returns a stub with all hostile values at once: a process for each value and parser would take minutes.
fn all_hostile() -> Stub {
    let all = HOSTILE.join(&b' ');
    stub(&all.replace("//", "/x/"), &String::from_utf8_lossy(&all))
}

#[test]
fn every_stub_is_valid_in_its_language() {
    for_each(CHECKS, &[usual()], is_valid);
}

#[test]
fn hostile_values_stay_in_their_comments() {
    for_each(CHECKS, &[all_hostile()], is_valid);
    // What another value beside it would hide stands alone.
    for (file, value) in [
        ("a.py", "coding: utf-7"),
        ("a.py", "coding=rot13"),
        ("a.rb", "coding: utf-7"),
        ("a.java", "u\\u000a\\u002a\\u002f }"),
        ("a.c", "a ??/x"),
        ("a.cpp", "a\\"),
        ("a.sh", "a\\"),
        ("a.ml", "'\"' {| \""),
    ] {
        let checks: Vec<_> = CHECKS.iter().filter(|check| check.file == file).copied().collect();
        for_each(&checks, &[stub(value.as_bytes(), value)], is_valid);
    }
}

#[test]
fn a_loud_stub_fails_with_the_restore_command() {
    for_each(USES, &[usual(), all_hostile()], |stub, output| {
        let printed = [&output.stdout[..], &output.stderr].concat().replace("\n", " ");
        let names_command = printed.contains_str(restore_command(&stub.tombstone));
        !output.status.success() && names_command && !printed.contains_str("survived")
    });
}
