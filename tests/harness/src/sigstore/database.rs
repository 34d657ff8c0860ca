//! A MariaDB for one process of tests, at a socket in its folder, without users and privileges.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::peers::{MARIADB, TRILLIAN_SCHEMA};
use crate::process::Daemon;

const READY_WITHIN: Duration = Duration::from_secs(60);

/// The program, and the tables that it begins with.
pub(super) struct Peers {
    mariadb: PathBuf,
    schema: PathBuf,
}

impl Peers {
    pub(super) fn find() -> Option<Self> {
        Some(Self {
            mariadb: MARIADB.find()?,
            schema: TRILLIAN_SCHEMA.find()?,
        })
    }
}

/// A running database.
pub(super) struct Database {
    server: Daemon,
    socket: PathBuf,
}

impl Database {
    /// Starts it with the tables of trillian in `trillian`, and nothing in `search`.
    pub(super) fn start(peers: &Peers, folder: &Path) -> Self {
        fs::create_dir(folder.join("data")).expect("the folder is ours");
        let schema = fs::read_to_string(&peers.schema).expect("it is in the cache");
        fs::write(folder.join("init.sql"), statements(&schema)).expect("the folder is ours");
        let socket = folder.join("socket");
        // `usr/sbin/mariadbd` of what was unpacked.
        let root = peers.mariadb.ancestors().nth(3).expect("it is three down");
        let flag = |name: &str, path: &Path| format!("--{name}={}", path.display());
        let args = [
            "--no-defaults".to_owned(),
            // It asks root to say that root is meant; anybody else is who he is.
            "--user=root".to_owned(),
            flag("datadir", &folder.join("data")),
            flag("init-file", &folder.join("init.sql")),
            flag("socket", &socket),
            flag("pid-file", &folder.join("pid")),
            flag("lc-messages-dir", &root.join("usr/share/mysql")),
            flag("character-sets-dir", &root.join("usr/share/mysql/charsets")),
            flag("plugin-dir", &root.join("usr/lib/mysql/plugin")),
            // So it needs no tables of its own, whose making would take longer than all the rest.
            "--skip-grant-tables".to_owned(),
            "--skip-networking".to_owned(),
            "--skip-log-bin".to_owned(),
            "--innodb-buffer-pool-size=32M".to_owned(),
            "--innodb-log-file-size=8M".to_owned(),
            "--innodb-flush-log-at-trx-commit=0".to_owned(),
            "--innodb-use-native-aio=0".to_owned(),
        ];
        let libraries = std::env::join_paths(libraries(root)).expect("no colons in it");
        let env: [(&str, &OsStr); 1] = [("LD_LIBRARY_PATH", &libraries)];
        let mut server = Daemon::start_with(&peers.mariadb, args, &env, folder);
        let deadline = Instant::now() + READY_WITHIN;
        while UnixStream::connect(&socket).is_err() {
            assert!(
                !server.has_ended() && Instant::now() < deadline,
                "mariadbd is not ready\n{}",
                server.story()
            );
            thread::sleep(Duration::from_millis(10));
        }
        Self { server, socket }
    }

    /// Its process id.
    pub(super) fn process(&self) -> u32 {
        self.server.id()
    }

    /// How Go's driver is told of one of its databases.
    pub(super) fn source(&self, name: &str) -> String {
        format!(
            "root@unix({})/{name}?parseTime=true&interpolateParams=true",
            self.socket.display()
        )
    }
}

/// The folders with libraries of what was unpacked.
fn libraries(root: &Path) -> Vec<PathBuf> {
    let folders = ["lib", "usr/lib"]
        .into_iter()
        .filter_map(|name| root.join(name).read_dir().ok());
    let entries = folders.flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// The schema as an init file wants it: a statement a line, and no comments.
fn statements(schema: &str) -> String {
    let lines = schema.lines().map(|line| {
        let end = line.find("--").into_iter().chain(line.find('#')).min();
        line[..end.unwrap_or(line.len())].trim()
    });
    let text = lines.collect::<Vec<_>>().join(" ");
    let statements = text
        .split(';')
        .map(str::trim)
        .filter(|text| !text.is_empty());
    [
        "CREATE DATABASE search",
        "CREATE DATABASE trillian",
        "USE trillian",
    ]
    .into_iter()
    .chain(statements)
    .map(|statement| format!("{statement};\n"))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_line_ends_are_no_part_of_a_statement() {
        let text = "# one\nCREATE TABLE a( -- two\n  b INT\n);\n-- three;\nCREATE TABLE c(d INT);";
        let made = statements(text);
        let made: Vec<_> = made.lines().skip(3).collect();
        assert_eq!(made, ["CREATE TABLE a( b INT );", "CREATE TABLE c(d INT);"]);
    }
}
