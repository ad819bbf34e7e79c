#!/bin/sh
# Builds hookd and runs `hookd demo`: on loopback, in a temporary directory, from a push to the page and back.
# What the build needs is installed first where apt-get is; elsewhere this says what is missing. Rust is installed with rustup, if you
# agree.
#
#     examples/demo.sh            stays up until Ctrl-C, for you to push to
#     examples/demo.sh --once     ends after everything was seen once
#     examples/demo.sh --yes      installs Rust without asking
set -eu
cd "$(dirname "$0")/.."

yes=
for argument in "$@"; do
    shift
    if [ "$argument" = --yes ]; then yes=--yes; else set -- "$@" "$argument"; fi
done

PATH=$(packaging/install-rust $yes)
export PATH

lacking=
# A command that must be there, and Debian's package of it.
need() {
    command -v "$1" >/dev/null 2>&1 || lacking="$lacking $2"
}
need cc gcc
need make make
need cmake cmake
need pkg-config pkg-config
need git git
pkg-config --exists openssl 2>/dev/null || lacking="$lacking libssl-dev"
# What Debian's packages only recommend: the C library's headers for gcc, and the certificates that cargo checks its
# downloads with.
if command -v apt-get >/dev/null 2>&1; then
    [ -e /usr/include/stdio.h ] || lacking="$lacking libc6-dev"
    [ -e /etc/ssl/certs/ca-certificates.crt ] || lacking="$lacking ca-certificates"
fi

if [ -n "$lacking" ]; then
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "demo.sh: missing (by their names in Debian):$lacking" >&2
        echo "demo.sh: install a C compiler, make, cmake, pkg-config, OpenSSL's headers and git, then run this again" >&2
        exit 1
    fi
    sudo=
    if [ "$(id -u)" -ne 0 ]; then
        sudo=sudo
        if ! command -v sudo >/dev/null 2>&1; then
            echo "demo.sh: as root, run: apt-get install$lacking" >&2
            exit 1
        fi
    fi
    echo "demo.sh: installing$lacking"
    $sudo apt-get update -qq
    # One word for each package.
    # shellcheck disable=SC2086
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $lacking
fi

exec cargo run --release --locked -- demo "$@"
