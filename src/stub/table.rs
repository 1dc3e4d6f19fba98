//! The table of types of files: which names belong to each, and which templates it gets.

use Loud::{Asked, Auto, Never};

use crate::item::Kind;

/// One line of the table of types. Lists are separated by blanks.
#[derive(Debug)]
pub(super) struct Entry {
    /// The language, or what else the type is called; repositories name their templates by it.
    pub(super) id: &'static str,
    pub(super) kind: Kind,
    pub(super) mime: &'static str,
    /// The comment template, without its ending.
    pub(super) comment: &'static str,
    pub(super) loud: Loud,
    /// Extensions in lower case, without the dot; they may hold dots.
    pub(super) extensions: &'static str,
    /// Whole file names.
    pub(super) names: &'static str,
    /// Programs that a `#!` line names, without their version.
    pub(super) interpreters: &'static str,
}

/// Whether a type has a loud template, and whether the style `auto` takes it. The template is named without its ending.
#[derive(Debug, Clone, Copy)]
pub(super) enum Loud {
    /// It has none.
    Never,
    /// Only the style `loud` takes it: the type is compiled, or is data.
    Asked(&'static str),
    /// `auto` takes it too: the type runs when it is imported or executed.
    Auto(&'static str),
}

/// What no rule knows: text.
pub(super) static TEXT: Entry = Entry { id: "text", kind: Kind::Doc, mime: "text/plain", ..UNKNOWN };

/// What no rule knows: other bytes.
pub(super) static BINARY: Entry =
    Entry { id: "binary", kind: Kind::Asset, mime: "application/octet-stream", ..UNKNOWN };

/// What an entry says if nothing else is said.
const UNKNOWN: Entry = Entry {
    id: "",
    kind: Kind::Asset,
    mime: "",
    comment: "text",
    loud: Never,
    extensions: "",
    names: "",
    interpreters: "",
};

const fn code(
    id: &'static str,
    mime: &'static str,
    comment: &'static str,
    loud: Loud,
    extensions: &'static str,
) -> Entry {
    Entry { id, kind: Kind::Code, mime, comment, loud, extensions, ..UNKNOWN }
}

const fn doc(id: &'static str, mime: &'static str, comment: &'static str, extensions: &'static str) -> Entry {
    Entry { id, kind: Kind::Doc, mime, comment, extensions, ..UNKNOWN }
}

const fn asset(id: &'static str, mime: &'static str, comment: &'static str, extensions: &'static str) -> Entry {
    Entry { id, kind: Kind::Asset, mime, comment, extensions, ..UNKNOWN }
}

impl Entry {
    const fn named(self, names: &'static str) -> Self {
        Self { names, ..self }
    }

    const fn run_by(self, interpreters: &'static str) -> Self {
        Self { interpreters, ..self }
    }
}

/// Returns whether there is a type called `id`.
pub(super) fn holds(id: &str) -> bool {
    ALL.iter().chain([&TEXT, &BINARY]).any(|entry| entry.id == id)
}

/// The table of types.
#[rustfmt::skip]
pub(super) static ALL: &[Entry] = &[
    // Scripts: they run when they are imported or executed.
    code("python", "text/x-python", "hash", Auto("python"), "py pyw wsgi").named("SConstruct SConscript wscript").run_by("python pypy"),
    code("python.types", "text/x-python", "hash", Never, "pyi"),
    code("cython", "text/x-cython", "hash", Asked("python"), "pyx pxd pxi"),
    code("shell", "text/x-shellscript", "hash", Auto("shell"), "sh bash zsh ksh ash dash bats ebuild")
        .named(".bashrc .bash_profile .bash_aliases .profile .zshrc .zshenv .zprofile PKGBUILD APKBUILD .envrc").run_by("sh bash zsh ksh ash dash bats"),
    code("fish", "text/x-fish", "hash", Auto("fish"), "fish").run_by("fish"),
    code("csh", "text/x-csh", "hash", Auto("csh"), "csh tcsh").run_by("csh tcsh"),
    code("javascript", "text/javascript", "slash", Auto("javascript"), "js jsx cjs es6").run_by("node nodejs bun"),
    code("javascript.module", "text/javascript", "slash", Auto("esm"), "mjs"),
    code("typescript", "text/x-typescript", "slash", Auto("typescript"), "ts tsx mts cts").run_by("deno ts-node tsx"),
    code("typescript.types", "text/x-typescript", "slash", Never, "d.ts d.mts d.cts"),
    code("coffeescript", "text/x-coffeescript", "hash", Auto("coffeescript"), "coffee").run_by("coffee"),
    code("perl", "text/x-perl", "hash", Auto("perl"), "pl pm perl psgi t").run_by("perl"),
    code("raku", "text/x-raku", "hash", Auto("raku"), "raku rakumod rakutest p6 pm6").run_by("raku perl6"),
    code("ruby", "text/x-ruby", "hash", Auto("ruby"), "rb rake gemspec ru podspec jbuilder")
        .named("Gemfile Rakefile Vagrantfile Podfile Brewfile Fastfile Guardfile Capfile Berksfile").run_by("ruby jruby rake"),
    code("php", "application/x-php", "php", Auto("php"), "php phtml php3 php4 php5 php7 phps").run_by("php"),
    code("lua", "text/x-lua", "dash", Auto("lua"), "lua rockspec").run_by("lua luajit"),
    code("r", "text/x-r", "hash", Auto("r"), "r rprofile").named(".Rprofile").run_by("Rscript"),
    code("tcl", "text/x-tcl", "hash", Auto("tcl"), "tcl tk exp").run_by("tclsh wish expect"),
    code("awk", "text/x-awk", "hash", Auto("awk"), "awk gawk").run_by("awk gawk mawk"),
    code("sed", "text/x-sed", "hash", Never, "sed").run_by("sed"),
    code("jq", "text/x-jq", "hash", Auto("jq"), "jq").run_by("jq"),
    code("powershell", "text/x-powershell", "hash", Auto("powershell"), "ps1 psm1").run_by("pwsh powershell"),
    code("powershell.data", "text/x-powershell", "hash", Never, "psd1"),
    code("batch", "application/x-bat", "batch", Auto("batch"), "bat cmd"),
    code("vbscript", "text/vbscript", "apostrophe", Auto("vbscript"), "vbs wsf"),
    code("applescript", "text/x-applescript", "dash", Auto("applescript"), "applescript").run_by("osascript"),
    code("julia", "text/x-julia", "hash", Auto("julia"), "jl").run_by("julia"),
    code("matlab", "text/x-matlab", "percent", Auto("matlab"), "m").run_by("octave"),
    code("groovy", "text/x-groovy", "slash", Auto("groovy"), "groovy gvy gradle nf").named("Jenkinsfile").run_by("groovy nextflow"),
    code("kotlin.script", "text/x-kotlin", "slash", Auto("kotlin"), "kts"),
    code("fsharp.script", "text/x-fsharp", "slash", Auto("fsharp"), "fsx"),
    code("clojure", "text/x-clojure", "lisp", Auto("clojure"), "clj cljs cljc").run_by("bb clojure"),
    code("clojure.data", "application/edn", "lisp", Never, "edn"),
    code("lisp", "text/x-lisp", "lisp", Auto("lisp"), "lisp lsp el scm ss").named(".emacs").run_by("sbcl guile clisp emacs"),
    code("racket", "text/x-racket", "lisp", Never, "rkt"),
    code("elixir.script", "text/x-elixir", "hash", Auto("elixir"), "exs").run_by("elixir"),
    code("vim", "text/x-vim", "vim", Auto("vim"), "vim vimrc").named(".vimrc _vimrc .gvimrc vimrc"),
    code("gdscript", "text/x-gdscript", "hash", Never, "gd"),
    // Build files and configuration that runs.
    code("make", "text/x-makefile", "hash", Auto("make"), "mk mak").named("Makefile makefile GNUmakefile BSDmakefile Kbuild").run_by("make"),
    code("cmake", "text/x-cmake", "hash", Auto("cmake"), "cmake").named("CMakeLists.txt"),
    code("meson", "text/x-meson", "hash", Auto("meson"), "").named("meson.build meson_options.txt meson.options"),
    code("starlark", "text/x-starlark", "hash", Auto("starlark"), "bzl bazel star").named("BUILD WORKSPACE Tiltfile BUCK"),
    code("puppet", "text/x-puppet", "hash", Auto("puppet"), "pp"),
    code("nix", "text/x-nix", "nix", Auto("nix"), "nix"),
    code("jsonnet", "text/x-jsonnet", "jsonnet", Auto("jsonnet"), "jsonnet libsonnet"),
    code("dhall", "text/x-dhall", "dhall", Never, "dhall"),
    code("dockerfile", "text/x-dockerfile", "hash", Never, "dockerfile containerfile").named("Dockerfile Containerfile"),
    code("ninja", "text/x-ninja", "hash", Never, "ninja"),
    code("just", "text/x-just", "hash", Never, "just").named("justfile Justfile"),
    code("m4", "text/x-m4", "dnl", Never, "m4 ac").named("configure.in"),
    code("kconfig", "text/plain", "hash", Never, "").named("Kconfig"),
    // Compiled sources: an archived one drops out of the build.
    code("c", "text/x-c", "block", Asked("block-error"), "c h"),
    code("cpp", "text/x-c++", "slash", Asked("slash-error"), "cc cpp cxx c++ hh hpp hxx h++ ipp tpp inl ino cppm ixx"),
    code("cuda", "text/x-cuda", "slash", Asked("slash-error"), "cu cuh"),
    code("opencl", "text/x-opencl", "block", Asked("block-error"), "cl"),
    code("objective-c", "text/x-objective-c", "slash", Asked("slash-error"), "mm"),
    code("csharp", "text/x-csharp", "slash", Asked("slash-error"), "cs csx"),
    code("glsl", "text/x-glsl", "slash", Asked("slash-error"), "glsl vert frag geom comp hlsl metal fx"),
    code("haxe", "text/x-haxe", "slash", Asked("slash-error"), "hx"),
    code("assembly", "text/x-asm", "block", Never, "s"),
    code("asm", "text/x-asm", "semicolon", Never, "asm nasm"),
    code("go", "text/x-go", "go", Never, "go"),
    code("go-module", "text/plain", "slash", Never, "").named("go.mod go.work"),
    code("rust", "text/x-rust", "slash", Asked("rust"), "rs"),
    code("swift", "text/x-swift", "slash", Asked("swift"), "swift"),
    code("zig", "text/x-zig", "slash", Asked("zig"), "zig"),
    code("zon", "text/x-zig", "slash", Never, "zon"),
    code("java", "text/x-java", "slash", Never, "java"),
    code("kotlin", "text/x-kotlin", "slash", Never, "kt"),
    code("scala", "text/x-scala", "slash", Never, "scala sc sbt"),
    code("dart", "text/x-dart", "slash", Never, "dart"),
    code("d", "text/x-d", "slash", Asked("d"), "d di"),
    code("nim", "text/x-nim", "hash", Asked("nim"), "nim nims nimble"),
    code("crystal", "text/x-crystal", "hash", Asked("crystal"), "cr"),
    code("elixir", "text/x-elixir", "hash", Asked("elixir"), "ex"),
    code("erlang", "text/x-erlang", "percent", Asked("erlang"), "erl hrl"),
    code("prolog", "text/x-prolog", "percent", Never, "prolog pro").run_by("swipl"),
    code("ocaml", "text/x-ocaml", "ml", Asked("ocaml"), "ml"),
    code("ocaml.interface", "text/x-ocaml", "ml", Never, "mli mll mly"),
    code("standard-ml", "text/x-sml", "ml", Never, "sml sig"),
    code("coq", "text/x-coq", "ml", Never, "coq"),
    code("fsharp", "text/x-fsharp", "slash", Never, "fs fsi"),
    code("haskell", "text/x-haskell", "dash", Never, "hs hsc"),
    code("elm", "text/x-elm", "dash", Never, "elm"),
    code("purescript", "text/x-purescript", "dash", Never, "purs"),
    code("ada", "text/x-ada", "dash", Never, "adb ads"),
    code("lean", "text/x-lean", "dash", Never, "lean"),
    code("pascal", "text/x-pascal", "slash", Never, "pas dpr lpr"),
    code("fortran", "text/x-fortran", "bang", Never, "f f77 f90 f95 f03 f08 for"),
    code("cobol", "text/x-cobol", "cobol", Never, "cob cbl cpy"),
    code("forth", "text/x-forth", "forth", Never, "fth 4th forth"),
    code("visual-basic", "text/x-vb", "apostrophe", Never, "vb bas"),
    code("solidity", "text/x-solidity", "slash", Never, "sol"),
    code("verilog", "text/x-verilog", "slash", Never, "v sv svh vh"),
    code("vhdl", "text/x-vhdl", "dash", Never, "vhd vhdl"),
    code("wgsl", "text/wgsl", "slash", Never, "wgsl"),
    code("webassembly", "text/x-wat", "lisp", Never, "wat wast"),
    code("llvm", "text/x-llvm", "semicolon", Never, "ll"),
    code("rego", "text/x-rego", "rego", Never, "rego"),
    code("protobuf", "text/x-protobuf", "slash", Never, "proto"),
    code("thrift", "text/x-thrift", "slash", Never, "thrift"),
    code("graphql", "application/graphql", "hash", Never, "graphql gql graphqls"),
    code("sql", "application/sql", "dash", Never, "sql ddl dml psql pgsql plsql"),
    code("terraform", "text/x-hcl", "hash", Never, "tf tfvars hcl"),
    code("cue", "text/x-cue", "slash", Never, "cue"),
    // Components, templates and styles.
    code("vue", "text/x-vue", "markup", Auto("component"), "vue"),
    code("svelte", "text/x-svelte", "markup", Auto("component"), "svelte"),
    code("css", "text/css", "block", Never, "css scss less pcss"),
    code("sass", "text/x-sass", "slash", Never, "sass"),
    code("stylus", "text/x-stylus", "slash", Never, "styl"),
    code("erb", "text/x-erb", "erb", Never, "erb ejs rhtml html.erb html.ejs"),
    code("jsp", "text/x-jsp", "jsp", Never, "jsp jspf tag aspx ascx asp"),
    code("jinja", "text/x-jinja", "jinja", Never, "j2 jinja jinja2 twig njk"),
    code("handlebars", "text/x-handlebars", "handlebars", Never, "hbs handlebars mustache"),
    code("blade", "text/x-blade", "blade", Never, "blade.php"),
    code("razor", "text/x-razor", "razor", Never, "cshtml razor vbhtml"),
    code("smarty", "text/x-smarty", "smarty", Never, "tpl"),
    code("freemarker", "text/x-freemarker", "freemarker", Never, "ftl"),
    code("velocity", "text/x-velocity", "velocity", Never, "vm"),
    code("pug", "text/x-pug", "pug", Never, "pug jade"),
    code("haml", "text/x-haml", "haml", Never, "haml"),
    // Configuration and data.
    code("json", "application/json", "json", Never, "json json5 jsonc geojson webmanifest har avsc tfstate code-workspace importmap topojson gltf jsonld")
        .named(".babelrc .eslintrc .prettierrc .stylelintrc .jshintrc .swcrc composer.lock Pipfile.lock flake.lock"),
    code("notebook", "application/x-ipynb+json", "json", Never, "ipynb"),
    asset("json-lines", "application/x-ndjson", "jsonl", "jsonl ndjson"),
    code("yaml", "application/yaml", "hash", Never, "yaml yml cff sls").named(".clang-format .clang-tidy .clangd .yamllint pubspec.lock"),
    code("toml", "application/toml", "hash", Never, "toml").named("Cargo.lock poetry.lock Pipfile uv.lock"),
    code("ini", "text/plain", "semicolon", Never, "ini inf reg url").named(".gitconfig .npmrc .pylintrc .flake8"),
    code("conf", "text/plain", "hash", Never, "cfg conf cnf config properties env desktop service socket timer target mount network toc rules lock")
        .named(".gitignore .gitattributes .gitmodules .dockerignore .npmignore .eslintignore .prettierignore .hgignore .helmignore \
                .editorconfig .env .htaccess .mailmap .git-blame-ignore-revs .python-version .ruby-version .nvmrc .tool-versions \
                CODEOWNERS Procfile requirements.txt requirements-dev.txt dev-requirements.txt constraints.txt robots.txt MANIFEST.in \
                .coveragerc .curlrc .wgetrc .inputrc .tmux.conf"),
    code("xml", "application/xml", "xml", Never, "xml xsd xsl xslt wsdl plist csproj vbproj fsproj vcxproj props targets resx xaml xul rss atom kml gpx \
         graphml ui qrc pom storyboard xib iml nuspec fxml jnlp xliff xlf tmx dita ditamap opf ncx wxs").named("packages.config web.config Web.config app.config App.config"),
    doc("html", "text/html", "html", "html htm"),
    doc("xhtml", "application/xhtml+xml", "xml", "xhtml"),
    asset("svg", "image/svg+xml", "svg", "svg"),
    asset("csv", "text/csv", "csv", "csv"),
    asset("tsv", "text/tab-separated-values", "csv", "tsv tab psv"),
    asset("dot", "text/vnd.graphviz", "slash", "dot gv"),
    asset("mermaid", "text/vnd.mermaid", "percent", "mmd mermaid"),
    asset("plantuml", "text/x-plantuml", "apostrophe", "puml plantuml pu"),
    asset("gettext", "text/x-gettext-translation", "hash", "po pot"),
    asset("postscript", "application/postscript", "percent", "ps eps"),
    asset("diff", "text/x-diff", "text", "diff patch"),
    // Documents.
    doc("markdown", "text/markdown", "markup", "md markdown mkd mdown rmd qmd"),
    doc("mdx", "text/mdx", "mdx", "mdx"),
    doc("rst", "text/x-rst", "rst", "rst rest"),
    doc("asciidoc", "text/asciidoc", "slash", "adoc asciidoc asc"),
    doc("org", "text/x-org", "hash", "org"),
    doc("tex", "text/x-tex", "percent", "tex sty cls ltx dtx tikz"),
    doc("bibtex", "text/x-bibtex", "bibtex", "bib bst"),
    doc("roff", "text/troff", "roff", "1 2 3 4 5 6 7 8 9 man mdoc roff me ms"),
    doc("texinfo", "text/x-texinfo", "texinfo", "texi texinfo txi"),
    doc("typst", "text/x-typst", "slash", "typ"),
    code("gherkin", "text/x-gherkin", "hash", Never, "feature"),
    code("robot", "text/x-robotframework", "hash", Never, "robot resource"),
    // What has no comments: bare lines.
    doc("plain", "text/plain", "text", "txt text log pod").named("README LICENSE COPYING NOTICE AUTHORS CHANGELOG CONTRIBUTORS INSTALL TODO VERSION"),
    doc("pdf", "application/pdf", "text", "pdf"),
    doc("word", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "text", "docx"),
    asset("spreadsheet", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "text", "xlsx"),
    doc("slides", "application/vnd.openxmlformats-officedocument.presentationml.presentation", "text", "pptx"),
    doc("opendocument", "application/vnd.oasis.opendocument.text", "text", "odt"),
    asset("png", "image/png", "text", "png"),
    asset("jpeg", "image/jpeg", "text", "jpg jpeg"),
    asset("gif", "image/gif", "text", "gif"),
    asset("webp", "image/webp", "text", "webp"),
    asset("avif", "image/avif", "text", "avif"),
    asset("icon", "image/vnd.microsoft.icon", "text", "ico"),
    asset("bitmap", "image/bmp", "text", "bmp"),
    asset("tiff", "image/tiff", "text", "tif tiff"),
    asset("photoshop", "image/vnd.adobe.photoshop", "text", "psd"),
    asset("mp3", "audio/mpeg", "text", "mp3"),
    asset("wav", "audio/wav", "text", "wav"),
    asset("ogg", "audio/ogg", "text", "ogg oga opus"),
    asset("flac", "audio/flac", "text", "flac"),
    asset("mp4", "video/mp4", "text", "mp4 m4v"),
    asset("webm", "video/webm", "text", "webm"),
    asset("quicktime", "video/quicktime", "text", "mov"),
    asset("woff", "font/woff", "text", "woff"),
    asset("woff2", "font/woff2", "text", "woff2"),
    asset("truetype", "font/ttf", "text", "ttf"),
    asset("opentype", "font/otf", "text", "otf"),
    asset("zip", "application/zip", "text", "zip jar war whl apk"),
    asset("gzip", "application/gzip", "text", "gz tgz"),
    asset("tar", "application/x-tar", "text", "tar"),
    asset("zstd", "application/zstd", "text", "zst"),
    asset("xz", "application/x-xz", "text", "xz"),
    asset("bzip2", "application/x-bzip2", "text", "bz2"),
    asset("7zip", "application/x-7z-compressed", "text", "7z"),
    asset("sqlite", "application/vnd.sqlite3", "text", "sqlite sqlite3 db"),
    asset("parquet", "application/vnd.apache.parquet", "text", "parquet"),
    asset("wasm", "application/wasm", "text", "wasm"),
    asset("pem", "application/x-pem-file", "text", "pem crt cer key"),
];
