//! The command line as clap sees it. Each command's own arguments stand with the command.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::commands::{
    approve, batch_restore, batch_store, cat, config_show, diff, doctor, evidence, export, grep, health_check, hold,
    hooks, init, list, migrate, pr_body, prune_request, purge, report, resolve, restore, retention, schema, show,
    status, store, textconv, trust, verify,
};

/// Take files out of a git repository without losing them
///
/// `store` puts the bytes of tracked files into an archive, leaves a small tombstone stub at each path and stages the
/// change together with tamper-evident evidence. `verify` checks stubs against evidence, and `restore` brings files
/// back bit for bit.
///
/// Not to be confused with git-archive(1), which makes tar and zip files.
#[derive(Debug, Parser)]
#[command(name = "git archive-tomb", bin_name = "git archive-tomb", version, disable_help_subcommand = true)]
#[command(after_long_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: GlobalArguments,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    the operation failed, a check found problems, or part of a batch failed
  2    usage, configuration, trust, or an unsupported repository
  3    no such tombstone
  4    refused by governance (hold, approvals, retention, purged)
  5    integrity: bytes that were asked for do not match their digest
  6    archive unreachable or login refused
  130  interrupted";

/// Options that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArguments {
    /// Run as if started in DIR; may be repeated
    #[arg(short = 'C', value_name = "DIR", global = true)]
    pub(crate) directories: Vec<PathBuf>,
    /// Read this configuration file instead of `.codex/archive.toml`
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config_file: Option<PathBuf>,
    /// Show what is usually hidden, URLs with their credentials included
    #[arg(long, global = true)]
    pub(crate) debug: bool,
    /// Say only what went wrong
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say more; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// When to use colour
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto", hide_default_value = true)]
    pub(crate) color: ColorChoice,
    /// Print results as JSON, one object per line
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// When output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The commands, in the order a newcomer meets them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::InitArguments),
    Store(store::StoreArguments),
    BatchStore(batch_store::BatchStoreArguments),
    Restore(restore::RestoreArguments),
    Resolve(resolve::ResolveArguments),
    BatchRestore(batch_restore::BatchRestoreArguments),
    Status(status::StatusArguments),
    List(list::ListArguments),
    Show(show::ShowArguments),
    Cat(cat::CatArguments),
    Diff(diff::DiffArguments),
    Grep(grep::GrepArguments),
    Verify(verify::VerifyArguments),
    Evidence(evidence::EvidenceArguments),
    PrBody(pr_body::PrBodyArguments),
    PruneRequest(prune_request::PruneRequestArguments),
    Approve(approve::ApproveArguments),
    Purge(purge::PurgeArguments),
    Hold(hold::HoldArguments),
    Retention(retention::RetentionArguments),
    Hooks(hooks::HooksArguments),
    Doctor(doctor::DoctorArguments),
    HealthCheck(health_check::HealthCheckArguments),
    Export(export::ExportArguments),
    Report(report::ReportArguments),
    Migrate(migrate::MigrateArguments),
    ConfigShow(config_show::ConfigShowArguments),
    Trust(trust::TrustArguments),
    Schema(schema::SchemaArguments),
    Textconv(textconv::TextconvArguments),
}

/// Who acts: the same two spellings wherever a command records an actor.
#[derive(Debug, Args)]
pub(crate) struct ActorArguments {
    /// Who does this; by default `CODEX_ACTOR`, else git's `user.name <user.email>`
    #[arg(long, alias = "actor", value_name = "ACTOR")]
    pub(crate) by: Option<String>,
}

/// Parses `KEY=VALUE`.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}
