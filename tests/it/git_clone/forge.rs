//! A place with repositories, and servers in front of it: git's own http-backend, and the real sshd.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use tekseal_harness::{Run, lasting_port, peer_folder};
use tempfile::TempDir;

/// Bare repositories, made from scratch.
pub(crate) struct Forge {
    folder: TempDir,
}

impl Forge {
    /// A forge with the repository `app.git`: on `main` three commits to `page.html` and, from the second on, `docs/guide.md` and
    /// `src/deep/code.c`; the tag `v1` is an annotated one of the first; `side` and `refs/pull/7/head` have a commit each.
    pub(crate) fn new() -> Self {
        let forge = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        let work = forge.work("app");
        work.file("page.html", "one\n").commit("one");
        work.git(&["tag", "--annotate", "--message=one", "v1"]);
        work.file("docs/guide.md", "guide\n")
            .file("src/deep/code.c", "int x;\n")
            .file("page.html", "two\n")
            .commit("two");
        work.git(&["checkout", "--quiet", "-b", "side"]);
        work.file("page.html", "side\n").commit("side");
        work.git(&["checkout", "--quiet", "-b", "pull", "v1"]);
        work.file("page.html", "pull\n").commit("pull");
        work.git(&["update-ref", "refs/pull/7/head", "HEAD"]);
        work.git(&["checkout", "--quiet", "main"]);
        work.git(&["branch", "--quiet", "-D", "pull"]);
        work.file("page.html", "three\n").commit("three");
        work.publish();
        forge
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A new repository with a work tree, which becomes `name.git` when it is published.
    pub(crate) fn work(&self, name: &str) -> Work<'_> {
        self.work_with(name, &[])
    }

    /// The same, with more options for `git init`.
    pub(crate) fn work_with(&self, name: &str, options: &[&str]) -> Work<'_> {
        let work = Work {
            forge: self,
            name: name.to_owned(),
        };
        fs::create_dir_all(work.path()).expect("a folder");
        let mut init = vec!["init", "--quiet", "--initial-branch=main"];
        init.extend(options);
        work.git(&init);
        work
    }

    /// The commit of a revision of `app`.
    pub(crate) fn commit(&self, revision: &str) -> String {
        let work = Work {
            forge: self,
            name: "app".to_owned(),
        };
        work.commit_of(revision)
    }

    /// The hash of the annotated tag `v1` itself, not of its commit.
    pub(crate) fn tag_object(&self) -> String {
        let work = Work {
            forge: self,
            name: "app".to_owned(),
        };
        work.git(&["rev-parse", "v1"]).trim().to_owned()
    }

    /// Serves the repositories over http; all must show this `user:password`, if there is one.
    pub(crate) fn serve(&self, login: Option<&str>) -> Server {
        let options = login.map(|login| ["--login", login]);
        Server::start(self, options.as_ref().map_or(&[], |options| options))
    }

    /// Serves the repositories over https.
    pub(crate) fn serve_tls(&self, certificate: &Path, key: &Path) -> Server {
        let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        Server::start(self, &["--tls", &text(certificate), &text(key)])
    }
}

/// A repository with a work tree.
pub(crate) struct Work<'f> {
    forge: &'f Forge,
    name: String,
}

impl Work<'_> {
    pub(crate) fn path(&self) -> PathBuf {
        self.forge.path("work").join(&self.name)
    }

    /// Writes a file.
    pub(crate) fn file(&self, name: &str, text: &str) -> &Self {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("it is in a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
        self
    }

    /// Commits all that is there.
    pub(crate) fn commit(&self, message: &str) -> &Self {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", message]);
        self
    }

    /// The commit of a revision.
    pub(crate) fn commit_of(&self, revision: &str) -> String {
        let output = self.git(&["rev-parse", &format!("{revision}^{{commit}}")]);
        output.trim().to_owned()
    }

    /// Adds a submodule, whatever its URL is.
    pub(crate) fn submodule(&self, path: &str, url: &str, commit: &str) -> &Self {
        let modules = self.path().join(".gitmodules");
        let before = fs::read_to_string(&modules).unwrap_or_default();
        let text = format!("{before}[submodule \"{path}\"]\n\tpath = {path}\n\turl = {url}\n");
        fs::write(modules, text).expect("a file");
        let entry = format!("160000,{commit},{path}");
        self.git(&["update-index", "--add", "--cacheinfo", &entry]);
        self.git(&["add", ".gitmodules"]);
        self.git(&["commit", "--quiet", "--message", path]);
        self
    }

    /// Makes or renews the bare repository, as http-backend and plain files need it.
    pub(crate) fn publish(&self) {
        let bare = self.forge.path(&format!("{}.git", self.name));
        let bare = bare.to_str().expect("UTF-8");
        let _ = fs::remove_dir_all(bare);
        self.git(&["clone", "--quiet", "--mirror", ".", bare]);
        self.git(&["--git-dir", bare, "update-server-info"]);
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        let mut run = Run::new("git").folder(self.path()).args(args);
        for person in ["AUTHOR", "COMMITTER"] {
            run = run
                .env(&format!("GIT_{person}_NAME"), "somebody")
                .env(&format!("GIT_{person}_EMAIL"), "somebody@example.com")
                .env(&format!("GIT_{person}_DATE"), "1700000000 +0000");
        }
        run.ok().stdout
    }
}

/// A server for http. It ends with this value.
pub(crate) struct Server {
    child: Child,
    alive: Option<ChildStdin>,
    /// `127.0.0.1:port`
    pub(crate) address: String,
}

impl Server {
    fn start(forge: &Forge, options: &[&str]) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("it/git_clone/serve.py");
        let mut child = Command::new("python3")
            .arg(program)
            .arg(forge.folder.path())
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is installed by tests/peers");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("stdout is a pipe"))
            .read_line(&mut line)
            .expect("the server says something");
        assert!(!line.is_empty(), "the server did not come up");
        Self {
            alive: child.stdin.take(),
            child,
            address: format!("127.0.0.1:{}", line.trim()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.alive.take());
        let _ = self.child.wait();
    }
}

/// A real sshd, for one user and one key. It ends with this value.
pub(crate) struct Sshd {
    child: Child,
    pub(crate) port: u16,
    /// The line of `known_hosts` for it.
    pub(crate) known_host: String,
    /// The private key that it accepts.
    pub(crate) key: String,
}

impl Sshd {
    /// Starts it, with its files in the folder of the forge; `None`, with the reason printed, where `tests/peers` has not unpacked it. In
    /// CI that is a failure.
    pub(crate) fn start(forge: &Forge) -> Option<Self> {
        let Some((program, libraries)) = Self::find() else {
            let reason = "sshd is not unpacked: run tests/peers";
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
            println!("skipped: {reason}");
            return None;
        };
        let folder = forge.path("sshd");
        fs::create_dir(&folder).expect("a folder");
        for name in ["host", "user"] {
            Run::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(folder.join(name))
                .ok();
        }
        let read = |name: &str| fs::read_to_string(folder.join(name)).expect("just made");
        let write = |name: &str, text: String| fs::write(folder.join(name), text).expect("a file");
        let port = lasting_port();
        let place = folder.display();
        write(
            "config",
            format!(
                "Port {port}\nListenAddress 127.0.0.1\nHostKey {place}/host\nAuthorizedKeysFile {place}/user.pub\n\
                 StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPidFile none\n"
            ),
        );
        // The machine's users stay as they are: this server has its own, with our number.
        let number = |flag: &str| Run::new("id").arg(flag).ok().stdout.trim().to_owned();
        let (user, group) = (number("-u"), number("-g"));
        write(
            "passwd",
            format!("git:x:{user}:{group}::{place}:/bin/sh\nsshd:x:65534:65534::/:/bin/false\n"),
        );
        write("group", format!("git:x:{group}:\nsshd:x:65534:\n"));
        if user == "0" {
            fs::create_dir_all("/run/sshd").expect("root may");
        }
        let paths = std::env::join_paths(&libraries).expect("no colons in it");
        let wrapper = libraries
            .iter()
            .map(|folder| folder.join("libnss_wrapper.so"))
            .find(|file| file.is_file())
            .expect("unpacked with sshd");
        let mut child = Command::new(program)
            .args(["-D", "-e", "-f"])
            .arg(folder.join("config"))
            .env("LD_LIBRARY_PATH", paths)
            .env("LD_PRELOAD", wrapper)
            .env("NSS_WRAPPER_PASSWD", folder.join("passwd"))
            .env("NSS_WRAPPER_GROUP", folder.join("group"))
            .stdin(Stdio::null())
            .stderr(fs::File::create(folder.join("log")).expect("a file"))
            .spawn()
            .expect("sshd starts");
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = child.try_wait().expect("the state of a child");
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "sshd did not come up:\n{}",
                read("log")
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        let public = read("host.pub");
        let public: Vec<_> = public.split(' ').take(2).collect();
        Some(Self {
            child,
            port,
            known_host: format!("[127.0.0.1]:{port} {}\n", public.join(" ")),
            key: read("user"),
        })
    }

    /// The program and the folders of its libraries.
    fn find() -> Option<(PathBuf, Vec<PathBuf>)> {
        let root = peer_folder().join("sshd");
        let program = root.join("usr/sbin/sshd");
        let folders = ["lib", "usr/lib"]
            .into_iter()
            .filter_map(|name| root.join(name).read_dir().ok());
        let libraries = folders
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        program.is_file().then_some((program, libraries))
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
