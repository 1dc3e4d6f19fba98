# Sourced by scripts/test: the servers that the tests talk to, throwaway instances of their own.
# shellcheck shell=bash

# Installs the servers that are neither here nor named by a variable. Debian's packages would start services of their own.
install_servers() {
    local packages=() policy=/usr/sbin/policy-rc.d
    [[ -n ${ARCHIVE_TOMB_TEST_POSTGRES:-} || -n $(postgres_programs) ]] || packages+=(postgresql)
    [[ -n ${ARCHIVE_TOMB_TEST_MARIADB:-} ]] || command -v mariadbd >/dev/null || packages+=(mariadb-server)
    ((${#packages[@]} > 0)) || return 0
    if [[ -e $policy ]]; then
        install_packages "${packages[@]}"
    else
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy"
        install_packages "${packages[@]}" || { rm -f "$policy" && return 1; }
        rm -f "$policy"
    fi
}

# Prints where Debian keeps the newest PostgreSQL's programs, if there is one.
postgres_programs() {
    find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1
}

# Starts a PostgreSQL in a temporary folder, reached by a socket and by a port of its own, and names it in
# ARCHIVE_TOMB_TEST_POSTGRES; a server that this variable names already is used as it is.
start_postgres() {
    [[ -z ${ARCHIVE_TOMB_TEST_POSTGRES:-} ]] || return 0
    local data port as=()
    PATH=$PATH:$(postgres_programs)
    data=$SERVERS/postgres port=$(free_port)
    mkdir "$data"
    if (($(id -u) == 0)); then
        # The server refuses to run as root.
        chown postgres:postgres "$data"
        as=(setpriv --reuid=postgres --regid=postgres --init-groups)
    fi
    # The password is real: a login that is refused is one of the tests.
    printf 'secret-of-the-tests\n' >"$SERVERS/password"
    "${as[@]}" env LC_ALL=C.UTF-8 initdb -D "$data" -A scram-sha-256 -U postgres --pwfile="$SERVERS/password" -E UTF8 \
        --locale=C.UTF-8 -N --no-instructions >"$SERVERS/postgres.log" 2>&1
    "${as[@]}" env LC_ALL=C.UTF-8 pg_ctl -D "$data" -w -s -l "$data/log" -o "-c listen_addresses=127.0.0.1 -p $port \
        -c unix_socket_directories=$data -c fsync=off -c synchronous_commit=off -c full_page_writes=off \
        -c max_connections=200" start
    export ARCHIVE_TOMB_TEST_POSTGRES="postgres://postgres:secret-of-the-tests@127.0.0.1:$port/postgres"
    STOP_POSTGRES=("${as[@]}" pg_ctl -D "$data" -m immediate -s stop)
}

# Starts a MariaDB likewise, and names it in ARCHIVE_TOMB_TEST_MARIADB.
start_mariadb() {
    [[ -z ${ARCHIVE_TOMB_TEST_MARIADB:-} ]] || return 0
    local data=$SERVERS/mariadb port user
    port=$(free_port) user=$(id -un)
    mariadb-install-db --no-defaults --datadir="$data" --auth-root-authentication-method=normal --skip-test-db \
        --user="$user" >"$SERVERS/mariadb.log" 2>&1
    mariadbd --no-defaults --user="$user" --datadir="$data" --socket="$SERVERS/mariadb.sock" --port="$port" \
        --bind-address=127.0.0.1 --pid-file="$SERVERS/mariadb.pid" --skip-log-bin --max-connections=400 \
        --innodb-flush-log-at-trx-commit=0 --innodb-flush-method=nosync --innodb-doublewrite=0 \
        --innodb-buffer-pool-size=64M --performance-schema=0 --log-error="$SERVERS/mariadb.log" &
    STOP_MARIADB=$!
    local admin=(mariadb --no-defaults --socket="$SERVERS/mariadb.sock" --user=root) waited=0
    until "${admin[@]}" -e 'SELECT 1' >/dev/null 2>&1; do
        if ((++waited > 600)) || ! kill -0 "$STOP_MARIADB" 2>/dev/null; then
            tail -n 20 "$SERVERS/mariadb.log" >&2
            return 1
        fi
        sleep 0.05
    done
    "${admin[@]}" -e "CREATE USER 'tester'@'127.0.0.1' IDENTIFIED BY 'secret-of-the-tests';
        GRANT ALL ON *.* TO 'tester'@'127.0.0.1' WITH GRANT OPTION"
    export ARCHIVE_TOMB_TEST_MARIADB="mariadb://tester:secret-of-the-tests@127.0.0.1:$port/mysql"
}

# Starts an S3 server with nothing in it likewise, and names it in ARCHIVE_TOMB_TEST_S3.
start_s3() {
    [[ -z ${ARCHIVE_TOMB_TEST_S3:-} ]] || return 0
    local port waited=0
    port=$(free_port)
    target/test-tools/venv/bin/moto_server --host 127.0.0.1 --port "$port" >"$SERVERS/s3.log" 2>&1 &
    STOP_S3=$!
    until (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
        if ((++waited > 600)) || ! kill -0 "$STOP_S3" 2>/dev/null; then
            tail -n 20 "$SERVERS/s3.log" >&2
            return 1
        fi
        sleep 0.05
    done
    export ARCHIVE_TOMB_TEST_S3="http://127.0.0.1:$port"
}

# Returns a port that nobody listens on.
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Starts the servers; they are gone when the script ends.
start_servers() {
    SERVERS=$(mktemp -d)
    chmod 755 "$SERVERS"
    trap stop_servers EXIT
    start_postgres
    start_mariadb
    start_s3
}

stop_servers() {
    [[ -z ${STOP_POSTGRES[*]:-} ]] || "${STOP_POSTGRES[@]}" || true
    if [[ -n ${STOP_MARIADB:-} ]]; then
        kill "$STOP_MARIADB" 2>/dev/null || true
        wait "$STOP_MARIADB" 2>/dev/null || true
    fi
    if [[ -n ${STOP_S3:-} ]]; then
        kill "$STOP_S3" 2>/dev/null || true
        wait "$STOP_S3" 2>/dev/null || true
    fi
    rm -rf "$SERVERS"
}
