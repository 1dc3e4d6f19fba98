//! The set of templates: the built-in ones, and those of a repository before them.

use std::collections::BTreeMap;

use super::table::{self, Loud};
use super::template::{Template, TemplateError};
use super::types::{self, FileType};
use crate::item::{RepoPath, text_enum};

text_enum! {
    /// Whether a stub carries code that fails when it is used.
    Style, "a stub style (auto, loud or comment)" {
        /// Loud for what runs on import or execution, else comment.
        Auto = "auto",
        /// Fails with the restore command, where the language can.
        Loud = "loud",
        /// No code.
        Comment = "comment",
    }
}

/// The endings of template names.
const LOUD: &str = ".loud";
const COMMENT: &str = ".comment";

/// All templates that stubs of a repository are made with.
#[derive(Debug)]
pub struct Templates {
    built_in: BTreeMap<&'static str, Template>,
    overrides: BTreeMap<String, Template>,
}

impl Templates {
    /// Returns the built-in templates.
    pub fn built_in() -> Self {
        let parse = |(name, text)| (name, Template::parse(name, text).expect("built-in templates are tested"));
        Self { built_in: BUILT_IN.into_iter().map(parse).collect(), overrides: BTreeMap::new() }
    }

    /// Returns the built-in templates behind a repository's own, given as file names and texts of `.codex/stubs/`.
    pub fn with_overrides(files: impl IntoIterator<Item = (String, String)>) -> Result<Self, TemplateError> {
        let mut templates = Self::built_in();
        for (name, text) in files {
            if !is_override_name(&name) {
                return Err(TemplateError::Name { name });
            }
            let template = Template::parse(&name, &text)?;
            templates.overrides.insert(name, template);
        }
        Ok(templates)
    }

    /// Returns the template for `path`, which is a file of type `file`, in `style`.
    pub fn choose(&self, path: &RepoPath, file: &FileType, style: Style) -> &Template {
        let entry = file.entry();
        let wants_loud = match style {
            Style::Auto => matches!(entry.loud, Loud::Auto(_)) && !file.is_test,
            Style::Loud => true,
            Style::Comment => false,
        };
        let keys = types::keys(path, entry);
        let own = |ending| keys.iter().find_map(|key| self.overrides.get(&format!("{key}{ending}")));
        let loud = || match entry.loud {
            Loud::Never => None,
            Loud::Auto(name) | Loud::Asked(name) => self.built_in.get(format!("{name}{LOUD}").as_str()),
        };
        let comment = || self.built_in.get(format!("{}{COMMENT}", entry.comment).as_str());
        wants_loud
            .then(|| own(LOUD).or_else(loud))
            .flatten()
            .or_else(|| own(COMMENT))
            .or_else(comment)
            .expect("the table of types names built-in templates")
    }

    /// Returns the built-in templates by name.
    #[cfg(test)]
    pub(super) fn into_built_in(self) -> BTreeMap<&'static str, Template> {
        self.built_in
    }
}

/// Returns whether a file of `.codex/stubs/` is named as the templates there are.
fn is_override_name(name: &str) -> bool {
    let Some(key) = name.strip_suffix(LOUD).or_else(|| name.strip_suffix(COMMENT)) else { return false };
    match (key.strip_prefix("ext-"), key.strip_prefix("file-")) {
        (Some(extension), _) => !extension.is_empty() && extension == extension.to_ascii_lowercase(),
        (_, Some(file)) => !file.is_empty(),
        _ => table::holds(key),
    }
}

/// Lists the files of `stubs/` by name and text.
macro_rules! built_in {
    ($($name:literal),+ $(,)?) => {
        /// The built-in templates.
        const BUILT_IN: [(&str, &str); [$($name),+].len()] =
            [$(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/stubs/", $name)))),+];
    };
}

built_in![
    "apostrophe.comment",
    "applescript.loud",
    "awk.loud",
    "bang.comment",
    "batch.comment",
    "batch.loud",
    "bibtex.comment",
    "blade.comment",
    "block-error.loud",
    "block.comment",
    "clojure.loud",
    "cmake.loud",
    "cobol.comment",
    "coffeescript.loud",
    "component.loud",
    "crystal.loud",
    "csh.loud",
    "csv.comment",
    "d.loud",
    "dash.comment",
    "dhall.comment",
    "dnl.comment",
    "elixir.loud",
    "erb.comment",
    "erlang.loud",
    "esm.loud",
    "fish.loud",
    "forth.comment",
    "freemarker.comment",
    "fsharp.loud",
    "go.comment",
    "groovy.loud",
    "haml.comment",
    "handlebars.comment",
    "hash.comment",
    "html.comment",
    "javascript.loud",
    "jinja.comment",
    "jq.loud",
    "json.comment",
    "jsonl.comment",
    "jsonnet.comment",
    "jsonnet.loud",
    "jsp.comment",
    "julia.loud",
    "kotlin.loud",
    "lisp.comment",
    "lisp.loud",
    "lua.loud",
    "make.loud",
    "markup.comment",
    "matlab.loud",
    "mdx.comment",
    "meson.loud",
    "ml.comment",
    "nim.loud",
    "nix.comment",
    "nix.loud",
    "ocaml.loud",
    "percent.comment",
    "perl.loud",
    "php.comment",
    "php.loud",
    "powershell.loud",
    "pug.comment",
    "puppet.loud",
    "python.loud",
    "r.loud",
    "raku.loud",
    "razor.comment",
    "rego.comment",
    "roff.comment",
    "rst.comment",
    "ruby.loud",
    "rust.loud",
    "semicolon.comment",
    "shell.loud",
    "slash-error.loud",
    "slash.comment",
    "smarty.comment",
    "starlark.loud",
    "svg.comment",
    "swift.loud",
    "tcl.loud",
    "texinfo.comment",
    "text.comment",
    "typescript.loud",
    "vbscript.loud",
    "velocity.comment",
    "vim.comment",
    "vim.loud",
    "xml.comment",
    "zig.loud",
];
