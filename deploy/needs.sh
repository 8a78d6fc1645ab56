# shellcheck shell=bash
# What the scripts of this repository need from the machine, and how they get it. Sourced, never run.
#
# Where a script cannot go on, a function here ends it with one line, which begins with the script's name for
# itself: it sets `me` and `workspace` first. Packages are Debian's, and only root may install them.
# shellcheck disable=SC2015 # `A && B || refuse`: refuse never returns.

: "${me:?names the script}" "${workspace:?names the folder of the checkout}"

refuse() {
    echo "$me: $1" >&2
    exit 1
}

# Whether this machine has what a package is wanted for.
has() {
    case $1 in
        # A compiler without the C library's headers compiles nothing.
        cc) printf '#include <stdlib.h>\nint main(void) { return 0; }\n' | cc -x c -o /dev/null - 2>/dev/null ;;
        certificates) [[ -e /etc/ssl/certs/ca-certificates.crt ]] ;;
        ensurepip) python3 -c 'import ensurepip' 2>/dev/null ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

packages_of() {
    case $1 in
        cc) echo gcc libc6-dev ;;
        certificates) echo ca-certificates ;;
        collectd) echo collectd-core ;;
        ensurepip) echo python3-venv ;;
        ip) echo iproute2 ;;
        mkfs.ext4) echo e2fsprogs ;;
        mount) echo mount ;;
        netdata) echo netdata-core netdata-plugins-bash ;;
        nft) echo nftables ;;
        nsenter) echo util-linux ;;
        rsyslogd) echo rsyslog ;;
        systemd-analyze) echo systemd ;;
        systemd-nspawn) echo systemd-container ;;
        *) echo "$1" ;;
    esac
}

# need TOOL…: installs the packages of those that are missing.
need() {
    local tool packages=()
    PATH=$PATH:/usr/sbin:/sbin
    for tool in "$@"; do
        # shellcheck disable=SC2207 # names of packages hold no blanks
        has "$tool" || packages+=($(packages_of "$tool"))
    done
    ((${#packages[@]})) || return 0
    command -v apt-get >/dev/null || refuse "needs ${packages[*]}, and there is no apt-get to install them"
    [[ $(id -u) == 0 ]] || refuse "needs packages that only root may install: sudo apt-get install ${packages[*]}"
    echo "$me: installing ${packages[*]}" >&2
    # One source of many that does not answer is no reason to stop: what counts is whether the packages are had.
    # No descriptor of ours is handed on: a daemon that a package starts would keep a lock for ever.
    # And no package starts a service: what is tested is started by the tests.
    local policy=/usr/sbin/policy-rc.d ours=no
    [[ -e $policy ]] || { printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" && ours=yes; }
    {
        apt-get update -qq || true
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            -o DPkg::Lock::Timeout=300 "${packages[@]}"
    } </dev/null 2>&1 >/dev/null 9>&- | grep -v '^debconf: delaying package configuration' >&2 || true
    [[ $ours == no ]] || rm -f "$policy"
    for tool in "$@"; do
        has "$tool" || refuse "could not install ${packages[*]}: is the network there, and room on the disk?"
    done
}

# need_rust [COMPONENT…]: cargo on the PATH, as new as the workspace asks for, and with these of its components
# (rustfmt, clippy).
need_rust() {
    local needed found component
    PATH=$PATH:${CARGO_HOME:-${HOME:-}/.cargo}/bin
    command -v cargo >/dev/null || refuse "needs Rust: install it as https://rustup.rs says, then run this again"
    needed=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$workspace/Cargo.toml")
    found=$(cd "$workspace" && rustc --version 2>/dev/null | cut -d' ' -f2) && [[ -n $found ]] ||
        refuse "rustc does not run: repair the Rust installation, or choose a toolchain with rustup default stable"
    [[ $(printf '%s\n' "$needed" "${found%%-*}" | sort -V | head -n 1) == "$needed" ]] ||
        refuse "needs Rust $needed or newer, and this is $found: rustup update"
}

# need_rust_component NAME…: rustfmt, clippy. A minimal installation lacks both.
need_rust_component() {
    local component
    for component in "$@"; do
        "cargo-${component/rustfmt/fmt}" --version >/dev/null 2>&1 ||
            { rustup component add "$component" >/dev/null 2>&1; } ||
            refuse "needs Rust's $component: rustup component add $component"
    done
}

# need_room DIR MEGABYTES: so much is free where DIR is, or will be. A full disk midway is told in worse words.
need_room() {
    local dir=$1 free
    while [[ ! -d $dir ]]; do dir=$(dirname -- "$dir"); done
    free=$(df -Pm -- "$dir" 2>/dev/null | awk 'NR == 2 { print $4 }')
    [[ -z $free ]] || ((free >= $2)) || refuse "needs $2 MB free in $1, and there are $free: CARGO_TARGET_DIR may name another place"
}
