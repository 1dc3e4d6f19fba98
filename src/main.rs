//! The command line of git-archive-tomb.

// `cli` belongs to the binary and not to the library, so the compiler keeps the library from printing.
mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
