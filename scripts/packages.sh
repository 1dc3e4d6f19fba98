# Sourced by the other scripts: what they need on a fresh machine.
# shellcheck shell=bash

# Installs Debian packages.
install_packages() {
    if ! command -v apt-get >/dev/null || (($(id -u) != 0)); then
        printf 'error: missing: %s\nhint: install these (names as in Debian), or run this as root on Debian\n' "$*" >&2
        return 1
    fi
    printf 'Installing %s\n' "$*" >&2
    local log
    log=$(mktemp)
    export DEBIAN_FRONTEND=noninteractive
    if ! { apt-get update && apt-get install --yes --no-install-recommends "$@"; } </dev/null >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

# Installs the Debian packages of those commands that are missing, each given as command=package.
install_missing() {
    local pair packages=()
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null || packages+=("${pair#*=}")
    done
    if ((${#packages[@]} > 0)); then
        install_packages "${packages[@]}"
    fi
}

# What it takes to build: the C libraries (SQLite, libgit2, zstd) are compiled from the sources in their crates.
install_build_tools() {
    install_missing git=git cc=build-essential
    local needed found
    needed=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    found=$(cargo --version 2>/dev/null | cut -d ' ' -f 2) || true
    # An old cargo would complain about `Cargo.toml` instead, in words of its own time.
    if [[ $(printf '%s\n' "$needed" "$found" | sort -V | head -n 1) != "$needed" ]]; then
        printf 'error: this needs Rust %s or newer, found %s\n' "$needed" "${found:-none}" >&2
        printf 'hint: rustup update stable, or install it as https://rustup.rs says\n' >&2
        return 1
    fi
}
